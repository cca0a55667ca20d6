"""LGSR: self-attention over a session, with item embeddings also trained on a global item graph.

Xu et al., Joint Modeling of Local and Global Behavior Dynamics for Session-based Recommendation,
ECAI 2020. For the prefix that ends at click t, with P_a the position embedding of the a-th click
before the last (numbers are the paper's equations):

    e_i   = drop(E x_i + P_{t-i})
    S     = softmax over j ≤ i of (e_i W_q · e_j W_k / √d), times e_j W_v               (6), (7)
    f     = W^(2) ReLU(W^(1) S + b^(1)) + b^(2)                                         (8)
    α_i   = softmax over i ≤ t of qᵀ σ(W_1 f_t + W_2 f_i),  s_l = Σ α_i f_i             (9)
    s     = W_3 drop([f_t ; s_l]),  score = E s                                         (10)

Each epoch starts with `graph_passes` passes over skip-gram pairs of random walks on the item graph,
which also train E (`lgsr_graph`, equations 1 to 5). One pass over the prefixes follows.

`variant` selects the paper's ablations: "c" has no item graph, "a" scores with f_t alone, "h"
replaces (6) to (9) by SR-GNN.

Differences between the paper, the authors' code (github.com/chenjh1988/LGSR) and ours:
- Only the code has residual connections, LayerNorm and dropout after attention and feed-forward
  layers: `residual`, on by default.
- Positions count from the last click, so every prefix has different inputs and is a separate row.
  As in the code, the latest 19 clicks are read.
- With "the first (i - 1) items" of 2.4.1 the first click could attend to nothing; the masks of the
  paper and the code include the click itself.
- Equation 9 names a bias c and does not use it. σ is the sigmoid.
- Equation 11 is a binary cross-entropy; the code and we use the cross-entropy of the softmax.
- Neither the code nor we use λ_1 of equation 12; the number of passes weighs the graph loss.
- The learning rate of the paper is constant, and so is ours in "paper"; the authors' latest code
  multiplies it by 0.1 every tenth of an epoch.
- λ_2 / 2 ‖Θ‖² is added in the pass over prefixes, for all weights except those of contexts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.models.encoder import Encoder
from nextclick.models.model_explanation import record_attention
from nextclick.models.neural.sr_gnn import SRGNNConfig, SRGNNEncoder
from nextclick.models.neural_model import ATTENTIVE, NeuralModel
from nextclick.models.ops.layers import Dropout, clear_padding_, item_embedding
from nextclick.models.ops.lgsr_graph import ItemGraphTask
from nextclick.models.ops.prefix_inputs import (
    TensorRecord,
    built_for_all,
    last_cells,
    scatter_to_batch,
    tensors,
)
from nextclick.models.presets import QUICK_SOFTMAX, TRAINING_SPACE

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int64Array
    from nextclick.models.base import Capabilities


@dataclass(frozen=True, slots=True)
class LGSRConfig:
    """Parameters of LGSR."""

    variant: Annotated[
        Literal["full", "c", "a", "h"],
        Field(
            description="full; c: without the item graph; a: the last state alone; "
            "h: SR-GNN as the session encoder"
        ),
    ] = "full"
    residual: Annotated[
        bool,
        Field(description="residual connections, LayerNorm and dropout (the authors' code)"),
    ] = True
    width: Annotated[int, Field(ge=1, description="width of embeddings and of all layers")] = 100
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout of inputs, attention, layers and output")
    ] = 0.3
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 19
    graph_passes: Annotated[
        int, Field(ge=0, description="g, passes over the item graph before each epoch")
    ] = 2
    graph_epochs: Annotated[
        int, Field(ge=0, description="number of first epochs with such passes; 0 for all")
    ] = 0
    walks: Annotated[int, Field(ge=1, description="T, walks from each item in a pass")] = 13
    walk_length: Annotated[int, Field(ge=2, description="L, largest number of items in a walk")] = (
        50
    )
    window: Annotated[
        int, Field(ge=1, description="largest distance of center and context in a walk")
    ] = 8
    contexts: Annotated[
        Literal["both", "right"],
        Field(
            description="contexts on both sides of a center, or only after it; the authors' code "
            "is right with window=7"
        ),
    ] = "both"
    graph_loss: Annotated[
        Literal["nce", "negative_sampling"],
        Field(description="nce (the authors' code) or negative_sampling (equation 5)"),
    ] = "nce"
    graph_negatives: Annotated[
        int, Field(ge=1, description="negatives that all pairs of a step share")
    ] = 512
    negative_ranks: Annotated[
        Literal["clicks", "edges"],
        Field(
            description="negatives are drawn by the rank of the number of transitions to and from "
            "an item, or of distinct items before and after it (the authors' code)"
        ),
    ] = "clicks"
    graph_rate: Annotated[
        float,
        Field(gt=0, description="learning rate of graph steps, as a multiple of learning_rate"),
    ] = 1.0
    graph_batch: Annotated[
        int, Field(ge=1, description="approximate number of pairs in a graph step")
    ] = 8192
    graph_pairs: Annotated[
        int, Field(ge=0, description="approximate limit of pairs in a pass; 0 for all pairs")
    ] = 0


@dataclass(frozen=True, slots=True, eq=False)
class LatestClicks(TensorRecord):
    """The clicks that the encoder reads of P prefixes.

    Attributes:
        cells: (P,) int64, the cell of the last click of each prefix, ascending.
        latest: (P, K) int64, the latest clicks of each prefix, the last one first; 0 is padding.
    """

    cells: Tensor
    latest: Tensor


class LGSREncoder(Encoder):
    """Self-attention over each prefix, then attention pooling."""

    def __init__(self, config: LGSRConfig, n_items: int):
        super().__init__()
        D = config.width
        self.config = config
        self.items = item_embedding(n_items, D)
        self.positions = nn.Parameter(torch.empty(config.max_length, D))
        self.dropout = Dropout(config.dropout)
        self.project = nn.Linear(D, 3 * D, bias=False)  # W_q, W_k, W_v
        self.inner = nn.Linear(D, D)  # W^(1)
        self.outer = nn.Linear(D, D)  # W^(2)
        if config.variant != "a":
            self.attend_last = nn.Linear(D, D, bias=False)  # W_1
            self.attend_each = nn.Linear(D, D, bias=False)  # W_2
            self.attend = nn.Parameter(torch.empty(D))  # q
            self.output = nn.Linear(2 * D, D, bias=False)  # W_3
        bound = 1.0 / math.sqrt(D)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)
        clear_padding_(self.items)
        if config.residual:
            self.attention_norm = nn.LayerNorm(D)
            self.inner_norm = nn.LayerNorm(D)

    def prepare_prefixes(
        self, items: Int64Array, cells: Int64Array, session: Int64Array | None
    ) -> LatestClicks:
        """The latest clicks of each prefix."""
        del session
        t = cells % items.shape[1]  # (P,)
        K = min(int(t.max(initial=0)) + 1, self.config.max_length)
        distance = np.arange(K)  # from the last click
        is_click = distance <= t[:, None]  # (P, K)
        clicks = items.ravel()[np.where(is_click, cells[:, None] - distance, 0)]  # (P, K)
        return LatestClicks(*tensors(cells, np.where(is_click, clicks, 0)))

    def last_prefixes(self, items: Tensor, last: Tensor) -> LatestClicks:
        """See `Encoder.last_prefixes`; T is at most `max_length`."""
        cells = last_cells(items, last)
        position = last[:, None] - torch.arange(items.shape[1], device=items.device)  # (B, T)
        clicks = items.gather(1, position.clamp(min=0))  # (B, T), the last one first
        return LatestClicks(cells, clicks.masked_fill(position < 0, 0))

    def forward(self, items: Tensor, prefixes: LatestClicks | None = None) -> Tensor:
        """(B, T, D) queries of (B, T) items."""
        prefixes = prefixes or built_for_all(self.prepare_prefixes, items)
        latest = prefixes.latest  # (P, K)
        states = self.states(latest)  # (P, K, D)
        last = states[:, 0]  # (P, D), f_t
        if self.config.variant == "a":
            return scatter_to_batch(last, prefixes.cells, items)
        alpha = self.attention(states, latest)  # (P, K)
        record_attention("attention-pooling", alpha[:1].flip(1))  # in the order of clicks
        session = (alpha[:, None] @ states)[:, 0]  # (P, D), s_l
        queries = self.output(self.dropout(torch.cat([last, session], dim=-1)))  # (P, D)
        return scatter_to_batch(queries, prefixes.cells, items)

    def states(self, latest: Tensor) -> Tensor:
        """(P, K, D) states f of (P, K) clicks, the last click first."""
        config = self.config
        x = self.dropout(self.items(latest) + self.positions[: latest.shape[1]])  # (P, K, D)
        query, key, value = self.project(x).chunk(3, dim=-1)  # (P, K, D) each
        weights = self.self_attention(query, key, latest)  # (P, K, K)
        record_attention("self-attention", weights[:1].flip(1, 2))
        attended = self.dropout(weights) @ value  # (P, K, D), S
        if config.residual:
            attended = self.attention_norm(x + self.dropout(attended))
        states: Tensor = self.outer(self.dropout(torch.relu(self.inner(attended))))
        if config.residual:
            states = self.inner_norm(attended + self.dropout(states))
        return states

    def self_attention(self, query: Tensor, key: Tensor, latest: Tensor) -> Tensor:
        """(P, K, K) weights: row i is a softmax over columns j ≥ i, click i and those before it."""
        K = latest.shape[1]
        energy = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
        later = torch.ones(K, K, dtype=torch.bool, device=latest.device).tril(-1)
        diagonal = torch.eye(K, dtype=torch.bool, device=latest.device)
        # padding attends to itself, so that no row of the softmax is empty
        masked = (later | (latest == 0)[:, None]) & ~diagonal  # (P, K, K)
        return energy.masked_fill(masked, -torch.inf).softmax(dim=-1)

    def attention(self, states: Tensor, latest: Tensor) -> Tensor:
        """(P, K) α, the weight of each click; 0 for padding."""
        query, key = self.attend_last(states[:, :1]), self.attend_each(states)
        energy = torch.sigmoid(query + key) @ self.attend  # (P, K)
        return energy.masked_fill(latest == 0, -torch.inf).softmax(dim=-1)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding, without bias."""
        return self.items.weight, None


