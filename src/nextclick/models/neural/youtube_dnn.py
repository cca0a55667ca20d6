"""YouTube DNN: the mean of the clicked items through a tower of dense layers.

Covington, Adams & Sargin, Deep Neural Networks for YouTube Recommendations, RecSys 2016, in the
form of ASARS's baseline, the pooling network of Spotlight. For the prefix that ends at click t

    q_t   = tower(mean of E x_1 … E x_t),  layers ReLU(W · + b), the last one linear
    score = q_t · E x + b

Without layers (the default, as in Spotlight) the mean itself is the query. The paper's other
inputs, such as the age of a video, are not in a click log; its sampled softmax is loss=sampled. A
running sum gives the means of all prefixes.
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
class YouTubeDNNConfig:
    """Parameters of YouTube DNN."""

    width: Annotated[int, Field(ge=1, description="width of an item's embedding")] = 64
    layers: Annotated[int, Field(ge=0, description="layers of the tower; 0 for the plain mean")] = 0
    hidden_width: Annotated[int, Field(ge=1, description="width of the tower's hidden layers")] = (
        100
    )
    dropout: Annotated[float, Field(ge=0, lt=1, description="dropout of the embeddings")] = 0.0
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 200


class YouTubeDNNEncoder(Encoder):
    """Running mean and tower."""

    def __init__(self, config: YouTubeDNNConfig, n_items: int):
        super().__init__()
        d = config.width
        self.items = item_embedding(n_items, d)
        normal_(self.items.weight, 1.0 / d)
        clear_padding_(self.items)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        self.dropout = Dropout(config.dropout)
        widths = [d] + [config.hidden_width] * (config.layers - 1) + [d]
        self.tower = nn.ModuleList(
            nn.Linear(widths[k], widths[k + 1]) for k in range(config.layers)
        )

    def forward(self, items: Tensor) -> Tensor:
        """(B, T, d) queries of (B, T) items."""
        x = self.dropout(self.items(items))  # (B, T, d)
        n_clicks = torch.arange(1, items.shape[1] + 1, device=x.device)[:, None]  # (T, 1)
        queries: Tensor = x.cumsum(1) / n_clicks  # (B, T, d)
        for number, layer in enumerate(self.tower, 1):
            queries = layer(queries)
            if number < len(self.tower):
                queries = queries.relu()
        return queries

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding and the bias."""
        return self.items.weight, self.bias


class YouTubeDNN(NeuralModel):
    """Mean of the clicked items through a tower of dense layers."""

    name: ClassVar[str] = "youtube-dnn"
    Config: ClassVar[type[YouTubeDNNConfig]] = YouTubeDNNConfig
    encoder_type: ClassVar[type[Encoder]] = YouTubeDNNEncoder
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "width": Choice(32, 64, 100, 150),
        "layers": IntRange(0, 2),
        "dropout": FloatRange(0.0, 0.5),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": SAMPLED_SOFTMAX,
        "paper": ASARS_HINGE,
    }
