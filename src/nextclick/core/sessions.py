"""Sessions in flat arrays: the training and test data of all models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.joined_arrays import join_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextclick.core.earlier_sessions import EarlierSessions
    from nextclick.core.types import AnyArray, BoolArray, Int32Array, Int64Array

MS_PER_SECOND = 1000
MS_PER_DAY = 86_400_000
_COUNT_ROWS = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """S sessions with E events (clicks), sorted by the time of the last click.

    The last click is that of the raw log, even if a filter has removed it.

    Attributes:
        items: (E,) int32, index of the clicked item in 1..n_items; 0 is an item unseen in training.
        offsets: (S + 1,) int64; session s is `items[offsets[s]:offsets[s + 1]]`.
        n_items: N, the size of the catalog without the padding index 0.
        times: (E,) int64, milliseconds since the epoch; None if the log has an order but no times.
        users: (S,) int32, index of the user in 1..n_users, 0 if unknown; None without users.
        n_users: U, the number of known users.
        blocks: (S,) int32, the time block (by default a day) of the session's last event, counted
            from the first block of the whole log; None without times.
        earlier: the log in which the earlier sessions of the users are found; None is that of these
            sessions alone.

    The arrays may be memory-mapped and must not be modified.
    """

    items: Int32Array
    offsets: Int64Array
    n_items: int
    times: Int64Array | None = None
    users: Int32Array | None = None
    n_users: int = 0
    blocks: Int32Array | None = None
    earlier: EarlierSessions | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_events(self) -> int:
        """E, the number of clicks."""
        return int(self.offsets[-1] - self.offsets[0])

    @property
    def n_prefixes(self) -> int:
        """The number of (prefix, next item) samples: n - 1 for a session of n clicks."""
        return int(np.maximum(self.lengths() - 1, 0).sum())

    def lengths(self) -> Int64Array:
        """(S,) int64, clicks per session."""
        return np.diff(self.offsets)

    def slice(self, start: int, stop: int) -> Sessions:
        """Sessions start..stop - 1 as views; only the offsets are copied."""
        offsets = np.asarray(self.offsets[start : stop + 1], dtype=np.int64)
        first, last = int(offsets[0]), int(offsets[-1])
        return replace(
            self,
            items=self.items[first:last],
            offsets=offsets - first,
            times=None if self.times is None else self.times[first:last],
            users=None if self.users is None else self.users[start:stop],
            blocks=None if self.blocks is None else self.blocks[start:stop],
        )

    def chunks(self, max_clicks: int) -> Iterator[tuple[int, Sessions]]:
        """Yield the number of the first session and the sessions of consecutive chunks, as views.

        A chunk has at most `max_clicks` clicks, but at least one session.
        """
        begin = 0
        while begin < len(self):
            limit = self.offsets[begin] + max_clicks
            end = max(int(np.searchsorted(self.offsets, limit, side="right")) - 1, begin + 1)
            yield begin, self.slice(begin, end)
            begin = end

    def by_block(self, first: int, stop: int) -> Iterator[tuple[int, Sessions]]:
        """Yield each time block in first..stop - 1 and its sessions, also if it has none.

        Raises:
            ValueError: the sessions have no blocks.
        """
        if self.blocks is None:
            raise ValueError("these sessions have no times, so they have no blocks of time")
        numbers = range(first, stop + 1)
        bounds = np.searchsorted(self.blocks, numbers).tolist()
        for block, (begin, end) in zip(numbers, pairwise(bounds), strict=False):
            yield block, self.slice(begin, end)

    def mask_unseen_items(self, support: Int64Array | BoolArray) -> Sessions:
        """The sessions with item 0 (unknown) in place of items whose `support` (N + 1,) is 0.

        The catalog covers the whole training data, so a model trained on a part of it has not
        seen every item.
        """
        seen = support > 0
        if seen[1:].all():
            return self
        index = np.where(seen, np.arange(len(seen)), 0).astype(np.int32)
        return self.remap_items(index, self.n_items)

    def take(self, chosen: Int64Array) -> Sessions:
        """The sessions at the indices `chosen` (R,), in that order, as copies."""
        lengths = self.lengths()[chosen]
        offsets = np.zeros(len(chosen) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        at = np.repeat(self.offsets[:-1][chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(
            self,
            items=self.items[at],
            offsets=offsets,
            times=None if self.times is None else self.times[at],
            users=None if self.users is None else self.users[chosen],
            blocks=None if self.blocks is None else self.blocks[chosen],
        )

    def remap_items(self, index: Int32Array, n_items: int) -> Sessions:
        """The sessions with new item indices: item i becomes `index[i]`; 0 is unknown."""
        earlier = None if self.earlier is None else self.earlier.remap_items(index)
        return replace(self, items=index[self.items], n_items=n_items, earlier=earlier)

    def concatenate(self, later: Sessions) -> Sessions:
        """Concatenate with `later` sessions of the same vocabularies, as copies."""
        return Sessions.join([self, later])

    @staticmethod
    def join(parts: Sequence[Sessions]) -> Sessions:
        """Concatenate sessions of the same vocabularies; the files of shards are not read.

        The offsets are computed in memory. See `join_arrays` for the other arrays.
        """
        if len(parts) == 1:
            return parts[0]

        def joined(name: str) -> AnyArray | None:
            arrays = [getattr(part, name) for part in parts]
            return None if any(array is None for array in arrays) else join_arrays(arrays)

        offsets = np.empty(sum(map(len, parts)) + 1, dtype=np.int64)
        offsets[0], begin = parts[0].offsets[0], 0
        for part in parts:
            stop = begin + len(part)
            offsets[begin + 1 : stop + 1] = part.offsets[1:] + (offsets[begin] - part.offsets[0])
            begin = stop
        return replace(
            parts[0],
            items=join_arrays([part.items for part in parts]),
            offsets=offsets,
            times=joined("times"),
            users=joined("users"),
            blocks=joined("blocks"),
            earlier=None,
        )

    def support(self) -> Int64Array:
        """(N + 1,) int64, clicks per item; entry 0 counts clicks on unknown items."""
        support = np.zeros(self.n_items + 1, dtype=np.int64)
        for start in range(0, len(self.items), _COUNT_ROWS):  # bincount copies its input
            chunk = self.items[start : start + _COUNT_ROWS]
            support += np.bincount(chunk, minlength=self.n_items + 1)
        return support

    def gaps(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """(E,) float32, seconds since the previous click of the session; 0 for a first click.

        Raises:
            ValueError: the sessions have no times.
        """
        if self.times is None:
            raise ValueError("these sessions have no times, so they have no gaps")
        gaps = np.zeros(len(self.items), dtype=np.float32)
        gaps[1:] = np.diff(self.times) / MS_PER_SECOND
        starts = self.offsets[:-1][self.lengths() > 0]
        gaps[starts - self.offsets[0]] = 0.0
        return gaps

    def session(self, s: int) -> Int32Array:
        """(n,) int32, the items of session s."""
        return self.items[self.offsets[s] : self.offsets[s + 1]]

    @classmethod
    def from_lists(cls, sessions: list[list[int]], n_items: int | None = None) -> Sessions:
        """Build from lists of item indices, oldest session first; for tests and small logs.

        >>> log = Sessions.from_lists([[1, 2], [2, 3, 1]])
        >>> len(log), log.n_events, log.n_prefixes, log.n_items
        (2, 5, 3, 3)
        """
        offsets = np.zeros(len(sessions) + 1, dtype=np.int64)
        np.cumsum([len(s) for s in sessions], out=offsets[1:])
        items = np.array([i for s in sessions for i in s], dtype=np.int32)
        most = int(items.max()) if len(items) else 0
        return cls(items=items, offsets=offsets, n_items=most if n_items is None else n_items)
