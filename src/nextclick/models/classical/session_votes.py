"""The kernels of Session-KNN: its index, the neighbors of a session, and their votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.models.classical.position_weights import position_weight as plain_position_weight
from nextclick.models.classical.position_weights import step_weight as plain_step_weight
from nextclick.models.ops.kernels import grow, kth_largest

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Float64Array, Int32Array, Int64Array
    from nextclick.models.classical.session_index import Index
    from nextclick.models.classical.session_scores import Rows, VotingRule

position_weight = njit(cache=True, nogil=True)(plain_position_weight)
step_weight = njit(cache=True, nogil=True)(plain_step_weight)


@njit(cache=True, nogil=True)
def score_rows(items: Int32Array, lengths: Int32Array, index: Index, rule: VotingRule) -> Rows:
    """Score the rows of a padded batch; scratch grows with what a query touches, not with N."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    out_items, out_values, used = np.empty(0, np.int32), np.empty(0, np.float32), 0
    for row in range(len(lengths)):
        first = max(0, lengths[row] - rule.last_n_clicks)
        clicks = items[row, first : lengths[row]]
        sessions, similarity, step = _candidates(clicks, index, rule)
        nearest = _nearest(similarity, rule.k)
        found, values = _vote(sessions[nearest], similarity[nearest], step[nearest], index, rule)
        out_items = grow(out_items, used, len(found))
        out_values = grow(out_values, used, len(found))
        out_items[used : used + len(found)] = found
        out_values[used : used + len(found)] = values
        used += len(found)
        offsets[row + 1] = used
    return offsets, out_items[:used], out_values[:used]


@njit(cache=True, nogil=True)
def voters(
    clicks: Int32Array, index: Index, rule: VotingRule
) -> tuple[Int32Array, Float32Array, Float64Array]:
    """(K,) neighbors of a session with their r(h) and λ(h)."""
    sessions, similarity, step = _candidates(clicks, index, rule)
    nearest = _nearest(similarity, rule.k)
    weight = np.empty(len(nearest))
    for h in range(len(nearest)):
        weight[h] = step_weight(rule.weighting_score, step[nearest[h]])
    return sessions[nearest], similarity[nearest], weight


@njit(cache=True, nogil=True)
def _latest_positions(clicks: Int32Array) -> Int64Array:
    """Where (from 0) each distinct item of a session was clicked last, the latest first."""
    positions, n = np.empty(len(clicks), np.int64), 0
    for p in range(len(clicks) - 1, -1, -1):
        again = False
        for known in positions[:n]:
            again |= clicks[known] == clicks[p]
        if not again:
            positions[n] = p
            n += 1
    return positions[:n]


@njit(cache=True, nogil=True)
def _candidates(
    clicks: Int32Array, index: Index, rule: VotingRule
) -> tuple[Int32Array, Float32Array, Int64Array]:
    """Merge the lists of the clicked items: H, its r(h), and the step to the latest shared click.

    All (H,), the most recent session first.
    """
    positions = _latest_positions(clicks)
    at, end = np.empty(len(positions), np.int64), np.empty(len(positions), np.int64)
    head = np.empty(len(positions), np.int32)  # the session that each list has come to
    weight = np.empty(len(positions))
    for x in range(len(positions)):
        item = clicks[positions[x]]
        at[x], end[x] = index.item_offsets[item], index.item_offsets[item + 1]
        head[x] = index.item_sessions[at[x]] if at[x] < end[x] else -1
        weight[x] = position_weight(rule.weighting, positions[x] + 1, len(clicks))

    size = min(rule.sample_size, np.sum(end - at))
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
                at[x] += 1
                head[x] = index.item_sessions[at[x]] if at[x] < end[x] else -1
        sessions[n], similarity[n], step[n] = newest, total, len(clicks) - latest
        n += 1
    if rule.cosine:  # apart from the merge: reads far apart overlap
        for h in range(n):
            s = sessions[h]
            length = index.session_offsets[s + 1] - index.session_offsets[s]
            similarity[h] /= np.sqrt(length)
    return sessions[:n], similarity[:n], step[:n]


