"""Compiled kernels of the repeat model: its counts, and the scores of items of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.models.classical.repeat_counts import (
    CLICKS_BUCKET,
    DISTINCT_BUCKET,
    N_CELLS,
    SHAPE,
    STEPS_BUCKET,
    WINDOW,
)
from nextclick.models.classical.repeat_model import HIDDEN, MAX_SHARE, MIXED_POWER, PLAIN_POWER

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Float64Array, Int32Array, Int64Array
    from nextclick.models.classical.session_scores import Rows

N_CLICKS_BUCKETS, N_DISTINCT_BUCKETS = SHAPE[1:]


@njit(cache=True, nogil=True)
def _cell(steps: int, clicks: int, distinct: int) -> int:
    """As `repeat_counts.cells`."""
    s = STEPS_BUCKET[min(steps, len(STEPS_BUCKET) - 1)]
    c = CLICKS_BUCKET[min(clicks, len(CLICKS_BUCKET) - 1)]
    d = DISTINCT_BUCKET[min(distinct, len(DISTINCT_BUCKET) - 1)]
    return int((s * N_CLICKS_BUCKETS + c) * N_DISTINCT_BUCKETS + d)


@njit(cache=True, nogil=True)
def count_returns(items: Int32Array, offsets: Int64Array) -> tuple[Int64Array, Int64Array]:
    """(N_CELLS,) how often items were offered, and (N_CELLS,) returned to."""
    offered, returned = np.zeros(N_CELLS, np.int64), np.zeros(N_CELLS, np.int64)
    clicks = np.ones(len(items), np.int64)  # clicks on the item so far
    following = np.full(len(items), -1)
    distinct = np.empty(len(items), np.int64)
    for s in range(len(offsets) - 1):
        start, end = offsets[s], offsets[s + 1]
        n_distinct = 0
        for u in range(start, end):
            n_distinct += clicks[u] == 1
            distinct[u] = n_distinct
            for t in range(u + 1, min(u + WINDOW + 1, end)):
                if items[t] == items[u]:
                    following[u], clicks[t] = t, clicks[u] + 1
                    break
        for u in range(start, end):
            last = following[u] if following[u] >= 0 else min(u + WINDOW, end - 1)
            for t in range(u + 1, last + 1):
                offered[_cell(t - u, clicks[u], distinct[t - 1])] += 1
            if following[u] >= 0:
                returned[_cell(last - u, clicks[u], distinct[last - 1])] += 1
    return offered, returned


@njit(cache=True, nogil=True)
def score_repeats(
    items: Int32Array,
    lengths: Int32Array,
    offsets: Int64Array,
    listed_items: Int32Array,
    listed_values: Float32Array,
    table: Float64Array,
) -> Rows:
    """Replace the scores of the items of each session; see `repeat_model.score_repeats`.

    Only Python calls it; kernels call `rescored_rows`. A function that both call cannot return
    arrays to Python once it is loaded from the cache as a part of another kernel.
    """
    return rescored_rows(items, lengths, offsets, listed_items, listed_values, table)


@njit(cache=True, nogil=True)
def rescored_rows(
    items: Int32Array,
    lengths: Int32Array,
    offsets: Int64Array,
    listed_items: Int32Array,
    listed_values: Float32Array,
    table: Float64Array,
) -> Rows:
    """Replace the scores of the items of each session."""
    size = len(listed_items) + np.sum(lengths)
    out_items, out_values = np.empty(size, np.int32), np.empty(size, np.float32)
    out_offsets, n = np.zeros(len(lengths) + 1, np.int64), 0
    for row in range(len(lengths)):
        own, cell, slots = _own_items(items[row, : lengths[row]])
        votes = np.zeros(len(own), np.float32)
        is_own = np.zeros(64, np.bool_)  # by the last six bits of an item
        for item in own:
            is_own[item & 63] = True
        first = n
        for m in range(offsets[row], offsets[row + 1]):
            item = listed_items[m]
            if is_own[item & 63]:
                x = _find(slots, own, item)
                if x >= 0:
                    votes[x] = listed_values[m]
                    continue
            out_items[n], out_values[n] = item, listed_values[m]
            n += 1
        total = _total_mass(out_values[first:n])
        share = 0.0
        for x in range(len(own)):
            share += table[0, cell[x]]
        odds = total / (1.0 - min(share, MAX_SHARE))
        plain_scale, mixed_scale = odds**PLAIN_POWER, odds**MIXED_POWER
        for x in range(len(own)):
            value = HIDDEN
            if table[1, cell[x]] > 0 and votes[x] > 0:
                eighth_root = np.sqrt(np.sqrt(np.sqrt(votes[x])))
                value = table[2, cell[x]] * mixed_scale * eighth_root
            elif table[1, cell[x]] > 0:
                value = table[1, cell[x]] * plain_scale
            out_items[n], out_values[n] = own[x], value
            n += 1
        out_offsets[row + 1] = n
    return out_offsets, out_items[:n], out_values[:n]


@njit(cache=True, nogil=True)
def _total_mass(values: Float32Array) -> float:
    """Σ v^γ, γ = 1.25, or 1 if it is 0."""
    mass = np.empty(len(values), np.float32)
    for m in range(len(values)):  # in a loop of its own, which LLVM vectorizes
        mass[m] = values[m] * np.sqrt(np.sqrt(values[m]))
    total = 0.0
    for m in range(len(mass)):
        total += mass[m]
    return total if total > 0 else 1.0


@njit(cache=True, nogil=True)
def _own_items(clicks: Int32Array) -> tuple[Int32Array, Int64Array, Int32Array]:
    """The distinct items of a session, latest first, their cells, and a hash table of them."""
    own, n = np.empty(len(clicks), np.int32), 0
    steps, n_clicks = np.empty(len(clicks), np.int64), np.zeros(len(clicks), np.int64)
    size = 2
    while size < 2 * len(clicks):
        size *= 2
    slots = np.zeros(size, np.int32)  # index into `own` plus one, 0 if free
    for t in range(len(clicks) - 1, -1, -1):
        item = clicks[t]
        slot = (item * 2654435761) & (size - 1)  # Knuth's multiplicative hash
        while slots[slot] != 0 and own[slots[slot] - 1] != item:
            slot = (slot + 1) & (size - 1)
        if slots[slot] == 0:
            own[n], steps[n] = item, len(clicks) - t
            n += 1
            slots[slot] = n
        n_clicks[slots[slot] - 1] += 1
    cell = np.empty(n, np.int64)
    for x in range(n):
        cell[x] = _cell(steps[x], n_clicks[x], n)
    return own[:n], cell, slots


@njit(cache=True, nogil=True)
def _find(slots: Int32Array, own: Int32Array, item: int) -> int:
    """Index of an item in `own`, -1 if it is not there."""
    mask = len(slots) - 1
    slot = (item * 2654435761) & mask
    while slots[slot] != 0:
        if own[slots[slot] - 1] == item:
            return int(slots[slot] - 1)
        slot = (slot + 1) & mask
    return -1
