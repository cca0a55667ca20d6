"""WaveNet CNN: dilated causal convolutions over the clicks.

van den Oord et al., WaveNet: A Generative Model for Raw Audio, 2016, in the form of ASARS's
baseline, the convolutional network of Spotlight. With x⁰ = E and layers l = 1 … L,

    x^l_t = tanh(Σ_k W^l_k x^(l-1)_(t - k · r_l) + b^l) + x^(l-1)_t,  k = 0 … kernel - 1
    score = x^L_t · E x + b

where the dilation r_l doubles with each layer, 1, 2, 4, …, and inputs before the session are zeros.
As Spotlight, we leave out the paper's gates and skip connections. One causal pass computes all
prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.models.encoder import Encoder
from nextclick.models.neural_model import NeuralModel
from nextclick.models.ops.layers import Dropout, clear_padding_, item_embedding, normal_
from nextclick.models.presets import ASARS_HINGE, SAMPLED_SOFTMAX, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class WaveNetConfig:
    """Parameters of WaveNet CNN."""

    width: Annotated[int, Field(ge=1, description="width of embeddings and of all layers")] = 64
    layers: Annotated[int, Field(ge=1, le=16, description="convolutions")] = 3
    kernel: Annotated[int, Field(ge=1, description="kernel size of a convolution, in clicks")] = 3
    residual: Annotated[bool, Field(description="add the input of each layer to its output")] = True
    dropout: Annotated[float, Field(ge=0, lt=1, description="dropout of the embeddings")] = 0.0
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 200


class WaveNetEncoder(Encoder):
    """Embedding and causal convolutions."""

    def __init__(self, config: WaveNetConfig, n_items: int):
        super().__init__()
        d = config.width
        self.residual = config.residual
        self.items = item_embedding(n_items, d)
        normal_(self.items.weight, 1.0 / d)
        clear_padding_(self.items)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        self.dropout = Dropout(config.dropout)
        self.paddings = [(config.kernel - 1) * 2**layer for layer in range(config.layers)]
        self.layers = nn.ModuleList(
            nn.Conv1d(d, d, config.kernel, dilation=2**layer) for layer in range(config.layers)
        )

    def forward(self, items: Tensor) -> Tensor:
        """(B, T, d) queries of (B, T) items."""
        x = self.dropout(self.items(items)).transpose(1, 2)  # (B, d, T)
        for layer, padding in zip(self.layers, self.paddings, strict=True):
            y = torch.tanh(layer(nn.functional.pad(x, (padding, 0))))  # (B, d, T)
            x = y + x if self.residual else y
        queries: Tensor = x.transpose(1, 2)
        return queries

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding and the bias."""
        return self.items.weight, self.bias


class WaveNet(NeuralModel):
    """Causal convolutions over the clicked items."""

    name: ClassVar[str] = "wavenet"
    Config: ClassVar[type[WaveNetConfig]] = WaveNetConfig
    encoder_type: ClassVar[type[Encoder]] = WaveNetEncoder
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "width": Choice(32, 64, 100, 150),
        "layers": IntRange(1, 4),
        "kernel": IntRange(2, 5),
        "dropout": FloatRange(0.0, 0.5),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": SAMPLED_SOFTMAX,
        "paper": ASARS_HINGE,
    }
