"""Clicks of each item in the whole training log and in its newest sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nextclick.core.array_checks import (
    ArrayError,
    check_array,
    check_length,
    check_offsets,
    check_range,
    named_array,
)
from nextclick.core.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.types import (
        AnyArray,
        Float32Array,
        Float64Array,
        Int32Array,
        Int64Array,
    )
    from nextclick.models.incremental_state import PriorSessions

WINDOWS = {"tenth": 10, "hundredth": 100, "thousandth": 1000}
"""The windows of newest sessions, and of how many sessions each is one; the longest is first."""

_SUPPORT, _ITEMS, _OFFSETS = "support", "newest.items", "newest.offsets"
_BASE = -1000.0  # below the log probability of every candidate


class Popularity(NamedTuple):
    """What the counts say of each item.

    Attributes:
        log_counts: (N + 1, W) float64, log(1 + clicks) in each of `WINDOWS` and in the whole log.
        trending: (n,) int32, ascending, the items with the most clicks in the shortest window;
            the longer windows decide between equal ones.
    """

    log_counts: Float64Array
    trending: Int32Array


@dataclass(frozen=True, slots=True, eq=False)
class ItemCounts:
    """Clicks of the items, and the sessions that an update of the window needs.

    Attributes:
        support: (N + 1,) int64, clicks in the training log; entry 0 is 0.
        newest: the newest tenth of the training sessions, items only.
    """

    support: Int64Array
    newest: Sessions

    @classmethod
    def from_sessions(cls, sessions: Sessions) -> Self:
        """Count the clicks of a log that is sorted by last click."""
        return cls(_clicks(sessions), _longest_window(sessions, len(sessions)))

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.support) - 1

    def popularity(self, n_trending: int) -> Popularity:
        """The counts of all windows, and the `n_trending` items that are clicked most now."""
        n_sessions = len(self.newest) * min(WINDOWS.values())
        windows = [
            _clicks(_newest(self.newest, -(-n_sessions // share))) for share in WINDOWS.values()
        ]
        order = np.lexsort([-clicks for clicks in (self.support, *windows)])  # shortest first
        clicked = order[self.support[order] > 0]
        return Popularity(
            np.log1p(np.column_stack([*windows, self.support])),
            np.sort(clicked[:n_trending]).astype(np.int32),
        )

    def popularity_scores(self) -> Float32Array:
        """(N + 1,) scores that rank items by clicks, all at most -1000; equal clicks are equal."""
        _, level = np.unique(-self.support[1:], return_inverse=True)
        scores = np.full(len(self.support), _BASE, dtype=np.float32)
        scores[1:] -= level
        scores.flags.writeable = False
        return scores

    def update(self, new: Sessions, past: PriorSessions) -> Self:
        """The counts of the older and the new sessions, equal to those of the joint log."""
        older = self.newest.remap_items(past.index, past.n_items)
        new = Sessions(new.items, new.offsets, new.n_items)
        newest = _longest_window(older.concatenate(new), past.n_sessions + len(new))
        support = past.support + _clicks(new)
        support[0] = 0
        return type(self)(support, newest)

    def state(self) -> dict[str, AnyArray]:
        """The arrays by name."""
        return {
            _SUPPORT: self.support,
            _ITEMS: self.newest.items,
            _OFFSETS: self.newest.offsets,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray]) -> Self:
        """Build the counts from the arrays of `state`."""
        support = state[_SUPPORT]
        return cls(support, Sessions(state[_ITEMS], state[_OFFSETS], len(support) - 1))

    @staticmethod
    def check_state(state: Mapping[str, AnyArray], n_items: int) -> None:
        """Check types, shapes and ranges.

        Raises:
            ArrayError: an array is missing, or has another type, shape or range.
        """
        support, items = named_array(state, _SUPPORT), named_array(state, _ITEMS)
        check_array(_SUPPORT, support, np.int64)
        check_length(_SUPPORT, support, n_items + 1)
        check_range(_SUPPORT, support, 0, 2**62)
        if len(support) and support[0] != 0:
            raise ArrayError(f"{_SUPPORT} must begin with 0 for padding, got {support[0]}")
        check_array(_ITEMS, items, np.int32)
        check_range(_ITEMS, items, 0, n_items)
        check_offsets(_OFFSETS, named_array(state, _OFFSETS), len(items))


def _clicks(sessions: Sessions) -> Int64Array:
    """(N + 1,) clicks of each known item."""
    support = sessions.support()
    support[0] = 0
    return support


def _longest_window(sessions: Sessions, n_sessions: int) -> Sessions:
    """The newest tenth of a log of `n_sessions` sessions, whose last ones are given."""
    newest = _newest(sessions, -(-n_sessions // min(WINDOWS.values())))
    return Sessions(np.array(newest.items), newest.offsets, sessions.n_items)


def _newest(sessions: Sessions, size: int) -> Sessions:
    """The last `size` sessions, or all if there are fewer."""
    return sessions.slice(max(len(sessions) - size, 0), len(sessions))
