"""The parameters and the encoder of TASRec; `models.neural.tasrec` has the equations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from nextclick.graphs.temporal_graph import TemporalGraph
from nextclick.models.encoder import Encoder
from nextclick.models.model_explanation import record_attention
from nextclick.models.neural.sr_gnn import GatedGraph
from nextclick.models.ops.layers import Dropout, clear_padding_, item_embedding
from nextclick.models.ops.prefix_inputs import TensorRecord, built_for_all, scatter_to_batch
from nextclick.models.ops.session_graphs import (
    SessionGraph,
    clicks_without_graph,
    session_graph,
)
from nextclick.models.ops.tasrec_graph import TemporalItems, TemporalMessages, temporal_messages

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Int64Array
    from nextclick.graphs.neighbors import Neighbors


@dataclass(frozen=True, slots=True)
class TASRecConfig:
    """Parameters of TASRec."""

    variant: Annotated[
        Literal["full", "temp", "base"],
        Field(
            description="full; temp: without the session graph; base: without the temporal graph"
        ),
    ] = "full"
    hops: Annotated[
        int, Field(ge=1, description="K, rounds of messages over the temporal item graph")
    ] = 2
    layer_weights: Annotated[
        Literal["shared", "own"],
        Field(description="W_1: shared by all rounds, or one for each round"),
    ] = "shared"
    day_edges: Annotated[
        Literal["binary", "count"],
        Field(
            description="a pair of items counts once a day (equation 1) or as often as it occurs"
        ),
    ] = "binary"
    day_distance: Annotated[
        int,
        Field(
            ge=0,
            description="largest number of clicks from i to j for a pair of items of a session; "
            "1: adjacent clicks, 0: any",
        ),
    ] = 1
    decay: Annotated[float, Field(gt=0, lt=1, description="factor on all weights per day")] = 0.5
    threshold: Annotated[
        float,
        Field(gt=0, description="smallest weight of a neighbor; 1000000 leaves no edge"),
    ] = 1.0
    session_edges: Annotated[
        Literal["binary", "counted"],
        Field(description="an edge of a session weighs once or as often as it occurs (the paper)"),
    ] = "counted"
    steps: Annotated[int, Field(ge=1, description="steps of the session graph network")] = 1
    width: Annotated[int, Field(ge=1, description="width of embeddings and of all layers")] = 100
    dropout: Annotated[float, Field(ge=0, lt=1, description="dropout of the states z")] = 0.2
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 200


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
    """Both graph networks, and attention pooling.

    Attributes:
        neighbors: the temporal item graph of the next day; not one of the weights.
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
        graphs = prefixes or built_for_all(self.prepare_prefixes, items)
        graph = graphs.session
        states = self.dropout(self.states(items, graphs))  # (V, D), z
        last = states.index_select(0, graph.last)  # (P, D)
        beta = self.attention(states, last, graph)  # (E,)
        record_attention("attention-pooling", beta[None])
        session = graph.clicks.sum(states, beta)  # (P, D)
        queries = self.output(torch.cat([session, last], dim=-1))  # (P, D)
        return scatter_to_batch(queries, graph.cells, items)

    def states(self, items: Tensor, graphs: TASRecGraphs) -> Tensor:
        """(V, D) states z before dropout; "temp" has a state for each of the B * T cells."""
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
        return graph.clicks.energy(query, key, self.attend)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding, without bias and without the temporal graph."""
        return self.items.weight, None