@njit(cache=True, nogil=True)
def _nearest(similarity: Float32Array, k: int) -> Int64Array:
    """Which k are highest, of equals the first; in ascending order."""
    if len(similarity) <= k:
        return np.arange(len(similarity))
    least = kth_largest(similarity, k)
    room = k - np.sum(similarity > least)  # for those that equal the least
    kept, n = np.empty(k, np.int64), 0
    for h in range(len(similarity)):
        if similarity[h] > least or (similarity[h] == least and room > 0):
            room -= similarity[h] == least
            kept[n] = h
            n += 1
    return kept


@njit(cache=True, nogil=True)
def _members(sessions: Int32Array, index: Index) -> tuple[Int32Array, Int32Array]:
    """(M,) the items of all sessions, and (M,) the place in `sessions` of the one that has each."""
    most = 0
    for s in sessions:
        most += index.session_offsets[s + 1] - index.session_offsets[s]
    items, place, n = np.empty(most, np.int32), np.empty(most, np.int32), 0
    for h in range(len(sessions)):
        s = sessions[h]
        for j in index.session_items[index.session_offsets[s] : index.session_offsets[s + 1]]:
            items[n], place[n] = j, h
            n += 1
    return items, place


@njit(cache=True, nogil=True)
def _vote(
    sessions: Int32Array, similarity: Float32Array, step: Int64Array, index: Index, rule: VotingRule
) -> tuple[Int32Array, Float32Array]:
    """Sum the votes of the neighbors item by item, in a hash table."""
    weight = np.empty(len(sessions))
    for h in range(len(sessions)):
        weight[h] = similarity[h] * step_weight(rule.weighting_score, step[h])
    members, place = _members(sessions, index)  # apart from the votes: reads far apart overlap
    size = 1
    while size < 2 * len(members):
        size *= 2
    slots = np.zeros(size, np.int32)  # place in `items` plus one, 0 if free
    items, votes, n = np.empty(len(members), np.int32), np.empty(len(members)), 0
    for m in range(len(members)):
        j = members[m]
        slot = (j * 2654435761) & (size - 1)  # Knuth's multiplicative hash
        while slots[slot] != 0 and items[slots[slot] - 1] != j:
            slot = (slot + 1) & (size - 1)
        if slots[slot] == 0:
            items[n], votes[n] = j, 0.0
            n += 1
            slots[slot] = n
        votes[slots[slot] - 1] += weight[place[m]]
    factor = 1.0 + rule.idf_weighting * index.idf[items[:n]]
    return items[:n], (votes[:n] * factor).astype(np.float32)


@njit(cache=True, nogil=True)
def merged(
    old_offsets: Int64Array,
    old_sessions: Int32Array,
    before: Int32Array,
    new_offsets: Int64Array,
    new_sessions: Int32Array,
    at_most: int,
) -> tuple[Int64Array, Int32Array]:
    """Lists of the new sessions with those of the older ones behind, `at_most` of each item."""
    offsets = np.zeros(len(new_offsets), np.int64)
    for i in range(1, len(before)):
        n_old = old_offsets[before[i] + 1] - old_offsets[before[i]]
        n_new = new_offsets[i + 1] - new_offsets[i]
        offsets[i + 1] = offsets[i] + min(n_old + n_new, at_most)
    sessions = np.empty(offsets[-1], np.int32)
    for i in range(1, len(before)):
        at, end = offsets[i], offsets[i + 1]
        for n in range(new_offsets[i], new_offsets[i + 1]):
            sessions[at] = new_sessions[n]
            at += 1
        for n in range(old_offsets[before[i]], old_offsets[before[i]] + end - at):
            sessions[at] = old_sessions[n]
            at += 1
    return offsets, sessions


@njit(cache=True, nogil=True)
def distinct_items(
    items: Int32Array, offsets: Int64Array, kept: Int64Array, n_items: int
) -> tuple[Int64Array, Int32Array]:
    """The distinct known items of the sessions `kept`."""
    out_offsets = np.zeros(len(kept) + 1, np.int64)
    out = np.empty(0, np.int32)
    used = 0
    seen_in = np.full(n_items + 1, -1, np.int64)
    for row in range(len(kept)):
        s = kept[row]
        out = grow(out, used, offsets[s + 1] - offsets[s])
        for item in items[offsets[s] : offsets[s + 1]]:
            if item != 0 and seen_in[item] != s:
                seen_in[item] = s
                out[used] = item
                used += 1
        out_offsets[row + 1] = used
    return out_offsets, out[:used].copy()
