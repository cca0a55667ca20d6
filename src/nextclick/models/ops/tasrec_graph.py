"""TASRec's embeddings of items in the temporal graph, of the items that a batch needs.

An item's embedding depends on what is at most K edges away, K being how many rounds of messages
there are. So the rounds are computed for the items of a batch and for what lies around them, one
edge less far in each round, which gives what all items together would give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from nextclick.models.ops.segments import group_sum

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import AnyArray, Int64Array
    from nextclick.graphs.neighbors import Neighbors

SLOPE = 0.01  # of LeakyReLU below 0


def messages(
    neighbors: Neighbors, roots: Int64Array, hops: int, n_items: int
) -> dict[str, AnyArray]:
    """What `TemporalItems` computes (R,) distinct items with, in a graph.

    - around (n,): items, the roots first, then those one edge away, and so on; around_bounds
      (hops + 1,): how many are at most 0, 1, … edges away;
    - messages, message_bounds, message_share: in CSR form, the neighbors of each item that is less
      than `hops` edges away, as places in `around`, with e_ij / (1 + Σ_j e_ij);
    - own_share (m,): 1 / (1 + Σ_j e_ij) of the same items.
    """
    reach = neighbors.within(roots, hops, n_items)
    degree = np.diff(reach.offsets)
    row = np.repeat(np.arange(len(degree)), degree)
    total = 1.0 + np.bincount(row, reach.weights, minlength=len(degree))  # (m,)
    return {
        "around": reach.items,
        "around_bounds": reach.bounds,
        "messages": reach.columns,
        "message_bounds": reach.offsets,
        "message_share": (reach.weights / total[row]).astype(np.float32),
        "own_share": (1.0 / total).astype(np.float32),
    }


class TemporalItems(nn.Module):
    """Rounds of messages over the temporal graph, and the mean over them: equations 2 to 4."""

    def __init__(self, width: int, hops: int, *, shared: bool):
        super().__init__()
        self.hops = hops
        n_layers = 1 if shared else hops
        self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(n_layers))

    def forward(self, items: nn.Embedding, told: dict[str, Tensor]) -> Tensor:
        """(R, D) embeddings of the roots, of norm 1.

        Args:
            items: the table of all items.
            told: what `messages` made.
        """
        within: list[int] = told["around_bounds"].tolist()
        R = within[0]
        states = items(told["around"])  # (n, D), x^0
        total = states[:R]
        for k in range(1, self.hops + 1):
            n = within[self.hops - k]  # of these x^k is needed
            bounds = told["message_bounds"][: n + 1]
            n_messages = int(bounds[-1])
            source, share = told["messages"][:n_messages], told["message_share"][:n_messages]
            met = group_sum(states, source, bounds, share)  # (n, D)
            met = met + told["own_share"][:n, None] * states[:n]
            layer = self.layers[min(k, len(self.layers)) - 1]
            states = nn.functional.leaky_relu(layer(met), SLOPE)
            total = total + states[:R]
        return nn.functional.normalize(total / (self.hops + 1), dim=-1)
