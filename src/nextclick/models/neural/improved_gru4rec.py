"""Improved GRU-Rec: a GRU trained on every prefix, with click dropout.

Tan, Xu & Liu, Improved Recurrent Neural Networks for Session-based Recommendations, DLRS 2016,
in the form of NARM's baseline: NARM's global encoder with a fully connected softmax.

    h_t   = GRU(drop(E x_t), h_{t-1})
    score = W h_t + b

- Every prefix of a session is a sample; one causal pass computes them all.
- Click dropout: in training a quarter of the clicks is dropped from the input, which reduces the
  effect of accidental clicks; targets are not dropped. The embedding of a dropped click is zero in
  all prefixes of its session, and the other embeddings are scaled up.
  `click_dropout_mode=elementwise` drops single entries of embeddings instead.
- The paper pretrains on the whole log and fine-tunes on its recent fraction, against drifting
  tastes. That belongs to training: the parameters `pretrain_epochs` and `recent`, and the preset
  "fine-tuned" (its numbers are ours).
- Initial weights are those of NARM's code, the source of the figures we compare with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, FloatRange, Space
from nextclick.models.encoder import Encoder
from nextclick.models.neural_model import NeuralModel
from nextclick.models.ops.gru import GRU
from nextclick.models.ops.layers import (
    Dropout,
    clear_padding_,
    init_like_narm_,
    item_embedding,
    normal_,
)
from nextclick.models.presets import NARM_SOFTMAX, QUICK_SOFTMAX, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ImprovedGRU4RecConfig:
    """Parameters of Improved GRU-Rec."""

    embedding_width: Annotated[int, Field(ge=1, description="width of an item's embedding")] = 50
    hidden_width: Annotated[int, Field(ge=1, description="width of the GRU's state")] = 100
    click_dropout: Annotated[
        float, Field(ge=0, lt=1, description="share of the input dropped in training")
    ] = 0.25
    click_dropout_mode: Annotated[
        Literal["whole", "elementwise"],
        Field(description="drop whole clicks, or single entries of their embeddings"),
    ] = "whole"
    output_dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout between GRU and decoder")
    ] = 0.0
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 19


class ImprovedGRU4RecEncoder(Encoder):
    """Embedding, click dropout and GRU."""

    def __init__(self, config: ImprovedGRU4RecConfig, n_items: int):
        super().__init__()
        H, d = config.hidden_width, config.embedding_width
        whole = config.click_dropout_mode == "whole"
        self.items = item_embedding(n_items, d)
        self.click_dropout = Dropout(config.click_dropout, whole=whole)
        self.gru = GRU(d, H)
        self.output_dropout = Dropout(config.output_dropout)
        self.outputs = item_embedding(n_items, H)  # W
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        normal_(self.items.weight, math.sqrt(2.0 / n_items))
        clear_padding_(self.items)
        init_like_narm_(self.gru)
        normal_(self.outputs.weight, math.sqrt(2.0 / H))
        clear_padding_(self.outputs)

    def forward(self, items: Tensor) -> Tensor:
        """(B, T, H) queries of (B, T) items."""
        hidden, _ = self.gru(self.click_dropout(self.items(items)))  # (B, T, H)
        queries: Tensor = self.output_dropout(hidden)
        return queries

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The item vectors and the bias of the decoder."""
        return self.outputs.weight, self.bias


class ImprovedGRU4Rec(NeuralModel):
    """Improved GRU-Rec."""

    name: ClassVar[str] = "improved-gru4rec"
    Config: ClassVar[type[ImprovedGRU4RecConfig]] = ImprovedGRU4RecConfig
    encoder_type: ClassVar[type[Encoder]] = ImprovedGRU4RecEncoder
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "embedding_width": Choice(50, 100, 150),
        "hidden_width": Choice(50, 100, 200),
        "click_dropout": FloatRange(0.0, 0.6),
        "output_dropout": FloatRange(0.0, 0.6),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": QUICK_SOFTMAX,
        "paper": NARM_SOFTMAX,
        "fine-tuned": NARM_SOFTMAX | {"pretrain_epochs": 10, "recent": 0.25},
    }
