"""Compiled kernels of Session-KNN: its index, the neighbors of a session, and their votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.models.classical.position_weights import position_weight as python_position_weight
from nextclick.models.classical.position_weights import step_weight as python_step_weight
from nextclick.models.classical.repeat_kernels import rescored_rows
from nextclick.models.ops.kernels import grow, kth_largest

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Float64Array, Int32Array, Int64Array
    from nextclick.models.classical.session_index import SessionIndex
    from nextclick.models.classical.session_scores import Rows, VotingRule

position_weight = njit(cache=True, nogil=True)(python_position_weight)
step_weight = njit(cache=True, nogil=True)(python_step_weight)


@njit(cache=True, nogil=True)
def score_rows(
    items: Int32Array,
    lengths: Int32Array,
    index: SessionIndex,
    rule: VotingRule,
    repeats: Float64Array,
) -> Rows:
    """Score the rows of a padded batch; temporary memory is independent of N."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    out_items, out_values, n_written = np.empty(0, np.int32), np.empty(0, np.float32), 0
    for row in range(len(lengths)):
        first = max(0, lengths[row] - rule.last_n_clicks)
        clicks = items[row, first : lengths[row]]
        sessions, similarity, step = _candidates(clicks, index, rule)
        nearest = _nearest(similarity, rule.k)
        scored_items, values = _sum_votes(
            sessions[nearest], similarity[nearest], step[nearest], index, rule
        )
        out_items = grow(out_items, n_written, len(scored_items))
        out_values = grow(out_values, n_written, len(scored_items))
        out_items[n_written : n_written + len(scored_items)] = scored_items
        out_values[n_written : n_written + len(scored_items)] = values
        n_written += len(scored_items)
        offsets[row + 1] = n_written
    out_items, out_values = out_items[:n_written], out_values[:n_written]
    if repeats.shape[1] == 0:
        return offsets, out_items, out_values
    return rescored_rows(items, lengths, offsets, out_items, out_values, repeats)


@njit(cache=True, nogil=True)
def voters(
    clicks: Int32Array, index: SessionIndex, rule: VotingRule
) -> tuple[Int32Array, Float32Array, Float64Array]:
    """The (K,) neighbors of a session, their r(h) and their λ(h)."""
    sessions, similarity, step = _candidates(clicks, index, rule)
    nearest = _nearest(similarity, rule.k)
    weight = np.empty(len(nearest))
    for h in range(len(nearest)):
        weight[h] = step_weight(rule.weighting_score, step[nearest[h]])
    return sessions[nearest], similarity[nearest], weight


@njit(cache=True, nogil=True)
def _latest_positions(clicks: Int32Array) -> Int64Array:
    """Position (from 0) of the last click on each distinct item of a session, latest first."""
    positions, n = np.empty(len(clicks), np.int64), 0
    for p in range(len(clicks) - 1, -1, -1):
        is_repeat = False
        for later in positions[:n]:
            is_repeat |= clicks[later] == clicks[p]
        if not is_repeat:
            positions[n] = p
            n += 1
    return positions[:n]


@njit(cache=True, nogil=True)
def _candidates(
    clicks: Int32Array, index: SessionIndex, rule: VotingRule
) -> tuple[Int32Array, Float32Array, Int64Array]:
    """Merge the lists of the clicked items: H, r(h), and the step to the latest shared click.

    All three are (H,), most recent session first.
    """
    positions = _latest_positions(clicks)
    cursor, end = np.empty(len(positions), np.int64), np.empty(len(positions), np.int64)
    head = np.empty(len(positions), np.int32)  # the current session of each list
    weight = np.empty(len(positions))
    for x in range(len(positions)):
        item = clicks[positions[x]]
        cursor[x], end[x] = index.item_offsets[item], index.item_offsets[item + 1]
        head[x] = index.item_sessions[cursor[x]] if cursor[x] < end[x] else -1
        weight[x] = position_weight(rule.weighting, positions[x] + 1, len(clicks))

    size = min(rule.sample_size, np.sum(end - cursor))
    sessions, similarity = np.empty(size, np.int32), np.empty(size, np.float32)
    step, n = np.empty(size, np.int64), 0
    while n < size:
        newest = np.int32(-1)
        for x in range(len(head)):
            newest = max(newest, head[x])
        if newest < 0:
            break
        total, latest = 0.0, -1
        for x in range(len(head)):
            if head[x] == newest:
                total += weight[x]
                latest = max(latest, positions[x])
                cursor[x] += 1
                head[x] = index.item_sessions[cursor[x]] if cursor[x] < end[x] else -1
        sessions[n], similarity[n], step[n] = newest, total, len(clicks) - latest
        n += 1
    if rule.cosine:  # in a loop of its own: independent random reads overlap
        for h in range(n):
            s = sessions[h]
            length = index.session_offsets[s + 1] - index.session_offsets[s]
            similarity[h] /= np.sqrt(length)
    return sessions[:n], similarity[:n], step[:n]


