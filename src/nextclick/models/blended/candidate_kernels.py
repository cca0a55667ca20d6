"""The compiled twin of `candidate_features.candidate_logits`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.types import BoolArray, Float64Array, Int32Array, Int64Array
    from nextclick.models.blended.item_counts import Popularity
    from nextclick.models.blended.top_lists import TopLists

_AFTER_ALL = 2**31 - 1
_SMALLEST = np.finfo(np.float64).tiny  # items without votes are not listed, so any logarithm serves


def candidate_logits(
    batch: SessionBatch,
    lists: Sequence[TopLists],
    votes: Sequence[bool],
    popularity: Popularity,
    weights: Float64Array,
) -> tuple[Int64Array, Int32Array, Float64Array]:
    """Equal to `candidate_features.candidate_logits`, bit for bit."""
    scores = [top.scores.astype(np.float64) for top in lists]
    logits = [
        np.log(np.maximum(own, _SMALLEST)) if of_votes else own
        for own, of_votes in zip(scores, votes, strict=True)
    ]
    return _weighted_rows(
        batch.items,
        batch.lengths,
        np.stack([top.offsets for top in lists]),
        np.concatenate([top.items for top in lists]),
        np.concatenate(scores),
        np.concatenate(logits),
        np.array(votes),
        popularity.log_counts,
        popularity.trending,
        np.log1p(np.arange(batch.items.shape[1] + 1)),
        weights,
    )


@njit(cache=True, nogil=True)
def _weighted_rows(
    clicks: Int32Array,
    lengths: Int32Array,
    offsets: Int64Array,
    items: Int32Array,
    scores: Float64Array,
    logits: Float64Array,
    votes: BoolArray,
    log_counts: Float64Array,
    trending: Int32Array,
    log_times: Float64Array,
    weights: Float64Array,
) -> tuple[Int64Array, Int32Array, Float64Array]:
    """The candidates of each session, ascending, and the weighted sums of their features.

    The lists of member m are `offsets[m] + starts[m]`, where starts are the sums of the lengths of
    the lists before. `log_times[c]` is log(1 + c).
    """
    M, B = offsets.shape[0], len(lengths)
    starts = np.zeros(M, np.int64)
    for m in range(1, M):
        starts[m] = starts[m - 1] + offsets[m - 1, B]
    out_offsets = np.zeros(B + 1, np.int64)
    out_items = np.empty(len(items) + lengths.sum() + B * len(trending), np.int32)
    out_logits = np.empty(len(out_items), np.float64)
    values = np.empty(len(weights), np.float64)  # features of a candidate
    n = 0
    for b in range(B):
        session = clicks[b, : lengths[b]]
        own, listed = np.sort(session), _listed(b, offsets, starts, items, scores, logits, votes)
        j = c = t = 0  # entries of `listed`, clicks of `own` and trending items so far
        while j < len(listed[0]) or c < len(own) or t < len(trending):
            item = min(_first(own, c), _first(listed[0], j), _first(trending, t))
            t += t < len(trending) and trending[t] == item
            j = _set_of_members(item, j, listed, values[: 2 * M])
            first = c
            while c < len(own) and own[c] == item:
                c += 1
            values[2 * M] = c > first
            values[2 * M + 1] = c > first and session[len(session) - 1] == item
            values[2 * M + 2] = log_times[c - first]
            values[2 * M + 3 :] = log_counts[item]
            out_items[n], out_logits[n] = item, _sum(weights, values)
            n += 1
        out_offsets[b + 1] = n
    return out_offsets, out_items[:n], out_logits[:n]


@njit(cache=True, nogil=True)
def _first(items: Int32Array, position: int) -> int:
    """The item at a position, above all items after the end."""
    return int(items[position]) if position < len(items) else _AFTER_ALL


@njit(cache=True, nogil=True)
def _set_of_members(
    item: int,
    j: int,
    listed: tuple[Int32Array, Float64Array, Int64Array],
    values: Float64Array,
) -> int:
    """Set the (2 M,) features of the members of an item; return the entry after its last one."""
    items, ratios, members = listed
    values[::2], values[1::2] = 0.0, 1.0  # score and absent
    while j < len(items) and items[j] == item:
        values[2 * members[j]], values[2 * members[j] + 1] = ratios[j], 0.0
        j += 1
    return j


@njit(cache=True, nogil=True)
def _sum(weights: Float64Array, values: Float64Array) -> float:
    """The weighted sum in the order of `weighted_sum`."""
    total = 0.0
    for f in range(len(weights)):
        if weights[f] != 0.0:
            total += weights[f] * values[f]
    return total


@njit(cache=True, nogil=True)
def _listed(
    b: int,
    offsets: Int64Array,
    starts: Int64Array,
    items: Int32Array,
    scores: Float64Array,
    logits: Float64Array,
    votes: BoolArray,
) -> tuple[Int32Array, Float64Array, Int64Array]:
    """The listed items of row b, ascending, their log ratios, and their members."""
    total = 0
    for m in range(len(votes)):
        total += offsets[m, b + 1] - offsets[m, b]
    row_items, row_logits = np.empty(total, np.int32), np.empty(total, np.float64)
    members, n = np.empty(total, np.int64), 0
    for m in range(len(votes)):
        first = n
        for j in range(starts[m] + offsets[m, b], starts[m] + offsets[m, b + 1]):
            if votes[m] and scores[j] <= 0.0:
                continue  # no votes, such as a hidden item of the session
            row_items[n], row_logits[n], members[n] = items[j], logits[j], m
            n += 1
        if n > first:
            last = row_logits[n - 1]
            for j in range(first, n):
                row_logits[j] -= last
    order = np.argsort(row_items[:n], kind="mergesort")
    return row_items[order], row_logits[order], members[order]
