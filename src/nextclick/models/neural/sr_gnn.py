"""SR-GNN: a gated graph network over the session graph, then attention with the last click.

Wu et al., Session-based Recommendation with Graph Neural Networks, AAAI 2019. The graph of the
prefix x_1..x_t has a node v for each distinct item and an edge u → v where v was clicked right
after u. A step of the network, with h_v the embedding of v (numbers are the paper's equations):

    a_v = [Σ_u (W_in h_u + c_in) / indegree(v) + b_in ;            over edges u → v
           Σ_u (W_out h_u + c_out) / outdegree(v) + b_out]         over edges v → u   (1)
    h_v = GRU(a_v, h_v)                                                               (2)-(5)

With z_j the state after the last step of the node of click j:

    β_j   = qᵀ σ(W_1 z_t + W_2 z_j + c)            no softmax     (6)
    s     = W_3 [Σ_j β_j z_j ; z_t] + b_3                         (7)
    score = E s                                                   (8)

`variant` uses Σ_j β_j z_j alone ("global", the code's `nonhybrid`) or z_t alone ("local", the
paper's SR-GNN-L). An item clicked twice counts twice in (7), as in the code.

One pass computes all prefixes of a session, although each has a graph of its own: a further click
adds at most one edge and changes few states, so a state is computed once for all prefixes that
share it (`ops.session_graphs`). The result is exact, because nothing is drawn or normalized across
nodes. A later click changes earlier queries by rounding only: the number of states in a batch
decides how matrix products round.

Differences between the paper, the authors' code (github.com/CRIPAC-DIG/SR-GNN) and ours:
- In the code edges are binary; in the paper an edge weighs as often as it occurs. See `edges`.
- The code has both biases of (1), the paper b alone. We have both.
- In the code W_1 and W_2 have a bias each, which is equivalent to one.
- The code reads whole sessions; we read the latest 200 clicks.
- The code draws prefixes; our batches are whole sessions with about `batch_size` prefixes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, IntRange, Space
from nextclick.models.encoder import Encoder
from nextclick.models.model_explanation import record_attention
from nextclick.models.neural_model import ATTENTIVE, NEURAL, NeuralModel
from nextclick.models.ops.dense_graphs import DenseGraph, dense_graph
from nextclick.models.ops.layers import clear_padding_, item_embedding
from nextclick.models.ops.prefix_inputs import built_for_all, scatter_to_batch
from nextclick.models.ops.session_graphs import SessionGraph, session_graph
from nextclick.models.presets import SAMPLED_SOFTMAX_OF_GRAPHS, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Int64Array
    from nextclick.models.base import Capabilities


@dataclass(frozen=True, slots=True)
class SRGNNConfig:
    """Parameters of SR-GNN."""

    variant: Annotated[
        Literal["hybrid", "global", "local"],
        Field(description="session features: attended states (global), last state (local) or both"),
    ] = "hybrid"
    edges: Annotated[
        Literal["binary", "counted"],
        Field(description="an edge weighs once (the authors' code) or as often as it occurs"),
    ] = "binary"
    steps: Annotated[int, Field(ge=1, description="steps of the graph network")] = 1
    width: Annotated[int, Field(ge=1, description="width of embeddings and of all layers")] = 100
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 200


class SRGNNEncoder(Encoder):
    """Gated graph network and attention pooling."""

    def __init__(self, config: SRGNNConfig, n_items: int):
        super().__init__()
        D = config.width
        self.config = config
        self.items = item_embedding(n_items, D)
        self.network = GatedGraph(D)
        if config.variant != "local":
            self.attend_last = nn.Linear(D, D)  # W_1, c
            self.attend_each = nn.Linear(D, D)  # W_2
            self.attend = nn.Parameter(torch.empty(D))  # q
        if config.variant == "hybrid":
            self.output = nn.Linear(2 * D, D)  # W_3, b_3
        bound = 1.0 / math.sqrt(D)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)
        clear_padding_(self.items)

    def prepare_prefixes(
        self, items: Int64Array, cells: Int64Array, session: Int64Array | None
    ) -> SessionGraph:
        """The graphs of the prefixes."""
        del session
        counted = self.config.edges == "counted"
        return session_graph(items, cells, steps=self.config.steps, counted=counted)

    def last_prefixes(self, items: Tensor, last: Tensor) -> DenseGraph:
        """See `Encoder.last_prefixes`."""
        counted = self.config.edges == "counted"
        return dense_graph(items, last, steps=self.config.steps, counted=counted)

    def forward(self, items: Tensor, prefixes: SessionGraph | DenseGraph | None = None) -> Tensor:
        """(B, T, D) queries of (B, T) items."""
        graph = prefixes or built_for_all(self.prepare_prefixes, items)
        states = self.network(self.items(items).flatten(0, 1), graph)  # (V, D)
        last = states.index_select(0, graph.last)  # (P, D)
        if self.config.variant == "local":
            return scatter_to_batch(last, graph.cells, items)
        beta = self.attention(states, last, graph)  # (E,)
        record_attention("attention-pooling", beta[None])
        session = graph.clicks.sum(states, beta)  # (P, D)
        if self.config.variant == "hybrid":
            session = self.output(torch.cat([session, last], dim=-1))
        return scatter_to_batch(session, graph.cells, items)

    def attention(self, states: Tensor, last: Tensor, graph: SessionGraph | DenseGraph) -> Tensor:
        """(E,) β, the weight of each click of each prefix."""
        query, key = self.attend_last(last), self.attend_each(states)  # (P, D), (V, D)
        return graph.clicks.energy(query, key, self.attend)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding, without bias."""
        return self.items.weight, None


