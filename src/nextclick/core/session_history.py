"""The earlier sessions of the visitors of a batch, an input of models that read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import AnyArray, BoolArray, Float32Array, Int32Array, Int64Array

MAX_EARLIER_CLICKS = 50
"""The number of latest known clicks of an earlier session that are read."""


@dataclass(frozen=True, slots=True, eq=False)
class SessionHistory:
    """For each of B sessions, earlier sessions of its visitor, oldest first.

    Rows may share earlier sessions, as the prefixes of one session do.

    Attributes:
        items: (M,) int32 in 1..N, the known clicks of Z earlier sessions, one after another.
        offsets: (Z + 1,) int64; earlier session z is `items[offsets[z]:offsets[z + 1]]`, empty if
            none of its clicks is known.
        ages: (Z,) float32, seconds from its last click to the first click of the session that reads
            it; NaN if unknown.
        first: (B,) int64; row b reads the earlier sessions first[b] .. first[b] + counts[b] - 1.
        counts: (B,) int64.
    """

    items: Int32Array
    offsets: Int64Array
    ages: Float32Array
    first: Int64Array
    counts: Int64Array

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def empty(cls, n_rows: int) -> Self:
        """No earlier sessions, for `n_rows` rows."""
        return cls.from_lists([[]] * n_rows)

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[tuple[Sequence[int] | AnyArray, float]]]) -> Self:
        """Build from the (known clicks, age in seconds) of each earlier session of each row.

        >>> SessionHistory.from_lists([[([3, 1], 60.0), ([2], 5.0)], []]).counts.tolist()
        [2, 0]
        """
        sessions = [session for row in rows for session in row]
        clicks = [np.asarray(items, dtype=np.int32)[-MAX_EARLIER_CLICKS:] for items, _ in sessions]
        counts = np.array([len(row) for row in rows], dtype=np.int64)
        return cls(
            np.concatenate([np.zeros(0, np.int32), *clicks]),
            offsets_of(np.array([len(items) for items in clicks], dtype=np.int64)),
            np.array([age for _, age in sessions], dtype=np.float32),
            np.cumsum(counts) - counts,
            counts,
        )

    def take(self, rows: AnyArray | slice) -> Self:
        """The rows of a mask, of indices or of a slice."""
        return replace(self, first=self.first[rows], counts=self.counts[rows])

    def row(self, b: int) -> list[tuple[Int32Array, float]]:
        """The known clicks and the age of each earlier session of row b, as for `from_lists`."""
        first = int(self.first[b])
        return [
            (self.items[self.offsets[z] : self.offsets[z + 1]], float(self.ages[z]))
            for z in range(first, first + int(self.counts[b]))
        ]

    def latest(self, n: int) -> Self:
        """The last `n` earlier sessions of each row."""
        counts = np.minimum(self.counts, n)
        return replace(self, first=self.first + self.counts - counts, counts=counts)

    def hide(self, hidden: BoolArray) -> Self:
        """The same without earlier sessions in the rows that the mask `hidden` (B,) selects."""
        return replace(self, counts=np.where(hidden, 0, self.counts))


def offsets_of(lengths: Int64Array) -> Int64Array:
    """(n + 1,) offsets of n consecutive ranges with these lengths."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ranges(first: Int64Array, lengths: Int64Array) -> Int64Array:
    """The numbers first[i] .. first[i] + lengths[i] - 1 of all i, one range after another.

    >>> ranges(np.array([7, 2]), np.array([2, 3])).tolist()
    [7, 8, 2, 3, 4]
    """
    offsets = offsets_of(lengths)
    return np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], lengths)
