"""Compiled versions of `invert`, `neighbor_rows` and `follower_rows`."""

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
    items: Int32Array, offsets: Int64Array, limits: Int64Array
) -> tuple[Int64Array, Int32Array, Int64Array]:
    """See `nextclick.models.classical.inverted_index.invert`."""
    n_sessions = _count_sessions(items, offsets, len(limits) - 1)
    listed_offsets = np.zeros(len(limits) + 1, dtype=np.int64)
    np.cumsum(np.minimum(n_sessions, limits), out=listed_offsets[1:])
    return listed_offsets, _list_sessions(items, offsets, listed_offsets), n_sessions


def neighbor_rows(
    sessions: Sessions,
    postings: Postings,
    norms: tuple[Float64Array, Float64Array],
    count_clicks: bool,
    n: int,
) -> Callable[[int, int], Rows]:
    """See `nextclick.models.classical.item_knn.neighbor_rows`."""
    log = sessions.items, sessions.offsets, postings.offsets, postings.sessions
    return partial(_neighbors, *log, *norms, count_clicks, n)


def follower_rows(
    sessions: Sessions, postings: Postings, weights: Float64Array, n: int
) -> Callable[[int, int], Rows]:
    """See `nextclick.models.classical.transitions.follower_rows`."""
    log = sessions.items, sessions.offsets, postings.offsets, postings.sessions
    return partial(_followers, *log, weights, n)


@njit(cache=True, nogil=True)
def _count_sessions(items: Int32Array, offsets: Int64Array, n_items: int) -> Int64Array:
    counts = np.zeros(n_items + 1, np.int64)
    last_session = np.full(n_items + 1, -1, np.int64)
    for s in range(len(offsets) - 1):
        for p in range(offsets[s], offsets[s + 1]):
            item = items[p]
            if item != 0 and last_session[item] != s:
                last_session[item] = s
                counts[item] += 1
    return counts


@njit(cache=True, nogil=True)
def _list_sessions(
    items: Int32Array, offsets: Int64Array, posting_offsets: Int64Array
) -> Int32Array:
    sessions = np.empty(posting_offsets[-1], np.int32)
    next_slot = posting_offsets[:-1].copy()
    last_session = np.full(len(next_slot), -1, np.int64)
    for s in range(len(offsets) - 2, -1, -1):
        for p in range(offsets[s], offsets[s + 1]):
            item = items[p]
            if last_session[item] != s and next_slot[item] < posting_offsets[item + 1]:
                last_session[item] = s
                sessions[next_slot[item]] = s
                next_slot[item] += 1
    return sessions


@njit(cache=True, nogil=True)
def _neighbors(
    items: Int32Array,
    offsets: Int64Array,
    posting_offsets: Int64Array,
    postings: Int32Array,
    source_norm: Float64Array,
    target_norm: Float64Array,
    count_clicks: bool,
    n: int,
    start: int,
    stop: int,
) -> Rows:
    """Compute the n best neighbors of each item in start..stop - 1."""
    lengths = np.zeros(stop - start, np.int64)
    out_items, out_values, n_written = np.empty(0, np.int32), np.empty(0, np.float32), 0
    shared = np.zeros(len(source_norm))  # (N + 1,) c(i, ·) of the current item i
    touched, scores = np.empty(len(source_norm), np.int32), np.empty(len(source_norm))
    last_visit, visit = np.zeros(len(source_norm), np.int64), 0
    for i in range(start, stop):
        n_touched = 0
        for posting in range(posting_offsets[i], posting_offsets[i + 1]):
            s = postings[posting]
            session = items[offsets[s] : offsets[s + 1]]
            weight = 1
            if count_clicks:
                weight = 0
                for j in session:
                    weight += j == i
            visit += 1
            for j in session:
                if j == 0 or j == i or last_visit[j] == visit:
                    continue
                last_visit[j] = visit
                if shared[j] == 0:
                    touched[n_touched] = j
                    n_touched += 1
                shared[j] += weight
        for k in range(n_touched):
            j = touched[k]
            scores[k] = shared[j] / (source_norm[i] * target_norm[j])
            shared[j] = 0.0
        best, best_scores = keep_best(touched[:n_touched], scores[:n_touched], n)
        out_items = grow(out_items, n_written, len(best))
        out_values = grow(out_values, n_written, len(best))
        for k in range(len(best)):
            out_items[n_written + k], out_values[n_written + k] = best[k], best_scores[k]
        n_written += len(best)
        lengths[i - start] = len(best)
    return lengths, out_items[:n_written], out_values[:n_written]


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
    """Compute the n best followers of each item in start..stop - 1."""
    n_items = len(posting_offsets) - 2
    lengths = np.zeros(stop - start, np.int64)
    out_items, out_values, n_written = np.empty(0, np.int32), np.empty(0, np.float32), 0
    sums = np.zeros(n_items + 1)
    touched, values = np.empty(n_items + 1, np.int32), np.empty(n_items + 1)
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
        for k in range(n_touched):
            values[k] = sums[touched[k]]
            sums[touched[k]] = 0.0
        best, best_values = keep_best(touched[:n_touched], values[:n_touched], n)
        out_items = grow(out_items, n_written, len(best))
        out_values = grow(out_values, n_written, len(best))
        for k in range(len(best)):
            out_items[n_written + k] = best[k]
            out_values[n_written + k] = best_values[k] / max(n_pairs, 1)
        n_written += len(best)
        lengths[i - start] = len(best)
    return lengths, out_items[:n_written], out_values[:n_written]
