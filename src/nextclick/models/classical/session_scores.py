"""Scoring of Session-KNN: the neighbor sessions of a batch, and their votes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from nextclick.core.compiled_above import compiled_above
from nextclick.core.types import Float32Array, Float64Array, Int32Array, Int64Array
from nextclick.models.classical.position_weights import position_weight, step_weight
from nextclick.models.classical.ragged import expand_ranges, positions_in_rows, top_n_of_rows
from nextclick.models.classical.repeat_model import score_repeats

if TYPE_CHECKING:
    from nextclick.models.classical.session_index import SessionIndex

Rows: TypeAlias = tuple[Int64Array, Int32Array, Float32Array]
"""(R + 1,) row offsets, then the concatenated items and values of the rows."""


class VotingRule(NamedTuple):
    """The config in a form that compiled kernels accept."""

    k: int
    sample_size: int
    cosine: bool
    weighting: int
    weighting_score: int
    idf_weighting: float
    last_n_clicks: int


class NeighborSessions(NamedTuple):
    """Neighbor sessions of the rows of a batch, row by row, most recent first.

    Attributes:
        row: (M,) int64, row in the batch.
        sessions: (M,) int32, session in the index.
        similarity: (M,) float32, r(h).
        step: (M,) int64, distance of the latest shared click from the end of the row, 1 = last.
    """

    row: Int64Array
    sessions: Int32Array
    similarity: Float32Array
    step: Int64Array

    def select(self, entries: Int64Array) -> NeighborSessions:
        """The neighbors at the given indices."""
        return NeighborSessions(
            self.row[entries], self.sessions[entries], self.similarity[entries], self.step[entries]
        )


def _estimate_work(items: Int32Array, lengths: Int32Array, index: SessionIndex, *_: Any) -> int:
    """Number of merged list entries, plus a constant per call and per row."""
    n_listed = index.item_offsets[items + 1] - index.item_offsets[items]
    return int(n_listed.sum()) + 200 * len(lengths) + 1000


@compiled_above(
    5_000_000, kernel="nextclick.models.classical.session_votes:score_rows", work=_estimate_work
)
def score_rows(
    items: Int32Array,
    lengths: Int32Array,
    index: SessionIndex,
    rule: VotingRule,
    repeats: Float64Array,
) -> Rows:
    """Score the rows of a padded batch.

    Args:
        items: (B, T) clicks.
        lengths: (B,) number of clicks of each row.
        index: the sessions that neighbors are selected from.
        rule: the parameters.
        repeats: table of the repeat model.
    """
    B = len(lengths)
    candidates = _candidates(items, lengths, index, rule)
    _, nearest = top_n_of_rows(
        candidates.row, np.arange(len(candidates.row)), candidates.similarity, rule.k, B
    )
    voters = candidates.select(np.sort(nearest))
    steps = np.array([step_weight(rule.weighting_score, n + 1) for n in range(rule.last_n_clicks)])
    weight = voters.similarity * steps[voters.step - 1]
    first, stop = index.session_offsets[voters.sessions], index.session_offsets[voters.sessions + 1]
    voter, entry = expand_ranges(first, stop)
    voted_item = index.session_items[entry]
    keys, first_entry, key_index = np.unique(
        voters.row[voter] * len(index.idf) + voted_item, return_index=True, return_inverse=True
    )
    votes = np.bincount(key_index, weight[voter], minlength=len(keys))
    order = np.argsort(first_entry)
    scored_items = voted_item[first_entry[order]]
    factor = 1.0 + rule.idf_weighting * index.idf[scored_items]
    offsets = np.searchsorted(voters.row[voter[first_entry[order]]], np.arange(B + 1))
    values = (votes[order] * factor).astype(np.float32)
    if repeats.shape[1] == 0:
        return offsets, scored_items, values
    return score_repeats(items, lengths, offsets, scored_items, values, repeats)


def _candidates(
    items: Int32Array, lengths: Int32Array, index: SessionIndex, rule: VotingRule
) -> NeighborSessions:
    """H of each row: the most recent sessions that share one of its last clicked items."""
    n_clicks = np.minimum(lengths, rule.last_n_clicks).astype(np.int64)  # (B,)
    row, position, weight = _latest_clicks(items, lengths, n_clicks, rule)
    item = items[row, lengths[row] - n_clicks[row] + position]
    click, entry = expand_ranges(index.item_offsets[item], index.item_offsets[item + 1])
    session, n_sessions = index.item_sessions[entry], len(index.session_offsets) - 1
    # one integer per (row, session), newest first; the stable sort keeps the order of clicks
    keys = row[click] * n_sessions + (n_sessions - 1 - session)
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    totals = np.bincount(group, weight[click[order]], minlength=len(starts))
    latest = click[order[starts]]
    row, session = row[latest], session[order[starts]]
    candidates = NeighborSessions(
        row, session, totals.astype(np.float32), n_clicks[row] - position[latest]
    )
    _, recency = positions_in_rows(row, len(lengths))
    candidates = candidates.select(np.flatnonzero(recency < rule.sample_size))
    if not rule.cosine:
        return candidates
    size = np.diff(index.session_offsets)[candidates.sessions]
    similarity = candidates.similarity / np.sqrt(size)
    return candidates._replace(similarity=similarity.astype(np.float32))


def _latest_clicks(
    items: Int32Array, lengths: Int32Array, n_clicks: Int64Array, rule: VotingRule
) -> tuple[Int64Array, Int64Array, Float64Array]:
    """The last click on each distinct item of each row, latest first.

    Returns:
        (X,) row, (X,) position among the last clicks that are read, (X,) weight.
    """
    row, steps_back = expand_ranges(np.zeros(len(n_clicks), dtype=np.int64), n_clicks)
    position = n_clicks[row] - 1 - steps_back
    item = items[row, lengths[row] - 1 - steps_back]
    width = int(items.max(initial=0)) + 1
    latest = np.sort(np.unique(row * width + item, return_index=True)[1])
    row, position = row[latest], position[latest]
    weights = np.zeros((rule.last_n_clicks + 1, rule.last_n_clicks))
    for n in np.unique(n_clicks).tolist():
        weights[n, :n] = [position_weight(rule.weighting, p + 1, n) for p in range(n)]
    return row, position, weights[n_clicks[row], position]
