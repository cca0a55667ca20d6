"""Cosine-GRU: a GRU with distance- and repeat-aware attention, cosine scores and shared item rows.

A model of this project that combines parts of published ones. x̂ is x / ‖x‖, N(i) are the K items
clicked most often near item i with their shares w_ij, and c_tj is the number of clicks on i_j in
1..t. For the prefix i_1 … i_t:

    ê_i  = unit vector of  e_i + λ Σ_{j in N(i)} w_ij e_j                  item vectors
    x_j  = drop(s ê_{i_j}),  s = √D / 4
    h    = GRU(x_j + R[c_jj])                               R: first, second or later click
    a_tj = vᵀ σ(Q [h_t ; m_t] + K h_j + P[t - j] + C[c_tj]),  m_t = mean of x_1 … x_t
    g_t  = Σ_j α_tj x_j,  α_t = softmax of a_t over j ≤ t
    r_t  = W [g_t ; h_t ; x_t],  γ_t = σ(G [r_t ; g_t])
    o_t  = γ_t ⊙ r_t + (1 - γ_t) ⊙ g_t
    score of i = τ ô_t · ê_i

Sources of the parts: unit vectors with a temperature, Gupta et al., NISER, 2019; dropout of the
candidates' vectors, Hou et al., CORE, SIGIR 2022; attention by the mean and the last state and the
gate before the attended vector, Pan et al., SGNN-HN, CIKM 2020; attention by repeats,
Ren et al., RepeatNet, AAAI 2019. Item vectors that contain those of neighboring items are a static
form of the global graph of Wang et al., GCE-GNN, SIGIR 2020: a click on an item also trains the
vectors of its neighbors, which matters most for items with few clicks.

With `times` the GRU also reads an embedding of the gap before each click, in the bins of ASARS.

The sum over N(i) is part of the training only. Afterwards the unit vectors ê replace the item
table, so a trained model has neither a graph nor a norm to compute, and `refresh` continues from ê.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import embedding, normalize

from nextclick.core.search_space import Choice, FloatRange, Space
from nextclick.graphs.nearby_items import nearby_items
from nextclick.models.dataset_info import NO_DATASET_INFO, DatasetInfo
from nextclick.models.encoder import Encoder
from nextclick.models.features.feature_options import FeatureConfig
from nextclick.models.features.item_embedding import ItemEmbedding
from nextclick.models.model_explanation import record_attention
from nextclick.models.neural_model import ATTENTIVE, NeuralModel
from nextclick.models.ops.additive_attention import additive_energy
from nextclick.models.ops.gap_bins import START
from nextclick.models.ops.gru import GRU
from nextclick.models.ops.layers import (
    Dropout,
    causal_softmax,
    clear_padding_,
    unit_rows_,
)
from nextclick.models.ops.neighbor_sums import neighbor_sums
from nextclick.models.presets import QUICK_SOFTMAX, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray
    from nextclick.graphs.nearby_items import NearbyItems
    from nextclick.models.base import Capabilities
    from nextclick.models.features.item_features import ItemFeatures

N_REPEATS = 3  # a first, second or later click on an item


@dataclass(frozen=True, slots=True)
class CosineGRUConfig(FeatureConfig):
    """Parameters of Cosine-GRU."""

    width: Annotated[int, Field(ge=1, description="width of item vectors and states")] = 128
    temperature: Annotated[
        float, Field(gt=0, description="τ, factor of the cosine of query and item")
    ] = 14.0
    neighbors: Annotated[
        int, Field(ge=0, description="K, neighbors that are part of an item vector; 0 for none")
    ] = 8
    neighbor_weight: Annotated[
        float, Field(ge=0, lt=1, description="λ, weight of the neighbors in an item vector")
    ] = 0.5
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout of the vectors of the clicks")
    ] = 0.25
    item_dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout of the vectors of the candidates")
    ] = 0.1
    times: Annotated[bool, Field(description="read the gap before each click, in bins")] = False
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 20


class CosineGRUEncoder(Encoder):
    """GRU, attention over its states, and the gate between both."""

    def __init__(
        self, config: CosineGRUConfig, n_items: int, dataset_info: DatasetInfo = NO_DATASET_INFO
    ):
        super().__init__()
        D = config.width
        self.config = config
        self.bins = dataset_info.bins
        self.items = ItemEmbedding(n_items, D, dataset_info.features, config.id_dropout)  # e
        self.repeats = nn.Parameter(torch.zeros(N_REPEATS, D))  # R
        self.gru = GRU(D, D)
        self.attend_prefix = nn.Linear(2 * D, D)  # Q
        self.attend_click = nn.Linear(D, D, bias=False)  # K
        self.distances = nn.Parameter(torch.zeros(config.max_length, D))  # P
        self.counts = nn.Parameter(torch.zeros(N_REPEATS, D))  # C
        self.attend = nn.Parameter(torch.empty(D))  # v
        self.read = nn.Linear(3 * D, D, bias=False)  # W
        self.gate = nn.Linear(2 * D, D)  # G
        self.dropout = Dropout(config.dropout)
        self.item_dropout = Dropout(config.item_dropout)
        self.neighbors: NeighborVectors | None = None
        self.is_unit = False  # whether the rows of `items` are unit vectors already
        bound = 1.0 / math.sqrt(D)
        nn.init.uniform_(self.items.weight, -bound, bound)
        nn.init.uniform_(self.attend, -bound, bound)
        clear_padding_(self.items)
        if self.bins is not None:
            width = torch.tensor([self.bins.width], dtype=torch.float64)
            self.register_buffer("gap_width", width)
            self.gaps = nn.Embedding(self.bins.n_rows, D)
            nn.init.zeros_(self.gaps.weight)

    def forward(
        self, items: Tensor, gaps: Tensor | None = None, waited: Tensor | None = None
    ) -> Tensor:
        """(B, T, D) queries τ ô of (B, T) items; `gaps` as in `Encoder`, with `times`."""
        del waited
        D = self.config.width
        x = self.dropout(self.vectors(items) * (math.sqrt(D) / 4))  # (B, T, D)
        same = items[:, :, None] == items[:, None, :]  # (B, T, T), of clicks on one item
        own_count = same.tril().sum(2)  # (B, T), c_jj
        inputs = x + embedding(own_count.clamp(max=N_REPEATS) - 1, self.repeats)  # (B, T, D)
        if self.bins is not None:
            assert gaps is not None
            rows = self.bins.rows(gaps)  # (B, T)
            rows[:, 0] = START
            inputs = inputs + self.gaps(rows)
        hidden, _ = self.gru(inputs)  # (B, T, D)
        counts = clicks_so_far(same, last_only=self.last_only)  # (B, T, T)
        alpha = self.attention(x, hidden, counts)  # (B, T, T)
        record_attention("attention-pooling", alpha[:, -1])
        attended = alpha @ x  # (B, T, D), g
        hidden, x = hidden[:, self.queried], x[:, self.queried]
        read_out = self.read(torch.cat([attended, hidden, x], dim=-1))  # (B, T, D), r
        gate = torch.sigmoid(self.gate(torch.cat([read_out, attended], dim=-1)))
        output = torch.addcmul(attended, gate, read_out - attended)  # (B, T, D), o
        return normalize(output, dim=-1) * self.config.temperature

    def attention(self, x: Tensor, hidden: Tensor, counts: Tensor) -> Tensor:
        """(B, T, T) α, the weight of click j in the prefix that ends at t; 0 for j > t.

        Args:
            x: (B, T, D).
            hidden: (B, T, D), h.
            counts: (B, T, T), c_tj, at most 3.
        """
        T = x.shape[1]
        length = torch.arange(1, T + 1, device=x.device)  # (T,)
        last = length[self.queried, None]  # (T, 1)
        mean = x.cumsum(1)[:, self.queried] / last  # (B, T, D), m
        distance = (last - length).clamp(0, len(self.distances) - 1)  # (T, T)
        relation = (self.distances[:, None] + self.counts).flatten(0, 1)  # P + C of all pairs
        energy = additive_energy(
            self.attend_prefix(torch.cat([hidden[:, self.queried], mean], dim=-1)),
            self.attend_click(hidden),
            self.attend,
            (relation, distance * N_REPEATS + (counts - 1).clamp(min=0)),
            last_only=self.last_only,
        )
        return causal_softmax(energy, last_only=self.last_only)

    def vectors(self, items: Tensor) -> Tensor:
        """(…, D) unit vectors ê of items; 0 for padding."""
        return self.items(items) if self.is_unit else normalize(self.sums(items), dim=-1)

    def sums(self, items: Tensor) -> Tensor:
        """(…, D) item vectors before they are divided by their norms."""
        if self.neighbors is None:
            rows: Tensor = self.items(items)
            return rows
        return self.neighbors(items, self.items, self.step_items)

    def related_items(self, items: Tensor) -> Tensor:
        """See `Encoder.related_items`; the neighbors."""
        return items[:0] if self.neighbors is None else self.neighbors.items[items].long().flatten()

    def candidate_rows(self, items: Tensor) -> Tensor:
        """(U, D) unit vectors of candidates after dropout, for steps with sampled negatives."""
        return normalize(self.item_dropout(self.sums(items)), dim=-1)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The unit vectors of all items, without bias."""
        if self.is_unit:
            return self.items.weight, None
        if self.shards is not None and self.step_items is None:
            return self.shards.computed(self.candidate_rows), None
        every = torch.arange(len(self.items.weight), device=self.items.weight.device)
        # without dropout outside of training
        return self.candidate_rows(every), self.items.candidate_bias(None)

    @torch.no_grad()
    def keep_unit_vectors(self) -> None:
        """Replace the item table by the unit vectors; the neighbors are then part of them."""
        if self.neighbors is not None or self.items.adds_features:
            vectors = self.table()[0]
            self.items.end_training()
            self.items.weight.copy_(vectors)
            self.neighbors = None
        unit_rows_(self.items.weight)
        self.is_unit = True


