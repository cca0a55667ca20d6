"""Small parts that several encoders share: embeddings, initial weights, dropout, causal softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_DRAWS = 1 << 16  # values of 16 bits


def item_embedding(n_items: int, width: int) -> nn.Embedding:
    """(N + 1, width) weights, row 0 for padding: zero, and no look-up moves it."""
    return nn.Embedding(n_items + 1, width, padding_idx=0)


@torch.no_grad()
def normal_(weight: Tensor, std: float) -> None:
    """Draw every entry from N(0, std²)."""
    weight.normal_(0.0, std)


@torch.no_grad()
def uniform_(weight: Tensor, fan_in: int, fan_out: int) -> None:
    """Draw every entry from U(-a, a) with a = √(6 / (fan_in + fan_out)), after Glorot & Bengio."""
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    weight.uniform_(-bound, bound)


@torch.no_grad()
def clear_padding_(embedding: nn.Embedding) -> None:
    """Make the row of padding zero again after weights were drawn."""
    embedding.weight[0] = 0.0


@torch.no_grad()
def init_like_narm_(gru: nn.GRU) -> None:
    """N(0, 2 / inputs) into the gates, orthogonal recurrence for each gate, biases 0.

    What NARM's code does, where a matrix has as many rows as it has inputs: randn · √(2 / rows).
    """
    for name, weight in gru.named_parameters():
        if name.startswith("weight_ih"):
            normal_(weight, math.sqrt(2.0 / weight.shape[1]))
        elif name.startswith("weight_hh"):
            for gate in weight.chunk(3):
                nn.init.orthogonal_(gate)
        else:
            weight.zero_()


class Dropout(nn.Module):
    """Dropout that draws four numbers at a time.

    On a CPU, PyTorch draws each number of a mask from a double, one after another: a fifth of the
    time of NARM's encoder and a third of SASRec's. 16 bits are enough: p is rounded to a multiple
    of 2⁻¹⁶.

    Args:
        p: the share of numbers that is dropped while training, in 0 ≤ p < 1; the others are scaled
            by 1 / (1 - p).
        whole: drop rows (the last axis) as a whole.
    """

    def __init__(self, p: float, *, whole: bool = False):
        super().__init__()
        self.p = p
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        """The shape of `x`; `x` itself where nothing is dropped."""
        if not self.training or self.p == 0.0:
            return x
        mask_of = x[..., :1] if self.whole else x
        if x.device.type != "cpu":
            return x * nn.functional.dropout(torch.ones_like(mask_of), self.p)
        return x * _mask(mask_of.shape, self.p).to(x.dtype)


def _mask(shape: torch.Size, p: float) -> Tensor:
    """0 with probability p, else 1 / (1 - p), from torch's global generator."""
    n, dropped = shape.numel(), min(round(p * _DRAWS), _DRAWS - 1)
    words = torch.empty((n + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    draws = words.view(torch.int16)[:n].view(shape)  # uniform in -2¹⁵..2¹⁵ - 1
    return (draws >= dropped - _DRAWS // 2).float().mul_(_DRAWS / (_DRAWS - dropped))


def clamp_norm(rows: Tensor, limit: float) -> Tensor:
    """Scale the rows (…, D) that are longer than `limit` down to it; the gradient passes through.

    Unlike `max_norm` of `nn.Embedding`, which rewrites the table and hides that from the gradient.
    """
    norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    shorter: Tensor = limit / norm.clamp(min=limit)  # (…, 1)
    return rows * shorter


def causal_softmax(energy: Tensor) -> Tensor:
    """(B, T, T) weights: row t is a softmax over columns 0..t, and 0 beyond."""
    T = energy.shape[-1]
    future = torch.ones(T, T, dtype=torch.bool, device=energy.device).triu(1)
    return energy.masked_fill(future, -torch.inf).softmax(dim=-1)
