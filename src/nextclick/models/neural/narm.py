"""NARM: a GRU over the session, with attention to its main purpose.

Li et al., Neural Attentive Session-based Recommendation, CIKM 2017. For the prefix that ends at
click t (numbers are the paper's equations):

    h_j  = GRU(drop(E x_j), h_{j-1})                          (1)-(4)
    c^g  = h_t                                                (5)
    e_tj = vᵀ σ(A1 h_t + A2 h_j),  α_t = softmax over j ≤ t   (7), (8)
    c^l  = Σ_j α_tj h_j                                       (6)
    c    = drop([c^g ; c^l])                                  (9)
    score = E B c          (bilinear, 10)    or    W c + b    (full)

`variant` uses c^g alone ("global") or c^l alone ("local"). One causal pass computes all prefixes.

Differences between the paper, the authors' code (github.com/lijingsdu/sessionRec_NARM) and ours:
- Equation 7 is not normalized; the code takes a softmax. `attention_norm` is softmax by default.
- σ is the sigmoid; the code approximates it by a hard sigmoid.
- Equation 3 resets the state before the product with U; `nn.GRU` (and cuDNN) resets it after.
- The code validates on 10 % of the prefixes, drawn at random, so a session may be on both sides;
  our validation is the end of the training sessions.
- The code also scores padding, and reads the first 19 clicks of a session; we read the last 19.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, FloatRange, Space
from nextclick.models.dataset_info import NO_DATASET_INFO, DatasetInfo
from nextclick.models.encoder import Encoder
from nextclick.models.features.feature_options import FeatureConfig
from nextclick.models.features.item_embedding import ItemEmbedding
from nextclick.models.model_explanation import record_attention
from nextclick.models.neural_model import ATTENTIVE, NEURAL, NeuralModel
from nextclick.models.ops.additive_attention import additive_energy
from nextclick.models.ops.gru import GRU
from nextclick.models.ops.layers import (
    Dropout,
    causal_softmax,
    clear_padding_,
    init_like_narm_,
    normal_,
)
from nextclick.models.presets import NARM_SOFTMAX, QUICK_SOFTMAX, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.models.base import Capabilities


@dataclass(frozen=True, slots=True)
class NARMConfig(FeatureConfig):
    """Parameters of NARM."""

    variant: Annotated[
        Literal["hybrid", "global", "local"],
        Field(description="session features: last state, attended states, or both (hybrid)"),
    ] = "hybrid"
    decoder: Annotated[
        Literal["bilinear", "full"],
        Field(description="bilinear shares the item embedding, full has a vector for each item"),
    ] = "bilinear"
    attention_norm: Annotated[
        Literal["softmax", "none"],
        Field(description="softmax (the authors' code) or none (equation 7)"),
    ] = "softmax"
    embedding_width: Annotated[int, Field(ge=1, description="width of an item's embedding")] = 50
    hidden_width: Annotated[int, Field(ge=1, description="width of the GRU's state")] = 100
    embedding_dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout between embedding and GRU")
    ] = 0.25
    output_dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout between session features and decoder")
    ] = 0.5
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 19


class NARMEncoder(Encoder):
    """GRU, attention and the session side of the decoder."""

    def __init__(
        self, config: NARMConfig, n_items: int, dataset_info: DatasetInfo = NO_DATASET_INFO
    ):
        super().__init__()
        H, d = config.hidden_width, config.embedding_width
        width = 2 * H if config.variant == "hybrid" else H
        self.config = config
        features, dropout = dataset_info.features, config.id_dropout
        self.items = ItemEmbedding(n_items, d, features, dropout)
        self.gru = GRU(d, H)
        self.embedding_dropout = Dropout(config.embedding_dropout)
        self.output_dropout = Dropout(config.output_dropout)
        if config.variant != "global":
            self.attend_last = nn.Linear(H, H, bias=False)  # A1
            self.attend_each = nn.Linear(H, H, bias=False)  # A2
            self.attend = nn.Parameter(torch.empty(H))  # v
        if config.decoder == "bilinear":
            self.bilinear = nn.Linear(width, d, bias=False)  # B
        else:
            self.outputs = ItemEmbedding(n_items, width, features, dropout)  # W
            self.bias = nn.Parameter(torch.zeros(n_items + 1))
        if features is not None and config.decoder == "bilinear":
            self.candidate_rows = self.items.forward
        self._init_weights(n_items, width)

    def _init_weights(self, n_items: int, width: int) -> None:
        """Draw weights as the authors' code: randn · √(2 / rows), with the rows of its matrices."""
        normal_(self.items.weight, math.sqrt(2.0 / n_items))
        clear_padding_(self.items)
        init_like_narm_(self.gru)
        if self.config.variant != "global":
            std = math.sqrt(2.0 / self.config.hidden_width)
            normal_(self.attend_last.weight, std)
            normal_(self.attend_each.weight, std)
            normal_(self.attend, math.sqrt(2.0))  # a matrix of one row
        if self.config.decoder == "bilinear":
            normal_(self.bilinear.weight, math.sqrt(2.0 / self.config.embedding_width))
        else:
            normal_(self.outputs.weight, math.sqrt(2.0 / width))
            clear_padding_(self.outputs)

    def forward(self, items: Tensor) -> Tensor:
        """(B, T, D) queries of (B, T) items; bilinear: D is the embedding width, full: H or 2H."""
        hidden, _ = self.gru(self.embedding_dropout(self.items(items)))  # (B, T, H)
        if self.config.variant == "global":
            features = hidden[:, self.queried]  # (B, T, H), c^g
        else:
            alpha = self.attention(hidden)  # (B, T, T)
            record_attention("attention-pooling", alpha[:, -1])
            local = alpha @ hidden  # (B, T, H), c^l
            if self.config.variant == "local":
                features = local
            else:
                features = torch.cat([hidden[:, self.queried], local], dim=-1)  # (B, T, 2H)
        features = self.output_dropout(features)
        queries: Tensor = self.bilinear(features) if self.config.decoder == "bilinear" else features
        return queries

    def attention(self, hidden: Tensor) -> Tensor:
        """(B, T, T) α, the weight of click j in the prefix that ends at t; 0 for j > t."""
        query = self.attend_last(hidden[:, self.queried])  # (B, T, H)
        key = self.attend_each(hidden)  # (B, T, H)
        energy = additive_energy(query, key, self.attend, last_only=self.last_only)  # (B, T, T)
        if self.config.attention_norm == "none":
            return energy
        return causal_softmax(energy, last_only=self.last_only)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding without bias, or the decoder's own vectors and bias."""
        if self.config.decoder == "bilinear":
            return self.items.vectors(), self.items.candidate_bias(None)
        return self.outputs.vectors(), self.outputs.candidate_bias(self.bias)


