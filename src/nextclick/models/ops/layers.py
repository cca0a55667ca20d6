"""Layers that several encoders share: embeddings, initial weights, dropout, causal softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_UNIT_TOLERANCE = 1e-5  # norms of normalized float32 rows are within 1e-6 of 1
_N_DRAWS = 1 << 16  # values of a 16-bit draw


def item_embedding(n_items: int, width: int) -> nn.Embedding:
    """Embedding with (N + 1, width) weights; row 0 is padding, zero and without gradient."""
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
    """Set the padding row to zero after weights were drawn."""
    embedding.weight[0] = 0.0


@torch.no_grad()
def unit_rows_(weight: Tensor) -> None:
    """Divide every row by its norm, except rows of zeros and rows of norm 1 up to rounding."""
    norm = torch.linalg.vector_norm(weight, dim=1, keepdim=True)  # (N + 1, 1)
    is_done = (norm == 0.0) | ((norm - 1.0).abs() < _UNIT_TOLERANCE)
    weight.div_(norm.masked_fill_(is_done, 1.0))


@torch.no_grad()
def init_like_narm_(gru: nn.GRU) -> None:
    """Draw input weights from N(0, 2 / n_inputs), make recurrent ones orthogonal, biases 0.

    NARM's code does this for each gate; its matrices have n_inputs rows: randn · √(2 / rows).
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
    """Dropout that draws four mask entries at a time on a CPU.

    PyTorch draws each entry of a mask from a double, which takes a fifth of the time of NARM's
    encoder and a third of SASRec's. Here an entry takes 16 bits: p is rounded to a multiple of
    2⁻¹⁶.

    Args:
        p: the probability of dropping an entry in training, 0 ≤ p < 1; other entries are scaled
            by 1 / (1 - p).
        whole: drop whole rows (the last axis).
    """

    def __init__(self, p: float, *, whole: bool = False):
        super().__init__()
        self.p = p
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        """A tensor of the shape of `x`; `x` itself if nothing is dropped."""
        if not self.training or self.p == 0.0:
            return x
        masked = x[..., :1] if self.whole else x
        if x.device.type != "cpu":
            return x * nn.functional.dropout(torch.ones_like(masked), self.p)
        return x * _mask(masked.shape, self.p).to(x.dtype)


def _mask(shape: torch.Size, p: float) -> Tensor:
    """Mask of 0 with probability p, else 1 / (1 - p)."""
    draws, lowest, scale = dropout_draws(shape.numel(), p)
    return (draws.view(shape) >= lowest).float().mul_(scale)


def dropout_draws(n: int, p: float) -> tuple[Tensor, int, float]:
    """Draw which of n entries are dropped, from torch's global generator.

    Returns:
        (n,) int16 draws, the lowest draw of an entry that is kept, and the factor of kept entries.
    """
    n_dropped = min(round(p * _N_DRAWS), _N_DRAWS - 1)
    words = torch.empty((n + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    draws = words.view(torch.int16)[:n]  # uniform in -2¹⁵..2¹⁵ - 1
    return draws, n_dropped - _N_DRAWS // 2, _N_DRAWS / (_N_DRAWS - n_dropped)


def clamp_norm(rows: Tensor, limit: float) -> Tensor:
    """Scale rows (…, D) with a norm above `limit` down to it; differentiable.

    In contrast, `max_norm` of `nn.Embedding` rewrites the table outside the gradient.
    """
    norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)  # (…, 1)
    scale: Tensor = limit / norm.clamp(min=limit)  # (…, 1)
    return rows * scale


def causal_softmax(energy: Tensor, *, last_only: bool = False) -> Tensor:
    """(B, T, T) weights: row t is a softmax over columns 0..t and 0 after them.

    With `last_only`, (B, 1, T) energies of the last prefix, which reads all clicks.
    """
    if last_only:
        return energy.softmax(dim=-1)
    T = energy.shape[-1]
    future = torch.ones(T, T, dtype=torch.bool, device=energy.device).triu(1)
    return energy.masked_fill(future, -torch.inf).softmax(dim=-1)


def triangle_softmax(energy: Tensor, own_energy: Tensor) -> Tensor:
    """(B, T, T) weights of all prefixes: row t is a softmax over clicks 0..t.

    Args:
        energy: (B, 1, T) energy of each click in the rows after its own, or (B, T, T) energy of
            each click in each of these rows.
        own_energy: (B, T) energy of each click in its own row.
    """
    T = own_energy.shape[1]
    diagonal = torch.eye(T, dtype=torch.bool, device=energy.device)
    return causal_softmax(torch.where(diagonal, own_energy[:, :, None], energy))
