"""The earlier sessions of the visitors of a batch, an input of models that read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nextclick.core.sessions import MS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import AnyArray, BoolArray, Float32Array, Int32Array, Int64Array

MAX_EARLIER_CLICKS = 50
"""The number of latest known clicks of an earlier session that are read."""


class EarlierClicks(NamedTuple):
    """The known clicks of an earlier session.

    Attributes:
        items: (L,) indices in 1..N.
        age: seconds from its last click to the first click of the session that reads it; NaN if
            unknown.
        dwells: (L,) seconds from each click to the next one, see `dwell_times`; None if unknown.
    """

    items: Sequence[int] | AnyArray
    age: float
    dwells: Float32Array | None = None


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
        dwells: (M,) float32, seconds from each click to the next one of its session, see
            `dwell_times`.
        first: (B,) int64; row b reads the earlier sessions first[b] .. first[b] + counts[b] - 1.
        counts: (B,) int64.
    """

    items: Int32Array
    offsets: Int64Array
    ages: Float32Array
    dwells: Float32Array
    first: Int64Array
    counts: Int64Array

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def empty(cls, n_rows: int) -> Self:
        """No earlier sessions, for `n_rows` rows."""
        return cls.from_lists([[]] * n_rows)

    @classmethod
    def from_lists(
        cls, rows: Sequence[Sequence[EarlierClicks | tuple[Sequence[int] | AnyArray, float]]]
    ) -> Self:
        """Build from the earlier sessions of each row.

        >>> SessionHistory.from_lists([[([3, 1], 60.0), ([2], 5.0)], []]).counts.tolist()
        [2, 0]
        """
        sessions = [EarlierClicks(*session) for row in rows for session in row]
        clicks = [
            np.asarray(session.items, dtype=np.int32)[-MAX_EARLIER_CLICKS:] for session in sessions
        ]
        dwells = [
            np.full(len(items), np.nan, np.float32)
            if session.dwells is None
            else session.dwells[-MAX_EARLIER_CLICKS:]
            for session, items in zip(sessions, clicks, strict=True)
        ]
        counts = np.array([len(row) for row in rows], dtype=np.int64)
        return cls(
            np.concatenate([np.zeros(0, np.int32), *clicks]),
            offsets_of(np.array([len(items) for items in clicks], dtype=np.int64)),
            np.array([session.age for session in sessions], dtype=np.float32),
            np.concatenate([np.zeros(0, np.float32), *dwells]),
            np.cumsum(counts) - counts,
            counts,
        )

    def take(self, rows: AnyArray | slice) -> Self:
        """The rows of a mask, of indices or of a slice."""
        return replace(self, first=self.first[rows], counts=self.counts[rows])

    def row(self, b: int) -> list[EarlierClicks]:
        """The earlier sessions of row b, as for `from_lists`."""
        first = int(self.first[b])
        return [
            EarlierClicks(self.items[clicks], float(self.ages[z]), self.dwells[clicks])
            for z in range(first, first + int(self.counts[b]))
            for clicks in [slice(self.offsets[z], self.offsets[z + 1])]
        ]

    def latest(self, n: int) -> Self:
        """The last `n` earlier sessions of each row."""
        counts = np.minimum(self.counts, n)
        return replace(self, first=self.first + self.counts - counts, counts=counts)

    def hide(self, hidden: BoolArray) -> Self:
        """The same without earlier sessions in the rows that the mask `hidden` (B,) selects."""
        return replace(self, counts=np.where(hidden, 0, self.counts))


def dwell_times(times: Int64Array, session: Int64Array) -> Float32Array:
    """(M,) float32 seconds from each click to the next one of its session; NaN for a last click.

    Args:
        times: (M,) milliseconds, those of a session one after another in click order.
        session: (M,) the session of each click.
    """
    dwells = np.full(len(times), np.nan, dtype=np.float32)
    has_next = session[1:] == session[:-1]
    dwells[:-1][has_next] = np.diff(times)[has_next] / MS_PER_SECOND
    return dwells


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
