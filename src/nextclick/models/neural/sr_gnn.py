"""SR-GNN: a gated graph network over the graph of a session, then attention by its last click.

Wu et al., Session-based Recommendation with Graph Neural Networks, AAAI 2019. The graph of the
prefix x_1..x_t has a node v for each distinct item and an edge u → v where v was clicked right
after u. With h_v the embedding of v, a step of the network is (numbers are the paper's equations)

    a_v = [Σ_u (W_in h_u + c_in) / indegree(v) + b_in ;            over edges u → v
           Σ_u (W_out h_u + c_out) / outdegree(v) + b_out]         over edges v → u   (1)
    h_v = GRU(a_v, h_v)                                                               (2)-(5)

and from the states z after the last step, one for each click,

    β_j   = qᵀ σ(W_1 z_t + W_2 z_j + c)            no softmax     (6)
    s     = W_3 [Σ_j β_j z_j ; z_t] + b_3                         (7)
    score = E s                                                   (8)

`variant` keeps Σ_j β_j z_j alone ("global", the code's `nonhybrid`) or z_t alone ("local", the
paper's SR-GNN-L). A click on an item that the prefix has twice counts twice in (7), as in the code.

All prefixes of a session are one pass, although each has a graph of its own: a further click adds
one edge, which after one step can change no states but those of its two ends, so that each state
is computed once for all prefixes that share it (`session_graphs`). That is exact, because a state
is a function of its own prefix and nothing is drawn or normalized across nodes. A later click
changes no earlier query, to rounding: how many states a batch has decides how products round.

Where paper and code (github.com/CRIPAC-DIG/SR-GNN) differ, or we differ from both:
- Edges are binary in the code; in the paper an edge counts as often as it occurs: `edges`.
- The code has both biases of (1), the paper b alone. We have both.
- W_1 and W_2 have a bias each in the code, which is the same as one.
- The code reads whole sessions, we the latest 200 clicks.
- A batch is about `batch_size` prefixes, those of whole sessions; the code draws prefixes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, IntRange, Space
from nextclick.models.explanation import record_attention
from nextclick.models.neural_model import ATTENTIVE, NEURAL, Encoder, NeuralModel
from nextclick.models.ops.layers import clear_padding_, item_embedding
from nextclick.models.ops.segments import group_energy, group_sum
from nextclick.models.ops.session_graphs import given_or_built, placed, shared_graphs
from nextclick.models.presets import SAMPLED_SOFTMAX_OF_GRAPHS, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import AnyArray, Int64Array
    from nextclick.models.base import Capabilities


@dataclass(frozen=True, slots=True)
class SRGNNConfig:
    """Parameters of SR-GNN."""

    variant: Annotated[
        Literal["hybrid", "global", "local"],
        Field(description="session features: attended states, last state, or both (hybrid)"),
    ] = "hybrid"
    edges: Annotated[
        Literal["binary", "counted"],
        Field(description="an edge counts once (the authors' code) or as often as it occurs"),
    ] = "binary"
    steps: Annotated[int, Field(ge=1, description="steps of the graph network")] = 1
    width: Annotated[int, Field(ge=1, description="width of embeddings and of all layers")] = 100
    max_length: Annotated[int, Field(ge=1, description="latest clicks that are read")] = 200


class SRGNNEncoder(Encoder):
    """Gated graph network and read-out."""

    def __init__(self, config: SRGNNConfig, n_items: int):
        super().__init__()
        D = config.width
        self.config = config
        self.items = item_embedding(n_items, D)
        self.network = GatedGraph(D, config.steps)
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

    def prepared(
        self, items: Int64Array, where: Int64Array, session: Int64Array | None
    ) -> dict[str, AnyArray]:
        """The graphs of the prefixes; see `session_graphs.shared_graphs`."""
        del session
        counted = self.config.edges == "counted"
        return shared_graphs(items, where, steps=self.config.steps, counted=counted)

    def forward(self, items: Tensor, **graph: Tensor) -> Tensor:
        """(B, T, D) queries of (B, T) items."""
        graph = given_or_built(self, items, graph)
        states = self.network(self.items(items).flatten(0, 1), graph)  # (V, D)
        last = states.index_select(0, graph["last"])  # (P, D)
        if self.config.variant == "local":
            return placed(last, graph["cells"], items)
        clicks, bounds = graph["clicks"], graph["click_bounds"]
        beta = self.attention(states, last, clicks, bounds)
        record_attention("read-out", beta[None])
        session = group_sum(states, clicks, bounds, beta)  # (P, D)
        if self.config.variant == "hybrid":
            session = self.output(torch.cat([session, last], dim=-1))
        return placed(session, graph["cells"], items)

    def attention(self, states: Tensor, last: Tensor, clicks: Tensor, bounds: Tensor) -> Tensor:
        """(E,) β, how much each click counts for each prefix."""
        query, key = self.attend_last(last), self.attend_each(states)
        return group_energy(query, key, self.attend, clicks, bounds)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding, without bias."""
        return self.items.weight, None


class GatedGraph(nn.Module):
    """The gated graph network, over states that prefixes share."""

    def __init__(self, width: int, steps: int):
        super().__init__()
        self.steps = steps
        self.into = nn.Linear(width, width)  # W_in, c_in
        self.out_of = nn.Linear(width, width)  # W_out, c_out
        self.into_bias = nn.Parameter(torch.zeros(width))  # b_in
        self.out_of_bias = nn.Parameter(torch.zeros(width))  # b_out
        self.gates = nn.GRUCell(2 * width, width)

    def forward(self, states: Tensor, graph: dict[str, Tensor]) -> Tensor:
        """(V, D) states after the last step, of (B * T, D) embeddings of clicks.

        Args:
            states: (B * T, D), one for each cell of the batch.
            graph: what `shared_graphs` made.
        """
        for k in range(1, self.steps + 1):
            before = group_sum(self.into(states), *_edges(graph, "before", k)) + self.into_bias
            after = group_sum(self.out_of(states), *_edges(graph, "after", k)) + self.out_of_bias
            own = states.index_select(0, graph[f"own_{k}"])
            states = self.gates(torch.cat([before, after], dim=-1), own)
        return states


def _edges(graph: dict[str, Tensor], name: str, step: int) -> tuple[Tensor, Tensor, Tensor]:
    return (
        graph[f"{name}_{step}"],
        graph[f"{name}_bounds_{step}"],
        graph[f"{name}_share_{step}"],
    )


class SRGNN(NeuralModel):
    """Session graphs with a gated graph network."""

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
        """Attention, where the variant has any."""
        return NEURAL if config.variant == "local" else ATTENTIVE