class NARM(NeuralModel):
    """Neural attentive recommendation machine."""

    name: ClassVar[str] = "narm"
    Config: ClassVar[type[NARMConfig]] = NARMConfig
    encoder_type: ClassVar[type[Encoder]] = NARMEncoder
    shards_items: ClassVar[bool] = True
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "embedding_width": Choice(50, 100, 150),
        "hidden_width": Choice(50, 100, 200),
        "embedding_dropout": FloatRange(0.0, 0.6),
        "output_dropout": FloatRange(0.0, 0.8),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": QUICK_SOFTMAX,
        "paper": NARM_SOFTMAX,
        "global": NARM_SOFTMAX | {"variant": "global"},
        "local": NARM_SOFTMAX | {"variant": "local"},
        "fully-connected": NARM_SOFTMAX | {"decoder": "full"},
        "hybrid-50": NARM_SOFTMAX | {"hidden_width": 50},
        "global-50": NARM_SOFTMAX | {"variant": "global", "hidden_width": 50},
        "local-50": NARM_SOFTMAX | {"variant": "local", "hidden_width": 50},
    }

    @classmethod
    def capabilities_of(cls, config: NARMConfig) -> Capabilities:
        """Attention, unless the variant is "global"."""
        return NEURAL if config.variant == "global" else ATTENTIVE