class NeighborVectors:
    """e_i + λ Σ_{j in N(i)} w_ij e_j, the vectors of items with those of their neighbors.

    An item is the first of its own neighbors, so that one sum has one gradient.
    """

    def __init__(self, nearby: NearbyItems, weight: float, device: torch.device):
        own = np.arange(len(nearby.items), dtype=np.int32)[:, None]
        items = np.append(own, nearby.items, axis=1)  # (N + 1, 1 + K)
        own_weights = (own > 0).astype(np.float32)  # padding has none
        weights = np.append(own_weights, nearby.weights * np.float32(weight), axis=1)
        self.items = torch.from_numpy(items).to(device)
        self.weights = torch.from_numpy(weights).to(device)

    def __call__(
        self, items: Tensor, table: ItemEmbedding, step_items: Tensor | None = None
    ) -> Tensor:
        """(…, D) weighted sums of rows of `table` for (…,) items; see `Encoder.step_items`."""
        flat = items.flatten() if step_items is None else step_items[items.flatten()]
        neighbors = self.items[flat]  # (n, 1 + K)
        if step_items is not None:
            neighbors = torch.searchsorted(step_items, neighbors.long())
        if table.adds_features:
            rows = table(neighbors.long()) * self.weights[flat][..., None]  # (n, 1 + K, D)
            sums: Tensor = rows.sum(1)
            return sums.view(*items.shape, -1)
        summed = neighbor_sums(table.weight, neighbors, self.weights[flat], sparse=table.sparse)
        return summed.view(*items.shape, -1)


