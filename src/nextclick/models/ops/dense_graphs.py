"""The session graphs of one prefix per row, by operations of PyTorch, for exported graphs.

`session_graphs` builds the graphs of all prefixes by compiled kernels, which no exported graph can
contain. Here each click of a row has a state, so that the clicks of an item have equal states, and
the edges of a row are a matrix. The fields have the names and the methods of `SessionGraph`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from nextclick.models.ops.prefix_inputs import TensorRecord, last_cells

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class DenseNeighbors(TensorRecord):
    """The neighbors of each click.

    Attributes:
        share: (B, T, T) float32; row t has the weights of the neighbors of click t. A neighbor has
            its weight at its first click.
    """

    share: Tensor

    def sum(self, states: Tensor) -> Tensor:
        """(B * T, D) weighted sums of the (B * T, D) states of the neighbors."""
        B, T, _ = self.share.shape
        return (self.share @ states.view(B, T, -1)).flatten(0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class DenseClicks(TensorRecord):
    """The clicks of each row.

    Attributes:
        is_click: (B, T) bool, false after the last click of the prefix.
    """

    is_click: Tensor

    def energy(self, query: Tensor, key: Tensor, weight: Tensor) -> Tensor:
        """(B * T,) Σ_h v_h σ(q_bh + k_h) of each click, 0 after the last.

        Args:
            query: (B, H), q.
            key: (B * T, H), k.
            weight: (H,), v.
        """
        B, T = self.is_click.shape
        energy = torch.sigmoid(query[:, None] + key.view(B, T, -1)) @ weight  # (B, T)
        return energy.masked_fill(~self.is_click, 0.0).flatten()

    def sum(self, states: Tensor, weight: Tensor) -> Tensor:
        """(B, D) sums of the (B * T, D) states of the clicks, with their weights (B * T,)."""
        B, T = self.is_click.shape
        return (weight.view(B, 1, T) @ states.view(B, T, -1))[:, 0]


@dataclass(frozen=True, slots=True, eq=False)
class DenseStep(TensorRecord):
    """What the B * T states of one step of the network are computed from; see `GraphStep`."""

    own: Tensor
    predecessors: DenseNeighbors
    successors: DenseNeighbors


@dataclass(frozen=True, slots=True, eq=False)
class DenseGraph(TensorRecord):
    """The graphs of one prefix per row; see `SessionGraph`."""

    cells: Tensor
    steps: tuple[DenseStep, ...]
    clicks: DenseClicks
    last: Tensor


def dense_graph(items: Tensor, last: Tensor, *, steps: int, counted: bool) -> DenseGraph:
    """Build the graph of one prefix of each row.

    Args:
        items: (B, T) int64, right-padded with 0.
        last: (B,) int64, the position of the last click of each prefix.
        steps: steps of the network, at least 1.
        counted: an edge weighs as often as it occurs; its share is its count over all counts.
    """
    B, T = items.shape
    position = torch.arange(T, device=items.device)
    is_click = position <= last[:, None]  # (B, T)
    same = (items[:, :, None] == items[:, None]) & is_click[:, None] & is_click[:, :, None]
    is_first = is_click & ~(same & (position < position[:, None])).any(dim=2)  # (B, T)
    same = same.float()  # (B, T, T)
    following = functional.pad(same, (0, 0, 0, 1))[:, 1:]  # (B, T, T)
    edges = same @ following  # (B, T, T), how often the item of column j follows that of row i
    if not counted:
        edges = edges.clamp(max=1.0)
    first = is_first.float()[:, None]  # (B, 1, T)
    step = DenseStep(
        own=torch.arange(B * T, device=items.device),
        predecessors=DenseNeighbors(_shares(edges.transpose(1, 2) * first)),
        successors=DenseNeighbors(_shares(edges * first)),
    )
    cells = last_cells(items, last)
    return DenseGraph(cells, (step,) * steps, DenseClicks(is_click), last=cells)


def _shares(weights: Tensor) -> Tensor:
    """(B, T, T) weights over the sums of their rows; 0 in a row without weights."""
    return weights / weights.sum(dim=2, keepdim=True).clamp(min=1.0)
