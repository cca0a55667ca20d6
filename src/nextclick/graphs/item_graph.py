"""Item transition graph of LGSR: how often each item is clicked directly after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from nextclick.graphs.adjacent_clicks import adjacent_clicks

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class ItemGraph:
    """Directed edges between consecutively clicked items, weighted by their number of transitions.

    Self-loops and pairs with an unknown item are excluded.

    Attributes:
        offsets: (N + 2,) int64; row i is `followers[offsets[i]:offsets[i + 1]]`, row 0 is empty.
        followers: (J,) int32, ascending within a row.
        cumulative: (J,) int64, cumulative sums of the weights within a row.
    """

    offsets: Int64Array
    followers: Int32Array
    cumulative: Int64Array

    @property
    def n_items(self) -> int:
        """N, the number of items."""
        return len(self.offsets) - 2

    @classmethod
    def from_sessions(cls, sessions: Sessions) -> Self:
        """Count the transitions in all sessions."""
        before, after = adjacent_clicks(sessions)
        keys, counts = np.unique((before << 32) | after, return_counts=True)
        rows = (keys >> 32).astype(np.int64)
        offsets = np.searchsorted(rows, np.arange(sessions.n_items + 2)).astype(np.int64)
        total = np.concatenate([[0], np.cumsum(counts)])
        return cls(
            offsets=offsets,
            followers=(keys & (2**32 - 1)).astype(np.int32),
            cumulative=(total[1:] - total[offsets[rows]]).astype(np.int64),
        )

    def weights(self) -> Int64Array:
        """(J,) int64, the number of transitions of each edge."""
        weights = np.diff(self.cumulative, prepend=0)
        starts = self.offsets[:-1][np.diff(self.offsets) > 0]
        weights[starts] = self.cumulative[starts]
        return weights

    def degrees(self, *, weighted: bool = True) -> Int64Array:
        """(N + 1,) int64, the total weight, or the number, of the edges to and from each item."""
        weights = self.weights() if weighted else np.ones(len(self.followers), np.int64)
        rows = np.repeat(np.arange(self.n_items + 1), np.diff(self.offsets))
        ends = np.concatenate([rows, self.followers])
        both = np.concatenate([weights, weights])
        degrees = np.bincount(ends, weights=both, minlength=self.n_items + 1)
        return degrees.astype(np.int64)  # float64 sums of integers are exact below 2⁵³