@njit(cache=True, nogil=True)
def _nearest(similarity: Float32Array, k: int) -> Int64Array:
    """Indices of the k highest, ties by lower index; in ascending order."""
    if len(similarity) <= k:
        return np.arange(len(similarity))
    threshold = kth_largest(similarity, k)
    n_ties = k - np.sum(similarity > threshold)  # selected entries equal to the threshold
    selected, n = np.empty(k, np.int64), 0
    for h in range(len(similarity)):
        if similarity[h] > threshold or (similarity[h] == threshold and n_ties > 0):
            n_ties -= similarity[h] == threshold
            selected[n] = h
            n += 1
    return selected


@njit(cache=True, nogil=True)
def _concatenate_items(sessions: Int32Array, index: SessionIndex) -> tuple[Int32Array, Int32Array]:
    """(M,) the items of all sessions, and (M,) the position in `sessions` of their session."""
    n_entries = 0
    for s in sessions:
        n_entries += index.session_offsets[s + 1] - index.session_offsets[s]
    items, source = np.empty(n_entries, np.int32), np.empty(n_entries, np.int32)
    n = 0
    for h in range(len(sessions)):
        s = sessions[h]
        for j in index.session_items[index.session_offsets[s] : index.session_offsets[s + 1]]:
            items[n], source[n] = j, h
            n += 1
    return items, source


@njit(cache=True, nogil=True)
def _sum_votes(
    sessions: Int32Array,
    similarity: Float32Array,
    step: Int64Array,
    index: SessionIndex,
    rule: VotingRule,
) -> tuple[Int32Array, Float32Array]:
    """Sum the votes of the neighbors per item, in a hash table with open addressing."""
    weight = np.empty(len(sessions))
    for h in range(len(sessions)):
        weight[h] = similarity[h] * step_weight(rule.weighting_score, step[h])
    # in a pass of its own: independent random reads overlap
    voted_items, source = _concatenate_items(sessions, index)
    size = 1
    while size < 2 * len(voted_items):
        size *= 2
    slots = np.zeros(size, np.int32)  # index into `items` plus one, 0 if free
    items, votes, n = np.empty(len(voted_items), np.int32), np.empty(len(voted_items)), 0
    for m in range(len(voted_items)):
        j = voted_items[m]
        slot = (j * 2654435761) & (size - 1)  # Knuth's multiplicative hash
        while slots[slot] != 0 and items[slots[slot] - 1] != j:
            slot = (slot + 1) & (size - 1)
        if slots[slot] == 0:
            items[n], votes[n] = j, 0.0
            n += 1
            slots[slot] = n
        votes[slots[slot] - 1] += weight[source[m]]
    factor = 1.0 + rule.idf_weighting * index.idf[items[:n]]
    return items[:n], (votes[:n] * factor).astype(np.float32)


@njit(cache=True, nogil=True)
def merge_lists(
    old_offsets: Int64Array,
    old_sessions: Int32Array,
    old_index: Int32Array,
    new_offsets: Int64Array,
    new_sessions: Int32Array,
    max_per_item: int,
) -> tuple[Int64Array, Int32Array]:
    """Append the older sessions of each item to its new ones, up to `max_per_item`."""
    offsets = np.zeros(len(new_offsets), np.int64)
    for i in range(1, len(old_index)):
        n_old = old_offsets[old_index[i] + 1] - old_offsets[old_index[i]]
        n_new = new_offsets[i + 1] - new_offsets[i]
        offsets[i + 1] = offsets[i] + min(n_old + n_new, max_per_item)
    sessions = np.empty(offsets[-1], np.int32)
    for i in range(1, len(old_index)):
        slot, end = offsets[i], offsets[i + 1]
        for n in range(new_offsets[i], new_offsets[i + 1]):
            sessions[slot] = new_sessions[n]
            slot += 1
        for n in range(old_offsets[old_index[i]], old_offsets[old_index[i]] + end - slot):
            sessions[slot] = old_sessions[n]
            slot += 1
    return offsets, sessions


@njit(cache=True, nogil=True)
def distinct_items(
    items: Int32Array, offsets: Int64Array, selected: Int64Array, n_items: int
) -> tuple[Int64Array, Int32Array]:
    """The distinct known items of the `selected` sessions."""
    out_offsets = np.zeros(len(selected) + 1, np.int64)
    out, n_written = np.empty(0, np.int32), 0
    last_session = np.full(n_items + 1, -1, np.int64)
    for row in range(len(selected)):
        s = selected[row]
        out = grow(out, n_written, offsets[s + 1] - offsets[s])
        for item in items[offsets[s] : offsets[s + 1]]:
            if item != 0 and last_session[item] != s:
                last_session[item] = s
                out[n_written] = item
                n_written += 1
        out_offsets[row + 1] = n_written
    return out_offsets, out[:n_written].copy()
