"""LESSR: message passing in the order of edges, and attention along shortcut edges.

Chen & Wong, Handling Information Loss of Graph Neural Networks for Session-based Recommendation,
KDD 2020. A prefix x_1..x_t has two graphs over its distinct items: a multigraph with an ordered
edge for each pair of successive clicks, and a shortcut graph with an edge from each item to each
item clicked with or after it. EOPA and SGAT layers alternate, EOPA first. Each layer reads the
concatenated outputs of all layers before it, x^0 = E, and prepends d features:

    EOPA  y_v = W_self x_v + W_neigh GRU(drop x_u, u → v in the order of the edges)
    SGAT  α_uv = softmax over u → v of eᵀ σ(W_q x_u + W_k x_v + b),  y_v = Σ_u α_uv W_v x_u

Layers batch-normalize x first (BN) and apply a PReLU to y. SGAT applies dropout to x, EOPA to the
messages only. A node without incoming edges has y_v = W_self x_v. With ℓ the last item:

    g     = PReLU(W_out Σ_v softmax over v of (eᵀ σ(W_u x_v + W_l x_ℓ + b)) x_v),  x = drop BN x
    score = E W drop BN [x_ℓ ; g]

Each prefix has nodes of its own: because of batch normalization and dropout, prefixes cannot share
states as in SR-GNN. Queries are causal: a later click changes earlier queries by rounding only, as
in `sr_gnn`. In training BN uses the mean and variance of all nodes in the batch, other prefixes
included, as in the authors' code; otherwise it uses the running statistics.

Embeddings have at most norm 1: longer rows are scaled down before each training step and wherever
they are read, as `max_norm` does in the code.

Differences from the authors' code (github.com/twchen/lessr):
- The code skips an incomplete last batch; we train on it. If it has a single node, BN uses the
  running statistics.
- The code draws prefixes; our batches are whole sessions with about `batch_size` prefixes.
- The code reads whole sessions; we read the latest 50 clicks.
- We keep repeated clicks in a row, as an edge from an item to itself; the authors' preparation
  removes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.models.encoder import Encoder
from nextclick.models.model_explanation import record_attention
from nextclick.models.neural_model import ATTENTIVE, NeuralModel
from nextclick.models.ops.layers import Dropout, clamp_norm, clear_padding_, item_embedding
from nextclick.models.ops.lessr_graph import LESSRGraphs, lessr_graphs
from nextclick.models.ops.prefix_inputs import built_for_all, scatter_to_batch
from nextclick.models.ops.segments import group_energy, group_softmax, group_sum
from nextclick.models.presets import SAMPLED_SOFTMAX_OF_GRAPHS, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Int64Array
    from nextclick.models.base import Capabilities

_MAX_NORM = 1.0  # of an embedding


@dataclass(frozen=True, slots=True)
class LESSRConfig:
    """Parameters of LESSR."""

    width: Annotated[int, Field(ge=1, description="width of embeddings and of each layer")] = 32
    layers: Annotated[int, Field(ge=1, le=16, description="EOPA and SGAT layers, alternating")] = 4
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout of the inputs of layers and pooling")
    ] = 0.2
    batch_norm: Annotated[
        bool, Field(description="batch-normalize the inputs of layers and pooling")
    ] = True
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 50


class LESSREncoder(Encoder):
    """Densely connected EOPA and SGAT layers, and attention pooling."""

    def __init__(self, config: LESSRConfig, n_items: int):
        super().__init__()
        d = config.width
        self.mixes_rows = config.batch_norm
        self.items = item_embedding(n_items, d)
        clear_padding_(self.items)
        self._limit_norms()
        self.layers = nn.ModuleList(
            (SGAT if number % 2 else EOPA)((number + 1) * d, config)
            for number in range(config.layers)
        )
        width = (config.layers + 1) * d
        self.readout = Readout(width, config)
        self.norm = _batch_norm(width + d, config)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(width + d, d, bias=False)

    @torch.no_grad()
    def _limit_norms(self) -> None:
        """Scale embeddings with a norm above 1 down to norm 1, in place."""
        weight = self.items.weight
        norm = torch.linalg.vector_norm(weight, dim=1, keepdim=True)  # (N + 1, 1)
        weight.mul_(_MAX_NORM / norm.clamp(min=_MAX_NORM))

    def prepare_prefixes(
        self, items: Int64Array, cells: Int64Array, session: Int64Array | None
    ) -> LESSRGraphs:
        """Both graphs of each prefix."""
        del session
        return lessr_graphs(items, cells)

    def decays(self, name: str) -> bool:
        """Weight decay for all parameters except biases, batch normalization and PReLU."""
        return not ("bias" in name or "norm" in name or "activation" in name)

    def forward(self, items: Tensor, prefixes: LESSRGraphs | None = None) -> Tensor:
        """(B, T, D) queries of (B, T) items."""
        graphs = prefixes or built_for_all(self.prepare_prefixes, items)
        if self.training:
            self._limit_norms()
        embeddings = self.items(items.flatten().index_select(0, graphs.nodes))  # (V, d)
        features = embeddings if self.training else clamp_norm(embeddings, _MAX_NORM)
        for layer in self.layers:
            features = torch.cat([layer(features, graphs), features], dim=-1)  # d wider
        last = features.index_select(0, graphs.last)  # (P, (L + 1) d)
        session = torch.cat([last, self.readout(features, graphs)], dim=-1)  # (P, (L + 2) d)
        queries = self.output(self.dropout(self.norm(session)))  # (P, d)
        return scatter_to_batch(queries, graphs.cells, items)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding, without bias."""
        weight = self.items.weight
        return (weight if self.training else clamp_norm(weight, _MAX_NORM)), None


