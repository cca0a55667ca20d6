"""TASRec's item embeddings in the temporal graph, computed for the items of a batch alone.

After K rounds of messages the embedding of an item depends on the items at most K edges away. The
rounds are computed for the items of the batch and their surroundings, which shrink by one edge in
each round. The result equals that of the whole catalog.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from nextclick.models.ops.prefix_inputs import TensorRecord, tensors
from nextclick.models.ops.segments import group_sum

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Int64Array
    from nextclick.graphs.neighbors import Neighbors

SLOPE = 0.01  # of LeakyReLU below 0


@dataclass(frozen=True, slots=True, eq=False)
class TemporalMessages(TensorRecord):
    """The part of the temporal graph that the embeddings of R root items depend on.

    Attributes:
        items: (n,) int64, the roots first, then the items one edge away, and so on.
        item_bounds: (K + 1,) int64, the number of items at most 0, 1, … K edges away.
        source: (J,) int64, the neighbors of the first m items, those less than K edges away, as
            indices of `items`.
        bounds: (m + 1,) int64; item i has the neighbors `source[bounds[i]:bounds[i + 1]]`.
        share: (J,) float32, e_ij / (1 + Σ_j e_ij).
        own_share: (m,) float32, 1 / (1 + Σ_j e_ij).
    """

    items: Tensor
    item_bounds: Tensor
    source: Tensor
    bounds: Tensor
    share: Tensor
    own_share: Tensor


def temporal_messages(
    neighbors: Neighbors, roots: Int64Array, hops: int, n_items: int
) -> TemporalMessages:
    """Collect what the embeddings of some items depend on.

    Args:
        neighbors: the temporal graph.
        roots: (R,) int64, distinct items.
        hops: K, rounds of messages.
        n_items: N.
    """
    reach = neighbors.neighborhood(roots, hops, n_items)
    degree = np.diff(reach.offsets)
    row = np.repeat(np.arange(len(degree)), degree)
    total = 1.0 + np.bincount(row, reach.weights, minlength=len(degree))  # (m,)
    share = (reach.weights / total[row]).astype(np.float32)
    own_share = (1.0 / total).astype(np.float32)
    return TemporalMessages(
        *tensors(reach.items, reach.bounds, reach.columns, reach.offsets, share, own_share)
    )


class TemporalItems(nn.Module):
    """Rounds of messages over the temporal graph, and the mean over them: equations 2 to 4."""

    def __init__(self, width: int, hops: int, *, shared: bool):
        super().__init__()
        self.hops = hops
        n_layers = 1 if shared else hops
        self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(n_layers))

    def forward(self, items: nn.Embedding, graph: TemporalMessages) -> Tensor:
        """(R, D) embeddings of the roots, of norm 1.

        Args:
            items: the embedding of all items.
            graph: the surroundings of the roots.
        """
        n_within: list[int] = graph.item_bounds.tolist()
        R = n_within[0]
        states = items(graph.items)  # (n, D), x^0
        total = states[:R]
        for k in range(1, self.hops + 1):
            n = n_within[self.hops - k]  # x^k is needed for these items only
            bounds = graph.bounds[: n + 1]
            n_messages = int(bounds[-1])
            source, share = graph.source[:n_messages], graph.share[:n_messages]
            mean = group_sum(states, source, bounds, share)  # (n, D)
            mean = mean + graph.own_share[:n, None] * states[:n]
            layer = self.layers[min(k, len(self.layers)) - 1]
            states = nn.functional.leaky_relu(layer(mean), SLOPE)
            total = total + states[:R]
        return nn.functional.normalize(total / (self.hops + 1), dim=-1)
