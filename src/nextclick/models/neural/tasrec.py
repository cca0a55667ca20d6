"""TASRec: the session graph, with a temporal item graph of earlier days.

Zhou et al., Temporal Augmented Graph Neural Networks for Session-Based Recommendations, SIGIR 2021.
For a session of day t, h are the states of SR-GNN's gated graph network over the prefix. e_ij are
the edge weights of the temporal item graph before day t, and N_i the neighbors of item i in
it (`graphs.temporal_graph`, equation 1). With x^0 = E (numbers are the paper's equations):

    x^k_i = LeakyReLU((Σ_{j in N_i} e_ij x^{k-1}_j + x^{k-1}_i) W_1 / (Σ_j e_ij + 1))    (2)
    x̄_i   = (x^0_i + … + x^K_i) / (K + 1)                                               (3)
    z_i   = drop(x̄_i / ‖x̄_i‖ + h_i)                                                      (4), (5)
    β_i   = σ(z_i W_2 + z_l W_3 + b) q            no softmax, l is the last click        (6)
    s     = [Σ_i β_i z_i ; z_l] W_4                                                      (7)
    score = E s                                                                          (8)

`variant` selects the paper's ablations: "temp" has no h, and "base" no x̄. "base" is SR-GNN with
dropout and without the bias of W_4. x̄ differs from no x̄ even without edges: it adds a transformed
embedding. The presets "empty" have a threshold above every weight; their difference to the full
model is what the graph adds.

A day is a block of time of the store. In training, sessions of block t read the graph of the blocks
before t; a batch has sessions of one block, and one graph at a time is in memory
(`graphs.graph_file`). When scoring, the model uses its own graph, of all blocks up to `last_block`,
which `advance` extends by one block. A block that is not over, such as the day on which a log ends,
is kept apart (`keep_open`) and is no part of the graph. `at_block` chooses the graph of a block. A
session of block t may have begun
before midnight: its prefixes read sessions that ended on the day before, possibly after its first
click, and never their own session.

Details that the paper leaves open, and differences:
- "j after i" of section 2 may mean neighbors or all later clicks of a session: `day_distance`.
- With binary edges, decay 1/2 and threshold 1, the neighbors of day t are those of day t - 1; older
  days only add to their weights. See `graphs.temporal_graph`. The text of section 2
  ("co-occurrence frequency") contradicts equation 1: `day_edges`.
- W_1 has no layer index, so all layers share it: `layer_weights`.
- LeakyReLU has a slope of 0.01 below 0. We read equation 9 as the cross-entropy of the softmax.
- As in the paper, an edge of a session weighs as often as it occurs: `session_edges`.
- The paper states neither dropout nor weight decay. Dropout is drawn once for each state, which
  prefixes of a session may share.
- In the preset "paper" the learning rate falls to a tenth every two epochs ("decays after two
  epochs").
- Initial weights are SR-GNN's, uniform within ±1/√d.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.graphs.daily_graphs import DailyGraphs
from nextclick.graphs.graph_file import GraphFile
from nextclick.models.dataset_info import NO_DATASET_INFO, DatasetInfo
from nextclick.models.model_explanation import (
    MAX_NEIGHBORS,
    GraphNeighbors,
    ModelExplanation,
)
from nextclick.models.neural.tasrec_encoder import TASRecConfig, TASRecEncoder
from nextclick.models.neural_model import ATTENTIVE, NeuralModel
from nextclick.models.ops.temporal_history import GRAPH_ARRAYS, TemporalHistory
from nextclick.models.presets import SAMPLED_SOFTMAX_OF_GRAPHS, TRAINING_SPACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Int32Array, Int64Array
    from nextclick.models.base import Capabilities
    from nextclick.models.encoder import Encoder
    from nextclick.models.ops.prefix_inputs import TensorRecord

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
NO_EDGES = 1_000_000.0
"""A threshold above every weight: the control with an empty graph."""


class TASRec(NeuralModel):
    """The session graph with the temporal item graph of earlier days.

    Attributes:
        last_block: the last block of time in the graph, which is over; -1 if none.
        neighbor_pairs: block of time to the number of neighbor pairs that its sessions read, for
            the blocks that this object has processed and the next one.
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
        "empty": SAMPLED_SOFTMAX_OF_GRAPHS | {"threshold": NO_EDGES},
        "paper": _PAPER,
        "paper-temp": _PAPER | {"variant": "temp"},
        "paper-base": _PAPER | {"variant": "base"},
        "paper-empty": _PAPER | {"threshold": NO_EDGES},
    }

    def __init__(
        self, config: TASRecConfig, n_items: int, dataset_info: DatasetInfo = NO_DATASET_INFO
    ):
        super().__init__(config, n_items, dataset_info)
        self._history = TemporalHistory(_graph_options(config))

    @classmethod
    def requires(cls, config: TASRecConfig) -> frozenset[str]:
        """Blocks of time, unless the variant is "base"."""
        return frozenset() if config.variant == "base" else frozenset({"blocks"})

    @classmethod
    def capabilities_of(cls, config: TASRecConfig) -> Capabilities:
        """Updates by block, unless the variant is "base"."""
        return ATTENTIVE if config.variant == "base" else cls.default_capabilities

    def setup(self, sessions: Sessions) -> None:
        """Build the graph before each block of the training sessions; their last block stays open.

        After `continue_training` the current graph advances by the blocks after `last_block`.
        """
        if self._history.before is None and sessions.blocks is not None:
            options = _graph_options(self.config)
            self._history = TemporalHistory(options, int(sessions.blocks[0]) - 1)
        self._history.follow(sessions)
        self._read_history()

    def continue_training(self, older: Sessions | None = None) -> None:
        """Let the next training continue with the blocks after `last_block`.

        Args:
            older: the whole older log, if that training replays sessions of it; each of them then
                reads the graph of the blocks before its own.
        """
        options = _graph_options(self.config)
        self._history.before = GraphFile()
        if older is not None and options is not None:
            self._history.before = DailyGraphs.from_sessions(older, **options).neighbors_before

    def teardown(self) -> None:
        """Free the graphs of the training sessions."""
        self._history.before = None

    def with_history(self, sessions: Sessions, before: int | None = None) -> Self:
        """The same weights with the graph of these sessions, all of whose blocks are over.

        Args:
            sessions: in the order of their last click, with blocks of time.
            before: use only the blocks before this one; None for all.
        """
        model = self._copy()
        model._history = TemporalHistory.from_sessions(
            sessions, before, _graph_options(self.config)
        )
        model._read_history()
        return model

    def at_block(self, block: int) -> Self:
        """The model that predicts sessions of a block of time: the graph is that before the block.

        For blocks after `last_block` that is the current graph: the block after it is not over, or
        nothing is known of it. Of earlier graphs only the one before `last_block` is kept.
        """
        if self._history.graphs is None or block > self.last_block:
            return self
        model = self._copy()
        model.encoder.neighbors = self._history.graphs.earlier_neighbors()
        return model

    def advance(self, sessions: Sessions) -> None:
        """End the block after `last_block` and add it to the graph; the weights do not change.

        In the variant "base" only `last_block` changes.

        Args:
            sessions: the sessions of the block that `keep_open` did not add, with items of this
                model's catalog; may be empty.

        Raises:
            ConfigError: the sessions are of other blocks.
        """
        self._history.advance(sessions)
        self._read_history()

    def keep_open(self, sessions: Sessions) -> None:
        """Add sessions to the block after `last_block`, which is not over; no score changes.

        Raises:
            ConfigError: the sessions are of other blocks.
        """
        self._history.keep_open(sessions)

    def prepare_prefixes(
        self,
        items: Int64Array,
        cells: Int64Array,
        session: Int64Array | None,
        block: int | None = None,
    ) -> TensorRecord | None:
        """The graphs of prefixes; training sessions read the temporal graph before `block`."""
        if block is None:
            return super().prepare_prefixes(items, cells, session)
        assert self._history.before is not None
        return self.encoder.prepare_prefixes(items, cells, session, self._history.before[block])

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """Attention weights, and the neighbors of each click in the temporal item graph."""
        evidence = super().explain(batch, items)
        if self.config.variant != "base":
            clicks = batch.items[0, : batch.lengths[0]]
            evidence.links = [self._link(item) for item in dict.fromkeys(clicks.tolist())]
        return evidence

    def _link(self, item: int) -> GraphNeighbors:
        """The neighbors of an item with the largest weights."""
        weights = self.encoder.neighbors.item_neighbors(item)
        top = sorted(weights, key=lambda neighbor: (-weights[neighbor], neighbor))[:MAX_NEIGHBORS]
        top_weights = np.array([weights[neighbor] for neighbor in top], np.float32)
        return GraphNeighbors(item, np.array(top, np.int32), top_weights)

    def state(self) -> dict[str, AnyArray]:
        """The weights by name, the temporal item graphs and the last block that is over."""
        return super().state() | self._history.state()

    @classmethod
    def check_state(cls, state: Mapping[str, AnyArray], config: Any, n_items: int) -> None:
        """Check the weights, and that the graphs are of this model's items."""
        has_graph = config.variant != "base"
        weights = TemporalHistory.check_state(state, n_items, has_graph=has_graph)
        super().check_state(weights, config, n_items)

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> Self:
        """Build the model of `state`."""
        weights = {name: array for name, array in state.items() if name not in GRAPH_ARRAYS}
        model = super().from_state(weights, config)
        model._history = TemporalHistory.from_state(state, _graph_options(config))
        model._read_history()
        return model

    def _copy(self) -> Self:
        """A copy that shares the weights and may have another graph."""
        model = copy.copy(self)
        model.encoder = copy.copy(self.encoder)
        return model

    def _read_history(self) -> None:
        """Predict with the current graph."""
        history = self._history
        self.last_block, self.neighbor_pairs = history.last_block, history.neighbor_pairs
        if history.graphs is not None:
            self.encoder.neighbors = history.neighbors()


def _graph_options(config: TASRecConfig) -> dict[str, Any] | None:
    """The arguments of `TemporalGraph`; None without a temporal item graph."""
    if config.variant == "base":
        return None
    return {
        "edge": config.day_edges,
        "decay": config.decay,
        "threshold": config.threshold,
        "distance": config.day_distance,
    }