class EOPA(nn.Module):
    """Edge-order preserving aggregation: a GRU over the messages of the incoming edges."""

    def __init__(self, width: int, config: LESSRConfig):
        super().__init__()
        self.norm = _batch_norm(width, config)
        self.dropout = Dropout(config.dropout)
        self.gru = nn.GRU(width, width)
        self.own = nn.Linear(width, config.width, bias=False)  # W_self
        self.neighbors = nn.Linear(width, config.width, bias=False)  # W_neigh
        self.activation = nn.PReLU(config.width)

    def forward(self, features: Tensor, graphs: LESSRGraphs) -> Tensor:
        """(V, d) outputs of (V, width) features of nodes."""
        features = self.norm(features)
        states = self.own(features)  # (V, d)
        edges = graphs.edge_order
        if len(edges.receivers):
            messages = self.dropout(features).index_select(0, edges.senders)  # (E, width)
            _, final = self.gru(PackedSequence(messages, edges.counts.cpu()))  # (1, R, width)
            states = states.index_add(0, edges.receivers, self.neighbors(final[0]))
        activated: Tensor = self.activation(states.float())
        return activated


class SGAT(nn.Module):
    """Shortcut graph attention: each node attends to the senders of its shortcuts."""

    def __init__(self, width: int, config: LESSRConfig):
        super().__init__()
        d = config.width
        self.norm = _batch_norm(width, config)
        self.dropout = Dropout(config.dropout)
        self.sender = nn.Linear(width, d)  # W_q, b
        self.receiver = nn.Linear(width, d, bias=False)  # W_k
        self.value = nn.Linear(width, d, bias=False)  # W_v
        self.attend = nn.Parameter(nn.Linear(d, 1).weight[0].detach())  # e
        self.activation = nn.PReLU(d)

    def forward(self, features: Tensor, graphs: LESSRGraphs) -> Tensor:
        """(V, d) outputs of (V, width) features of nodes."""
        features = self.dropout(self.norm(features))
        senders, bounds = graphs.shortcuts.senders, graphs.shortcuts.bounds
        query, key = self.receiver(features), self.sender(features)  # (V, d) each
        energy = group_energy(query, key, self.attend, senders, bounds)
        alpha = group_softmax(energy, bounds)  # (F,)
        states: Tensor = self.activation(group_sum(self.value(features), senders, bounds, alpha))
        return states


class Readout(nn.Module):
    """Attention pooling over the nodes of a prefix, with the last node as query."""

    def __init__(self, width: int, config: LESSRConfig):
        super().__init__()
        d = config.width
        self.norm = _batch_norm(width, config)
        self.dropout = Dropout(config.dropout)
        self.each = nn.Linear(width, d, bias=False)  # W_u
        self.last = nn.Linear(width, d)  # W_l, b
        self.attend = nn.Parameter(nn.Linear(d, 1).weight[0].detach())  # e
        self.output = nn.Linear(width, d, bias=False)  # W_out
        self.activation = nn.PReLU(d)

    def forward(self, features: Tensor, graphs: LESSRGraphs) -> Tensor:
        """(P, d) session features of (V, width) features of nodes."""
        features = self.dropout(self.norm(features))
        bounds = graphs.node_bounds
        nodes = torch.arange(len(features), device=features.device)
        query, key = self.last(features.index_select(0, graphs.last)), self.each(features)
        energy = group_energy(query, key, self.attend, nodes, bounds)  # (V,)
        alpha = group_softmax(energy, bounds)  # (V,)
        # the weight of an item is recorded at its first click
        record_attention("attention-pooling", alpha[None], graphs.nodes)
        pooled = group_sum(features, nodes, bounds, alpha)  # (P, width)
        session: Tensor = self.activation(self.output(pooled).float())
        return session


class BatchNorm(nn.BatchNorm1d):
    """Batch normalization that uses the running statistics for a single row."""

    def forward(self, rows: Tensor) -> Tensor:
        """(V, D) normalized rows."""
        if self.training and len(rows) > 1:
            return super().forward(rows)
        return nn.functional.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


def _batch_norm(width: int, config: LESSRConfig) -> nn.Module:
    return BatchNorm(width) if config.batch_norm else nn.Identity()


class LESSR(NeuralModel):
    """Lossless edge-order preserving aggregation and shortcut graph attention."""

    name: ClassVar[str] = "lessr"
    Config: ClassVar[type[LESSRConfig]] = LESSRConfig
    encoder_type: ClassVar[type[Encoder]] = LESSREncoder
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "width": Choice(32, 64, 100),
        "layers": IntRange(1, 5),
        "dropout": FloatRange(0.0, 0.5),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": SAMPLED_SOFTMAX_OF_GRAPHS,
        "paper": {
            "loss": "ce",
            "optimizer": "adamw",
            "learning_rate": 0.001,
            "weight_decay": 1e-4,
            "batch_size": 512,
            "order": "sessions",
            "epochs": 30,
            "patience": 2,
        },
    }
