"""STAMP: attention without recurrence; the last click is the short-term interest.

Liu et al., STAMP: Short-Term Attention/Memory Priority Model, KDD 2018. For the prefix x_1..x_t
of embeddings, each scaled down to norm 1 if longer:

    m_s = mean of x_1..x_t
    a_j = w0ᵀ σ(W1 x_j + W2 x_t + W3 m_s + b)      no softmax
    m_a = Σ_j a_j x_j + m_s
    score = E (tanh(W_s m_a) ⊙ tanh(W_t x_t))

One causal pass computes all prefixes: m_s is a running mean, and a is computed for j ≤ t.

Differences between the paper, the authors' code (github.com/uestcnlp/STAMP) and ours:
- Only the code adds m_s to m_a; we follow the code. Only the paper has biases of W_s and W_t.
- The paper's σ around the score does not change the ranking; the code has none.
- The bound of 1 on the norm is the code's. It applies to clicks, as a differentiable clip, and not
  to candidates: there the code multiplies with the raw table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, FloatRange, Space
from nextclick.models.encoder import Encoder
from nextclick.models.model_explanation import record_attention
from nextclick.models.neural_model import ATTENTIVE, NeuralModel
from nextclick.models.ops.additive_attention import additive_energy
from nextclick.models.ops.layers import clamp_norm, clear_padding_, item_embedding, normal_
from nextclick.models.presets import QUICK_SOFTMAX, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.models.base import Capabilities

_EMBEDDING_STD = 0.002
_WEIGHT_STD = 0.05


@dataclass(frozen=True, slots=True)
class STAMPConfig:
    """Parameters of STAMP."""

    width: Annotated[int, Field(ge=1, description="width of embeddings and of all layers")] = 100
    max_norm: Annotated[
        float, Field(gt=0, description="largest norm of the embedding of a click")
    ] = 1.0
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 50


class STAMPEncoder(Encoder):
    """Attention over the clicks, and the product of two cells."""

    def __init__(self, config: STAMPConfig, n_items: int):
        super().__init__()
        D = config.width
        self.max_norm = config.max_norm
        self.items = item_embedding(n_items, D)
        self.attend_each = nn.Linear(D, D, bias=False)  # W1
        self.attend_last = nn.Linear(D, D, bias=True)  # W2 and b
        self.attend_mean = nn.Linear(D, D, bias=False)  # W3
        self.attend = nn.Parameter(torch.empty(D))  # w0
        self.session_cell = nn.Linear(D, D, bias=False)  # W_s
        self.last_cell = nn.Linear(D, D, bias=False)  # W_t
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            else:
                normal_(weight, _EMBEDDING_STD if name == "items.weight" else _WEIGHT_STD)
        clear_padding_(self.items)

    def forward(self, items: Tensor) -> Tensor:
        """(B, T, D) queries of (B, T) items."""
        clicks = clamp_norm(self.items(items), self.max_norm)  # (B, T, D)
        T = items.shape[1]
        n_clicks = torch.arange(1, T + 1, device=items.device, dtype=clicks.dtype)  # (T,)
        mean = clicks.cumsum(dim=1) / n_clicks[:, None]  # (B, T, D), m_s
        mean, last_click = mean[:, self.queried], clicks[:, self.queried]
        alpha = self.attention(clicks, last_click, mean)  # (B, T, T), a
        record_attention("attention-pooling", alpha[:, -1])
        memory = alpha @ clicks + mean  # (B, T, D), m_a
        session, last = self.session_cell(memory), self.last_cell(last_click)  # (B, T, D) each
        return torch.tanh(session) * torch.tanh(last)

    def attention(self, clicks: Tensor, last_click: Tensor, mean: Tensor) -> Tensor:
        """(B, T, T) a, the weight of click j in the prefix that ends at t; 0 for j > t."""
        query = self.attend_last(last_click) + self.attend_mean(mean)  # (B, T, D)
        key = self.attend_each(clicks)  # (B, T, D)
        return additive_energy(query, key, self.attend, last_only=self.last_only)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding, without bias."""
        return self.items.weight, None


class STAMP(NeuralModel):
    """Short-term attention/memory priority model."""

    name: ClassVar[str] = "stamp"
    Config: ClassVar[type[STAMPConfig]] = STAMPConfig
    encoder_type: ClassVar[type[Encoder]] = STAMPEncoder
    shards_items: ClassVar[bool] = True
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "width": Choice(50, 100, 150),
        "max_norm": FloatRange(0.5, 4.0, log=True),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": QUICK_SOFTMAX | {"learning_rate": 0.003, "clip": 150.0},
        "paper": {
            "loss": "ce",
            "optimizer": "adam",
            "learning_rate": 0.003,
            "batch_size": 512,
            "order": "sessions",
            "clip": 150.0,
            "epochs": 10,
        },
    }