class GatedGraph(nn.Module):
    """The gated graph network of equations 1 to 5, over states that prefixes share."""

    def __init__(self, width: int):
        super().__init__()
        self.into = nn.Linear(width, width)  # W_in, c_in
        self.out_of = nn.Linear(width, width)  # W_out, c_out
        self.into_bias = nn.Parameter(torch.zeros(width))  # b_in
        self.out_of_bias = nn.Parameter(torch.zeros(width))  # b_out
        self.gates = nn.GRUCell(2 * width, width)

    def forward(self, states: Tensor, graph: SessionGraph | DenseGraph) -> Tensor:
        """(V, D) states after the last step.

        Args:
            states: (B * T, D) embeddings, one for each cell of the batch.
            graph: the graphs of the prefixes.
        """
        for step in graph.steps:
            before = step.predecessors.sum(self.into(states)) + self.into_bias  # (V, D)
            after = step.successors.sum(self.out_of(states)) + self.out_of_bias  # (V, D)
            own = states.index_select(0, step.own)  # (V, D)
            states = self.gates(torch.cat([before, after], dim=-1), own)  # (V, D)
        return states


class SRGNN(NeuralModel):
    """Session-based recommendation with a gated graph network."""

    name: ClassVar[str] = "sr-gnn"
    Config: ClassVar[type[SRGNNConfig]] = SRGNNConfig
    encoder_type: ClassVar[type[Encoder]] = SRGNNEncoder
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "width": Choice(50, 100, 150),
        "steps": IntRange(1, 2),
        "edges": Choice("binary", "counted"),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": SAMPLED_SOFTMAX_OF_GRAPHS,
        "paper": {
            "loss": "ce",
            "optimizer": "adam",
            "learning_rate": 0.001,
            "weight_decay": 1e-5,
            "schedule": "step",
            "schedule_every": 3,
            "schedule_factor": 0.1,
            "batch_size": 100,
            "order": "sessions",
            "epochs": 30,
            "patience": 10,
        },
    }

    @classmethod
    def capabilities_of(cls, config: SRGNNConfig) -> Capabilities:
        """Attention, unless the variant is "local"."""
        return NEURAL if config.variant == "local" else ATTENTIVE
