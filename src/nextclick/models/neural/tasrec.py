"""TASRec: the graph of a session, and what was clicked one after the other on the days before.

Zhou et al., Temporal Augmented Graph Neural Networks for Session-Based Recommendations, SIGIR 2021.
For a session of day t (numbers are the paper's equations), with h the states of SR-GNN's gated
graph network over the prefix, e_ij the temporal graph of the days before t and N_i the neighbors
of item i in it (`graphs.temporal`, equation 1), x^0 = E:

    x^k_i = LeakyReLU((Σ_{j in N_i} e_ij x^{k-1}_j + x^{k-1}_i) W_1 / (Σ_j e_ij + 1))    (2)
    x̄_i   = (x^0_i + … + x^K_i) / (K + 1)                                               (3)
    z_i   = drop(x̄_i / ‖x̄_i‖ + h_i)                                                      (4), (5)
    β_i   = σ(z_i W_2 + z_l W_3 + b) q            no softmax, l is the last click        (6)
    s     = [Σ_i β_i z_i ; z_l] W_4                                                      (7)
    score = E s                                                                          (8)

`variant` leaves a layer out as the paper's ablation does: in "temp" there is no h, in "base" no x̄,
which makes it SR-GNN but for W_4, which has no bias here, and the dropout.

A day is a block of time of the store. While the model is trained, sessions of block t see the graph
of the blocks before t; a batch is of one block. Scores come from the graph that the model keeps, of
all blocks up to `last_block`; `advance` takes it one block on. A prefix of block t may have begun
before midnight: it sees sessions that ended on the day before, perhaps after its first click, and
never its own session.

Where the paper leaves open, or we differ:
- With binary edges, decay 1/2 and threshold 1 the neighbors of day t are those of day t - 1, and
  older days give them weight alone; see `graphs.temporal`. The text of 2 ("co-occurrence
  frequency") contradicts equation 1: `day_edges`.
- W_1 has no index of the layer, so it is one for all: `layer_weights`.
- LeakyReLU has a slope of 0.01 below 0. Equation 9 is taken for the softmax's cross-entropy.
- An edge of a session counts as often as it occurs, as the paper says: `session_edges`.
- Dropout and weight decay are not stated. Dropout draws once for each state; prefixes of a session
  that share a state share the draw.
- The rate of `paper` falls to a tenth after every two epochs ("decays after two epochs").
- Weights begin as SR-GNN's, uniform within ±1/√d.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.errors import ConfigError
from nextclick.graphs.daily_graphs import DayGraphs
from nextclick.graphs.temporal_graph import TemporalGraph
from nextclick.models.explanation import MAX_NEIGHBORS, Evidence, Link, record_attention
from nextclick.models.neural.sr_gnn import GatedGraph
from nextclick.models.neural_model import (
    ATTENTIVE,
    NO_DATASET_INFO,
    DatasetInfo,
    Encoder,
    NeuralModel,
)
from nextclick.models.ops.layers import Dropout, clear_padding_, item_embedding
from nextclick.models.ops.prefix_inputs import TensorRecord, given_or_built, scatter_to_batch
from nextclick.models.ops.segments import group_energy, group_sum
from nextclick.models.ops.session_graphs import (
    SessionGraph,
    clicks_without_graph,
    session_graph,
)
from nextclick.models.ops.tasrec_graph import TemporalItems, TemporalMessages, temporal_messages
from nextclick.models.presets import SAMPLED_SOFTMAX_OF_GRAPHS, TRAINING_SPACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Int32Array, Int64Array
    from nextclick.graphs.neighbors import Neighbors
    from nextclick.models.base import Capabilities

_PAPER: dict[str, Any] = {
    "loss": "ce",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "schedule": "step",
    "schedule_every": 2,
    "schedule_factor": 0.1,
    "batch_size": 128,
    "order": "sessions",
    "epochs": 30,
}
_GRAPH = ("graph_edges", "graph_weights", "graph_day", "last_block")


@dataclass(frozen=True, slots=True)
class TASRecConfig:
    """Parameters of TASRec."""

    variant: Annotated[
        Literal["full", "temp", "base"],
        Field(description="full; temp: without the session's graph; base: without the days'"),
    ] = "full"
    hops: Annotated[
        int, Field(ge=1, description="K, rounds of messages over the graph of days")
    ] = 2
    layer_weights: Annotated[
        Literal["shared", "own"], Field(description="W_1: one for all rounds, or one for each")
    ] = "shared"
    day_edges: Annotated[
        Literal["binary", "count"],
        Field(description="a pair of items counts once a day (equation 1), or as often as clicked"),
    ] = "binary"
    decay: Annotated[
        float, Field(gt=0, lt=1, description="what a day multiplies all weights by")
    ] = 0.5
    threshold: Annotated[float, Field(gt=0, description="least weight of a neighbor")] = 1.0
    session_edges: Annotated[
        Literal["binary", "counted"],
        Field(description="an edge of a session counts once, or as often as it occurs (the paper)"),
    ] = "counted"
    steps: Annotated[int, Field(ge=1, description="steps of the session's graph network")] = 1
    width: Annotated[int, Field(ge=1, description="width of embeddings and of all layers")] = 100
    dropout: Annotated[float, Field(ge=0, lt=1, description="of z")] = 0.2
    max_length: Annotated[int, Field(ge=1, description="latest clicks that are read")] = 200


@dataclass(frozen=True, slots=True, eq=False)
class TASRecGraphs(TensorRecord):
    """Both graphs of the prefixes of a batch.

    Attributes:
        session: the graphs of the prefixes, with V states; without steps in "temp".
        temporal: the temporal graph around the R distinct items of the batch; None in "base".
        root: (V,) int64 in 0..R - 1, the item of each state; None in "base".
    """

    session: SessionGraph
    temporal: TemporalMessages | None
    root: Tensor | None


class TASRecEncoder(Encoder):
    """Both graph networks and the read-out.

    Attributes:
        neighbors: of each item on the day that comes next; not among the weights.
    """

    def __init__(self, config: TASRecConfig, n_items: int):
        super().__init__()
        D = config.width
        self.config = config
        self.items = item_embedding(n_items, D)
        if config.variant != "temp":
            self.network = GatedGraph(D)
        if config.variant != "base":
            self.temporal = TemporalItems(D, config.hops, shared=config.layer_weights == "shared")
        self.dropout = Dropout(config.dropout)
        self.attend_each = nn.Linear(D, D, bias=False)  # W_2
        self.attend_last = nn.Linear(D, D)  # W_3, b
        self.attend = nn.Parameter(torch.empty(D))  # q
        self.output = nn.Linear(2 * D, D, bias=False)  # W_4
        bound = 1.0 / math.sqrt(D)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)
        clear_padding_(self.items)
        self.neighbors = TemporalGraph().neighbors()

    def prepare_prefixes(
        self,
        items: Int64Array,
        cells: Int64Array,
        session: Int64Array | None,
        neighbors: Neighbors | None = None,
    ) -> TASRecGraphs:
        """The graphs of the prefixes, and the temporal graph around their items.

        Args:
            items: (B, T) int64.
            cells: (P,) int64.
            session: not used.
            neighbors: the temporal graph; None is the one the encoder keeps.
        """
        del session
        config = self.config
        if config.variant == "temp":
            graph = clicks_without_graph(cells, items.shape[1])
        else:
            counted = config.session_edges == "counted"
            graph = session_graph(items, cells, steps=config.steps, counted=counted)
        if config.variant == "base":
            return TASRecGraphs(graph, None, None)
        roots, root_of_cell = np.unique(items, return_inverse=True)
        if neighbors is None:
            neighbors = self.neighbors
        n_items = self.items.num_embeddings - 1
        messages = temporal_messages(neighbors, roots, config.hops, n_items)
        root = torch.from_numpy(root_of_cell.reshape(-1))  # (B * T,)
        return TASRecGraphs(graph, messages, root[graph.state_cells()] if graph.steps else root)

    def forward(self, items: Tensor, prefixes: TASRecGraphs | None = None) -> Tensor:
        """(B, T, D) queries of (B, T) items."""
        graphs = given_or_built(prefixes, self.prepare_prefixes, items)
        graph = graphs.session
        states = self.dropout(self.states(items, graphs))  # (V, D), z
        last = states.index_select(0, graph.last)  # (P, D)
        beta = self.attention(states, last, graph)  # (E,)
        record_attention("read-out", beta[None])
        session = group_sum(states, graph.clicks, graph.click_bounds, beta)  # (P, D)
        queries = self.output(torch.cat([session, last], dim=-1))  # (P, D)
        return scatter_to_batch(queries, graph.cells, items)

    def states(self, items: Tensor, graphs: TASRecGraphs) -> Tensor:
        """(V, D) z before dropout, of nodes of prefixes; in "temp" of the B * T clicks."""
        layers = []
        if graphs.temporal is not None and graphs.root is not None:
            embeddings = self.temporal(self.items, graphs.temporal)  # (R, D)
            layers.append(embeddings.index_select(0, graphs.root))  # (V, D)
        if self.config.variant != "temp":
            layers.append(self.network(self.items(items).flatten(0, 1), graphs.session))  # (V, D)
        states: Tensor = sum(layers[1:], layers[0])
        return states

    def attention(self, states: Tensor, last: Tensor, graph: SessionGraph) -> Tensor:
        """(E,) β, the weight of each click of each prefix."""
        query, key = self.attend_last(last), self.attend_each(states)  # (P, D), (V, D)
        return group_energy(query, key, self.attend, graph.clicks, graph.click_bounds)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding, without bias and without the graph."""
        return self.items.weight, None