def _encoder(config: LGSRConfig, n_items: int) -> LGSREncoder | SRGNNEncoder:
    if config.variant == "h":
        return SRGNNEncoder(SRGNNConfig(width=config.width, max_length=config.max_length), n_items)
    return LGSREncoder(config, n_items)


_PAPER: dict[str, Any] = {
    "loss": "ce",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "weight_decay": 1e-6,
    "batch_size": 512,
    "order": "sessions",
    "epochs": 30,
}


class LGSR(NeuralModel):
    """Local self-attention with a global item graph."""

    name: ClassVar[str] = "lgsr"
    Config: ClassVar[type[LGSRConfig]] = LGSRConfig
    encoder_type: ClassVar[Callable[..., Encoder]] = staticmethod(_encoder)
    encoder: LGSREncoder | SRGNNEncoder
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "width": Choice(50, 100, 150),
        "dropout": FloatRange(0.0, 0.6),
        "graph_passes": IntRange(1, 4),
        "walks": Choice(5, 9, 13, 17),
        "walk_length": Choice(10, 25, 50),
        "window": IntRange(2, 10),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": QUICK_SOFTMAX
        | {"weight_decay": 1e-6, "graph_pairs": 4_000_000, "graph_rate": 0.25},
        "paper": _PAPER,
        "c": _PAPER | {"variant": "c"},
        "a": _PAPER | {"variant": "a"},
        "h": _PAPER | {"variant": "h"},
    }

    def task(self, sessions: Sessions, seed: int) -> ItemGraphTask | None:
        """Training on the item graph; None for a config without one."""
        if not _has_graph(self.config):
            return None
        return ItemGraphTask(self.encoder.items, sessions, self.config, seed)

    @classmethod
    def task_weights(cls, config: LGSRConfig, n_items: int) -> tuple[int, int]:
        """The context embeddings with their biases, and these plus the item embeddings."""
        if not _has_graph(config):
            return 0, 0
        n_embedding = (n_items + 1) * config.width
        n_own = n_embedding + (n_items + 1 if config.graph_loss == "nce" else 0)
        return n_own, n_own + n_embedding


def _has_graph(config: LGSRConfig) -> bool:
    return config.variant != "c" and config.graph_passes > 0
