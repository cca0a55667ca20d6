"""Labels of a session against its earlier sessions and its other clicks: compiled kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.types import Float64Array, Int32Array, Int64Array


@njit(cache=True, nogil=True)
def add_repeats(
    items: Int32Array,
    offsets: Int64Array,
    by_user: Int64Array,
    users: Int32Array,
    label_of: Int32Array,
    n_labels: int,
    sums: Float64Array,
    deep_sums: Float64Array,
) -> tuple[int, int]:
    """Add the shares of all sessions to the sums of `repeats`; count sessions, and deep ones."""
    depth = len(sums)
    seen_at = np.full(n_labels + 1, -1, np.int64)  # place in by_user where a label was last seen
    found = np.zeros(depth, np.int64)  # labels of the session by how far back they were seen
    n_sessions, n_deep = 0, 0
    first = 0  # where the sessions of this user begin
    for place in range(len(by_user)):
        s = by_user[place]
        if place > 0 and users[s] != users[by_user[place - 1]]:
            first = place
        found[:] = 0
        n_labels_here = 0
        for i in range(offsets[s], offsets[s + 1]):
            label = label_of[items[i]]
            seen = seen_at[label]
            if label == 0 or seen == place:
                continue
            seen_at[label] = place
            n_labels_here += 1
            if seen >= first and place - seen <= depth:
                found[place - seen - 1] += 1
        if n_labels_here == 0 or place == first:
            continue
        deep = place - first >= depth
        n_sessions += 1
        n_deep += deep
        so_far = 0
        for k in range(depth):
            so_far += found[k]
            sums[k] += so_far / n_labels_here
            if deep:
                deep_sums[k] += so_far / n_labels_here
    return n_sessions, n_deep


@njit(cache=True, nogil=True)
def add_shares(
    items: Int32Array,
    offsets: Int64Array,
    label_of: Int32Array,
    n_labels: int,
    shares: Float64Array,
    differ: Float64Array,
) -> tuple[int, int]:
    """Add the shares of all sessions to those of `within_session`; count sessions and clicks."""
    clicks = np.zeros(n_labels + 1, np.int64)
    ranked = np.zeros(len(shares), np.int64)
    n_sessions, n_clicks = 0, 0
    for s in range(len(offsets) - 1):
        n = 0
        for i in range(offsets[s], offsets[s + 1]):
            label = label_of[items[i]]
            if label > 0:
                clicks[label] += 1
                n += 1
        if n == 0:
            continue
        ranked[:] = 0
        for i in range(offsets[s], offsets[s + 1]):
            label = label_of[items[i]]
            if label > 0 and clicks[label] > 0:
                _insert(ranked, clicks[label])
                clicks[label] = 0  # taken; and clean for the next session
        for r in range(len(ranked)):
            shares[r] += ranked[r] / n
            if r < n:
                differ[r] += 1 / n
        n_sessions += 1
        n_clicks += n
    return n_sessions, n_clicks


@njit(cache=True, inline="always")
def _insert(ranked: Int64Array, count: int) -> None:
    """Put a count into its place in a descending row; the least falls out."""
    r = len(ranked) - 1
    if count <= ranked[r]:
        return
    while r > 0 and ranked[r - 1] < count:
        ranked[r] = ranked[r - 1]
        r -= 1
    ranked[r] = count
