"""SASRec: a causal transformer over the latest clicks.

Kang & McAuley, Self-Attentive Sequential Recommendation, ICDM 2018. With positions P, which count
from the first click read:

    x = drop(E x_t + P_t)
    x = x + drop(attention(norm(x)))        per block, causal, scaled by 1/√(D / heads)
    x = x + drop(W2 relu(W1 norm(x) + b1) + b2)
    score = E norm(x)

The preset trains with a softmax over the catalog, and "sampled" with shared negatives and log-Q
correction, instead of the paper's one negative per click.

Differences from the paper and the authors' code:
- `norm=pre` is the paper's equation. `norm=post` normalizes each sum instead, as the original
  transformer and RecBole do. The authors' code adds the normalized input instead of the input and
  takes keys before the norm; we do not offer this form.
- The code multiplies embeddings by √D; the paper and we do not. Weights are drawn from N(0, 0.02²);
  biases start at 0.
- The code pads on the left, so its positions count from the last click. Ours count from the first,
  so a prefix of a session has the same positions as the session.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.errors import ConfigError
from nextclick.models.dataset_info import NO_DATASET_INFO, DatasetInfo
from nextclick.models.encoder import Encoder
from nextclick.models.features.feature_options import FeatureConfig
from nextclick.models.features.item_embedding import ItemEmbedding
from nextclick.models.model_explanation import is_recording, record_attention
from nextclick.models.neural_model import ATTENTIVE, NeuralModel
from nextclick.models.ops.layers import (
    Dropout,
    causal_softmax,
    clear_padding_,
    normal_,
)
from nextclick.models.presets import QUICK_SOFTMAX, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.models.base import Capabilities

_INITIAL_STD = 0.02


@dataclass(frozen=True, slots=True)
class SASRecConfig(FeatureConfig):
    """Parameters of SASRec.

    Raises:
        ConfigError: the number of heads does not divide the width.
    """

    width: Annotated[int, Field(ge=1, description="width of embeddings and blocks")] = 100
    blocks: Annotated[int, Field(ge=1, description="blocks of attention and feed-forward")] = 2
    heads: Annotated[int, Field(ge=1, description="attention heads; must divide the width")] = 1
    expansion: Annotated[
        int,
        Field(ge=1, description="inner width of the feed-forward layer, as a multiple of width"),
    ] = 1
    norm: Annotated[
        Literal["pre", "post"],
        Field(description="LayerNorm before each sublayer (pre) or after each sum (post)"),
    ] = "pre"
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout of embeddings, attention and blocks")
    ] = 0.5
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 50

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                f"sasrec: heads must divide width, got heads={self.heads} and width={self.width}"
            )


class _Block(nn.Module):
    """Self-attention and feed-forward layer, each with a residual connection."""

    def __init__(self, config: SASRecConfig, number: int):
        super().__init__()
        D = config.width
        self.number = number
        self.heads = config.heads
        self.pre = config.norm == "pre"
        self.attention_dropout = config.dropout
        self.project = nn.Linear(D, 3 * D)
        self.merge = nn.Linear(D, D)
        self.inner = nn.Linear(D, config.expansion * D)
        self.outer = nn.Linear(config.expansion * D, D)
        self.attention_norm = nn.LayerNorm(D)
        self.inner_norm = nn.LayerNorm(D)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) outputs of (B, T, D) inputs."""
        if self.pre:
            x = x + self.dropout(self.attend(self.attention_norm(x)))
            x = x + self.dropout(self.feed_forward(self.inner_norm(x)))
        else:
            x = self.attention_norm(x + self.dropout(self.attend(x)))
            x = self.inner_norm(x + self.dropout(self.feed_forward(x)))
        return x

    def attend(self, x: Tensor) -> Tensor:
        """(B, T, D): each click attends to itself and to the clicks before it."""
        B, T, D = x.shape
        heads = self.project(x).view(B, T, 3, self.heads, D // self.heads)  # from (B, T, 3D)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # (B, heads, T, D / heads) each
        if is_recording():  # the fused attention does not return its weights
            energy = query @ key.transpose(2, 3) / math.sqrt(D // self.heads)  # (B, heads, T, T)
            for h in range(self.heads):
                record_attention(f"block {self.number}, head {h + 1}", causal_softmax(energy[:, h]))
        # padding is after all clicks, so the causal mask also hides it
        mixed = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            dropout_p=self.attention_dropout if self.training else 0.0,
            is_causal=True,
        )  # (B, heads, T, D / heads)
        merged: Tensor = self.merge(mixed.transpose(1, 2).reshape(B, T, D))
        return merged

    def feed_forward(self, x: Tensor) -> Tensor:
        """(B, T, D) outputs of (B, T, D) inputs, each position by itself."""
        inner = self.dropout(torch.relu(self.inner(x)))  # (B, T, expansion · D)
        outer: Tensor = self.outer(inner)
        return outer


class SASRecEncoder(Encoder):
    """Item and position embeddings, transformer blocks, and a LayerNorm at one end."""

    def __init__(
        self, config: SASRecConfig, n_items: int, dataset_info: DatasetInfo = NO_DATASET_INFO
    ):
        super().__init__()
        D = config.width
        self.max_length = config.max_length
        self.items = ItemEmbedding(n_items, D, dataset_info.features, config.id_dropout)
        self.positions = nn.Parameter(torch.empty(config.max_length, D))
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(_Block(config, n + 1) for n in range(config.blocks))
        # after the blocks with norm=pre, before them with norm=post, whose blocks end with a norm
        self.norm = nn.LayerNorm(D)
        self.pre = config.norm == "pre"
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            elif "norm" not in name and "features" not in name:
                normal_(weight, _INITIAL_STD)
        clear_padding_(self.items)
        if dataset_info.features is not None:
            self.candidate_rows = self.items.forward

    def forward(self, items: Tensor) -> Tensor:
        """(B, T, D) queries of (B, T) items.

        Raises:
            ValueError: T exceeds `max_length`.
        """
        T = items.shape[1]
        if self.max_length < T:
            raise ValueError(f"sasrec reads at most max_length={self.max_length} clicks, got {T}")
        x = self.items(items) + self.positions[:T]  # (B, T, D)
        x = self.dropout(x if self.pre else self.norm(x))
        for block in self.blocks:
            x = block(x)
        queries: Tensor = self.norm(x) if self.pre else x
        return queries

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding, without bias."""
        return self.items.vectors(), self.items.candidate_bias(None)


_PAPER: dict[str, Any] = {
    "loss": "ce",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "batch_size": 512,  # prefixes: about the paper's 128 sessions
    "order": "sessions",
    "epochs": 30,
}


class SASRec(NeuralModel):
    """Self-attentive sequential recommendation."""

    name: ClassVar[str] = "sasrec"
    Config: ClassVar[type[SASRecConfig]] = SASRecConfig
    encoder_type: ClassVar[type[Encoder]] = SASRecEncoder
    shards_items: ClassVar[bool] = True
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "width": Choice(64, 100, 128),
        "blocks": IntRange(1, 3),
        "heads": Choice(1, 2, 4),
        "dropout": FloatRange(0.0, 0.7),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": QUICK_SOFTMAX | {"learning_rate": 0.002},
        "paper": _PAPER,
        "sampled": _PAPER
        | {"loss": "sampled", "negatives": 2048, "negative_alpha": 0.5, "log_q": True},
    }
