"""Passes over the clicks of sessions with a mask: counts by session and by item, and drops.

`click_kernels` has the same functions, compiled and without temporary arrays; `passes_for` chooses.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array

_COMPILED_CLICKS = 1_000_000  # above which the compiled passes repay the import of numba


def passes_for(n_clicks: int) -> Any:
    """The module whose functions suit a log of so many clicks: this one or `click_kernels`."""
    if n_clicks < _COMPILED_CLICKS:
        return sys.modules[__name__]
    from nextclick.data import click_kernels  # imports numba

    return click_kernels


def remaining_lengths(keep: BoolArray, offsets: Int64Array) -> Int64Array:
    """Return (S,) int64, the number of remaining clicks of each session.

    Args:
        keep: (E,) bool, False for a click that was dropped.
        offsets: (S + 1,) session s has the clicks `offsets[s]:offsets[s + 1]`.
    """
    n_before = np.append(0, np.cumsum(keep))
    return np.diff(n_before[offsets])


def count_items(
    items: Int32Array,
    keep: BoolArray,
    offsets: Int64Array,
    sessions: BoolArray | None,
    n_items: int,
) -> Int64Array:
    """Return (n_items,) int64, the number of remaining clicks on each item.

    Args:
        items: (E,) codes below `n_items`.
        keep: see `remaining_lengths`.
        offsets: see `remaining_lengths`.
        sessions: (S,) bool, those whose clicks are counted; None for all.
        n_items: number of item codes.
    """
    if sessions is not None:
        keep = keep & clicks_of(sessions, offsets)
    return np.bincount(items[keep], minlength=n_items)


def drop_sessions(keep: BoolArray, offsets: Int64Array, dropped: BoolArray) -> None:
    """Drop all clicks of the sessions that are True in `dropped` (S,)."""
    keep &= ~clicks_of(dropped, offsets)


def drop_items(
    keep: BoolArray,
    items: Int32Array,
    offsets: Int64Array,
    dropped: BoolArray,
    sessions: BoolArray | None,
) -> None:
    """Drop the clicks on the items that are True in `dropped`, in all or in some sessions."""
    clicks = dropped[items]
    if sessions is not None:
        clicks &= clicks_of(sessions, offsets)
    keep &= ~clicks


def clicks_of(sessions: BoolArray, offsets: Int64Array) -> BoolArray:
    """(E,) whether the session of each click is True in `sessions` (S,)."""
    return np.repeat(sessions, np.diff(offsets))