class TASRec(NeuralModel):
    """A session's graph with the temporal graph of the days before it.

    Attributes:
        last_block: the last block of time that the graph knows, -1 if none.
        edges_alive: block of time to how many pairs are neighbors for its sessions, of the blocks
            that this object has gone through and of the one that follows.
    """

    name: ClassVar[str] = "tasrec"
    Config: ClassVar[type[TASRecConfig]] = TASRecConfig
    encoder_type: ClassVar[type[Encoder]] = TASRecEncoder
    encoder: TASRecEncoder
    default_capabilities: ClassVar[Capabilities] = replace(ATTENTIVE, update="by-block")
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "width": Choice(50, 100, 150, 200),
        "hops": IntRange(1, 5),
        "steps": IntRange(1, 2),
        "dropout": FloatRange(0.0, 0.6),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": SAMPLED_SOFTMAX_OF_GRAPHS,
        "temp": SAMPLED_SOFTMAX_OF_GRAPHS | {"variant": "temp"},
        "base": SAMPLED_SOFTMAX_OF_GRAPHS | {"variant": "base"},
        "paper": _PAPER,
        "paper-temp": _PAPER | {"variant": "temp"},
        "paper-base": _PAPER | {"variant": "base"},
    }

    def __init__(self, config: TASRecConfig, n_items: int, facts: DatasetInfo = NO_DATASET_INFO):
        super().__init__(config, n_items, facts)
        self.last_block = -1
        self.edges_alive = {}
        self._before: dict[int, Neighbors] | None = None  # each block of the training sessions
        self._graph = TemporalGraph(**_graph_options(config))

    @classmethod
    def requires(cls, config: TASRecConfig) -> frozenset[str]:
        """Blocks of time, where there is a temporal layer."""
        return frozenset() if config.variant == "base" else frozenset({"blocks"})

    @classmethod
    def capabilities_of(cls, config: TASRecConfig) -> Capabilities:
        """It updates block by block where there is a temporal layer."""
        return ATTENTIVE if config.variant == "base" else cls.default_capabilities

    def setup(self, sessions: Sessions) -> None:
        """Make the graph of each block of the training sessions; keep the one that follows them.

        After `continue_training` the graph advances from where it stands, by the blocks after
        `last_block`.
        """
        if self._before is None:
            self._before = self._gone_through(sessions, None)
            return
        assert sessions.blocks is not None
        for block, of_block in sessions.by_block(self.last_block + 1, int(sessions.blocks[-1]) + 1):
            self._before[block] = self.encoder.neighbors
            self.advance(of_block)

    def continue_training(self, older: Sessions | None = None) -> None:
        """Let the next training be of the blocks after `last_block`, instead of beginning anew.

        Args:
            older: the whole log of before, if that training goes through sessions of it again: each
                then sees the graph that it saw, of the blocks before its own.
        """
        self._before = {}
        if older is not None:
            self._before = DayGraphs.of(older, **_graph_options(self.config)).before

    def teardown(self) -> None:
        """Let go of the graphs of the training sessions."""
        self._before = None

    def with_history(self, sessions: Sessions, before: int | None = None) -> Self:
        """The same weights with the graph of some sessions and of no others.

        Args:
            sessions: in the order of their last click, with blocks.
            before: only of the blocks before this one; None is all.
        """
        other = copy.copy(self)
        other.encoder = copy.copy(self.encoder)  # of the same weights
        other._gone_through(sessions, before)
        other.teardown()
        return other

    def advance(self, sessions: Sessions) -> None:
        """Go on by one block of time, whose sessions are these; none is a block without clicks.

        What the model was trained to does not change. In the variant "base" nothing does.

        Args:
            sessions: with items of this model's catalog; where they have blocks, all of the
                block after `last_block`.

        Raises:
            ConfigError: sessions of another block.
        """
        block = self.last_block + 1
        found = sessions.blocks
        if found is not None and len(found) and not (found[0] == found[-1] == block):
            raise ConfigError(
                f"sessions must be of block {block}, which follows the last one that the model "
                f"knows, got blocks {found[0]}..{found[-1]}; advance block by block, and with no "
                "sessions where nobody clicked"
            )
        if self.config.variant != "base":
            self._graph.advance(sessions)
            self.encoder.neighbors = self._graph.neighbors()
            self.edges_alive = {**self.edges_alive, block + 1: self._graph.n_alive}
        self.last_block = block

    def prepare_prefixes(
        self,
        items: Int64Array,
        cells: Int64Array,
        session: Int64Array | None,
        block: int | None = None,
    ) -> TensorRecord | None:
        """The graphs of prefixes; in training with the temporal graph of the blocks before."""
        if block is None:
            return super().prepare_prefixes(items, cells, session)
        assert self._before is not None
        return self.encoder.prepare_prefixes(items, cells, session, self._before[block])

    def explained(self, batch: SessionBatch, items: Int32Array) -> Evidence:
        """Attention, and the active neighbors of each click in the graph of the days."""
        found = super().explained(batch, items)
        if self.config.variant != "base":
            clicks = batch.items[0, : batch.lengths[0]]
            found.links = [self._link(item) for item in dict.fromkeys(clicks.tolist())]
        return found

    def _link(self, item: int) -> Link:
        near = self.encoder.neighbors.of(item)
        best = sorted(near, key=lambda other: (-near[other], other))[:MAX_NEIGHBORS]
        weights = np.array([near[other] for other in best], np.float32)
        return Link(item, np.array(best, np.int32), weights)

    def state(self) -> dict[str, AnyArray]:
        """The weights by name, the graph, and the last block that is in it."""
        last_block = {"last_block": np.array([self.last_block], np.int64)}
        if self.config.variant == "base":
            return super().state() | last_block
        return super().state() | self._graph.state() | last_block

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> Self:
        """Build the model that gave `state`."""
        model = super().from_state({n: a for n, a in state.items() if n not in _GRAPH}, config)
        model.last_block = int(state["last_block"][0])
        if config.variant != "base":
            model._graph = TemporalGraph.from_state(state, **_graph_options(config))
            model.encoder.neighbors = model._graph.neighbors()
            model.edges_alive = {model.last_block + 1: model._graph.n_alive}
        return model

    def _gone_through(self, sessions: Sessions, stop: int | None) -> dict[int, Neighbors]:
        """Keep the graph that follows some sessions; those before each of their blocks."""
        if self.config.variant == "base":
            if sessions.blocks is not None:
                self.last_block = int(sessions.blocks[-1]) if stop is None else stop - 1
            return {}
        days = DayGraphs.of(sessions, stop=stop, **_graph_options(self.config))
        after = max(days.before)
        self._graph, self.encoder.neighbors = days.graph, days.before[after]
        self.last_block, self.edges_alive = after - 1, days.n_alive()
        return days.before


def _graph_options(config: TASRecConfig) -> dict[str, Any]:
    return {"edge": config.day_edges, "decay": config.decay, "threshold": config.threshold}