def clicks_so_far(same: Tensor, *, last_only: bool = False) -> Tensor:
    """(B, T, T) int64, c_tj, at most 3: the clicks among 1..t on the item of click j.

    Args:
        same: (B, T, T) bool, whether two clicks are on one item.
        last_only: only the last row, (B, 1, T).
    """
    counts = same.sum(1, keepdim=True) if last_only else same.cumsum(1)
    return counts.clamp(max=N_REPEATS)


# the losses of the shared space include the full softmax, which has no sparse gradients
_TRAINING_SPACE = {name: space for name, space in TRAINING_SPACE.items() if name != "loss"}

_RECIPE: dict[str, Any] = QUICK_SOFTMAX | {
    "sparse": True,
    "learning_rate": 0.002,
    "warm_up": 200,
    "largest_batch": 1024,
    "epochs": 6,
    "validations": 6,
    "max_steps": 50_000,
    "precision": "auto",
    "choose_order": True,
}


class CosineGRU(NeuralModel):
    """GRU with distance- and repeat-aware attention and cosine scores."""

    name: ClassVar[str] = "cosine-gru"
    Config: ClassVar[type[CosineGRUConfig]] = CosineGRUConfig
    encoder_type: ClassVar[type[Encoder]] = CosineGRUEncoder
    shards_items: ClassVar[bool] = True
    encoder: CosineGRUEncoder
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    search_space: ClassVar[Space] = _TRAINING_SPACE | {
        "width": Choice(64, 128, 256),
        "temperature": FloatRange(8.0, 20.0),
        "neighbor_weight": FloatRange(0.0, 0.9),
        "dropout": FloatRange(0.0, 0.6),
        "item_dropout": FloatRange(0.0, 0.4),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {"default": _RECIPE}

    @classmethod
    def requires(cls, config: CosineGRUConfig) -> frozenset[str]:
        """Times, if the model reads gaps, and features."""
        return super().requires(config) | ({"times"} if config.times else set())

    def setup(self, sessions: Sessions) -> None:
        """Count the neighbors of the items, unless the model is trained already."""
        super().setup(sessions)
        encoder = self.encoder
        if not encoder.is_unit and self.config.neighbors:
            encoder.neighbors = NeighborVectors(
                nearby_items(sessions, self.config.neighbors),
                self.config.neighbor_weight,
                encoder.items.weight.device,
            )
        encoder.is_unit = False

    def vectors_of_features(self, features: ItemFeatures) -> dict[str, AnyArray]:
        """Unit vectors, as those of the items."""
        parts = super().vectors_of_features(features)
        return {name: normalize(torch.from_numpy(a), dim=-1).numpy() for name, a in parts.items()}

    def teardown(self) -> None:
        """Keep the unit vectors only."""
        self.encoder.keep_unit_vectors()

    def loaded(self) -> None:
        """The item vectors of a trained model are unit vectors."""
        self.encoder.keep_unit_vectors()
