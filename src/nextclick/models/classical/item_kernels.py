"""The compiled twins of `invert`, `neighbor_rows` and `follower_rows`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.models.ops.kernels import grow, keep_best

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float64Array, Int32Array, Int64Array
    from nextclick.models.classical.inverted_index import Postings
    from nextclick.models.classical.item_table import Rows


def invert(
    items: Int32Array, offsets: Int64Array, n_items: int, at_most: int | None
) -> tuple[Int64Array, Int32Array, Int64Array]:
    """As `nextclick.models.classical.inverted_index.invert`."""
    n_sessions = _count(items, offsets, n_items)
    listed = n_sessions if at_most is None else np.minimum(n_sessions, at_most)
    listed_offsets = np.zeros(n_items + 2, dtype=np.int64)
    np.cumsum(listed, out=listed_offsets[1:])
    return listed_offsets, _list(items, offsets, listed_offsets), n_sessions


def neighbor_rows(
    sessions: Sessions,
    postings: Postings,
    norms: tuple[Float64Array, Float64Array],
    by_click: bool,
    n: int,
) -> Callable[[int, int], Rows]:
    """As `nextclick.models.classical.item_knn.neighbor_rows`."""
    log = sessions.items, sessions.offsets, postings.offsets, postings.sessions
    return partial(_neighbors, *log, *norms, by_click, n)


def follower_rows(
    sessions: Sessions, postings: Postings, weights: Float64Array, n: int
) -> Callable[[int, int], Rows]:
    """As `nextclick.models.classical.transitions.follower_rows`."""
    log = sessions.items, sessions.offsets, postings.offsets, postings.sessions
    return partial(_followers, *log, weights, n)


@njit(cache=True, nogil=True)
def _count(items: Int32Array, offsets: Int64Array, n_items: int) -> Int64Array:
    counts = np.zeros(n_items + 1, np.int64)
    seen_in = np.full(n_items + 1, -1, np.int64)
    for s in range(len(offsets) - 1):
        for p in range(offsets[s], offsets[s + 1]):
            item = items[p]
            if item != 0 and seen_in[item] != s:
                seen_in[item] = s
                counts[item] += 1
    return counts


@njit(cache=True, nogil=True)
def _list(items: Int32Array, offsets: Int64Array, posting_offsets: Int64Array) -> Int32Array:
    sessions = np.empty(posting_offsets[-1], np.int32)
    at = posting_offsets[:-1].copy()
    seen_in = np.full(len(at), -1, np.int64)
    for s in range(len(offsets) - 2, -1, -1):
        for p in range(offsets[s], offsets[s + 1]):
            item = items[p]
            if seen_in[item] != s and at[item] < posting_offsets[item + 1]:
                seen_in[item] = s
                sessions[at[item]] = s
                at[item] += 1
    return sessions


@njit(cache=True, nogil=True)
def _neighbors(
    items: Int32Array,
    offsets: Int64Array,
    posting_offsets: Int64Array,
    postings: Int32Array,
    own_norm: Float64Array,
    other_norm: Float64Array,
    by_click: bool,
    n: int,
    start: int,
    stop: int,
) -> Rows:
    """The n best neighbors of items start..stop - 1."""
    lengths = np.zeros(stop - start, np.int64)
    out_items, out_values, used = np.empty(0, np.int32), np.empty(0, np.float32), 0
    shared = np.zeros(len(own_norm))  # (N + 1,) c(i, ·) of the item at hand
    touched = np.empty(len(own_norm), np.int32)
    seen_in, visit = np.zeros(len(own_norm), np.int64), 0
    for i in range(start, stop):
        n_touched = 0
        for posting in range(posting_offsets[i], posting_offsets[i + 1]):
            s = postings[posting]
            session = items[offsets[s] : offsets[s + 1]]
            weight = np.sum(session == i) if by_click else 1
            visit += 1
            for j in session:
                if j == 0 or j == i or seen_in[j] == visit:
                    continue
                seen_in[j] = visit
                if shared[j] == 0:
                    touched[n_touched] = j
                    n_touched += 1
                shared[j] += weight
        others = touched[:n_touched]
        scores = shared[others] / (own_norm[i] * other_norm[others])
        shared[others] = 0.0
        best, best_scores = keep_best(others, scores, n)
        out_items = grow(out_items, used, len(best))
        out_values = grow(out_values, used, len(best))
        out_items[used : used + len(best)] = best
        out_values[used : used + len(best)] = best_scores
        used += len(best)
        lengths[i - start] = len(best)
    return lengths, out_items[:used], out_values[:used]


@njit(cache=True, nogil=True)
def _followers(
    items: Int32Array,
    offsets: Int64Array,
    posting_offsets: Int64Array,
    postings: Int32Array,
    weights: Float64Array,
    n: int,
    start: int,
    stop: int,
) -> Rows:
    """The n best followers of items start..stop - 1."""
    n_items = len(posting_offsets) - 2
    lengths = np.zeros(stop - start, np.int64)
    out_items, out_values, used = np.empty(0, np.int32), np.empty(0, np.float32), 0
    sums = np.zeros(n_items + 1)
    touched = np.empty(n_items + 1, np.int32)
    for i in range(start, stop):
        n_touched, n_pairs = 0, 0
        for posting in range(posting_offsets[i], posting_offsets[i + 1]):
            s = postings[posting]
            session = items[offsets[s] : offsets[s + 1]]
            for p in range(len(session)):
                if session[p] != i:
                    continue
                for q in range(p + 1, min(p + len(weights), len(session) - 1) + 1):
                    j = session[q]
                    if j == 0:
                        continue
                    if sums[j] == 0:
                        touched[n_touched] = j
                        n_touched += 1
                    sums[j] += weights[q - p - 1]
                    n_pairs += 1
        others = touched[:n_touched]
        best, best_sums = keep_best(others, sums[others], n)
        sums[others] = 0.0
        out_items = grow(out_items, used, len(best))
        out_values = grow(out_values, used, len(best))
        out_items[used : used + len(best)] = best
        out_values[used : used + len(best)] = best_sums / max(n_pairs, 1)
        used += len(best)
        lengths[i - start] = len(best)
    return lengths, out_items[:used], out_values[:used]
