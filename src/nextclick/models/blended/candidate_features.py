"""The candidates of each session, and their features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from nextclick.core.compiled_above import compiled_above
from nextclick.models.blended.item_counts import WINDOWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.types import Float64Array, Int32Array, Int64Array
    from nextclick.models.blended.item_counts import Popularity
    from nextclick.models.blended.top_lists import TopLists

Features: TypeAlias = Literal["members", "repeats", "all"]

_OF_SESSION = ("in the session", "last click", "times clicked in the session")
_OF_ITEM = (*(f"clicks in the newest {window}" for window in WINDOWS), "clicks in all")


class CandidateSet(NamedTuple):
    """The candidates of B sessions.

    Attributes:
        offsets: (B + 1,) int64; the candidates of session b are `offsets[b]..offsets[b + 1] - 1`.
        items: (J,) int32, ascending within a session.
        features: (F, J) float64, in the order of `feature_names`.
    """

    offsets: Int64Array
    items: Int32Array
    features: Float64Array


def feature_names(labels: Sequence[str]) -> list[str]:
    """The names of the F features of a blend of members with these labels."""
    of_members = [f"{label}: {feature}" for label in labels for feature in ("score", "absent")]
    return [*of_members, *_OF_SESSION, *_OF_ITEM]


def used_features(n_members: int, features: Features) -> Int64Array:
    """Indices of the features that have a weight.

    Args:
        n_members: M.
        features: "members" are those of the members; "repeats" adds those of the session, "all"
            also those of the item.
    """
    added = {"members": 0, "repeats": len(_OF_SESSION), "all": len(_OF_SESSION) + len(_OF_ITEM)}
    return np.arange(2 * n_members + added[features])


def build_candidates(
    batch: SessionBatch,
    lists: Sequence[TopLists],
    votes: Sequence[bool],
    popularity: Popularity,
) -> CandidateSet:
    """The union of the lists of all members, the items of each session and the trending items.

    Args:
        batch: B sessions.
        lists: the lists of each of M members.
        votes: for each member, whether its scores are votes; see `TopLists.log_ratios`.
        popularity: clicks on all items, and the trending ones.
    """
    lists = [
        top.above_zero() if of_votes else top for top, of_votes in zip(lists, votes, strict=True)
    ]
    log_counts, trending = popularity
    B, width = len(batch), len(log_counts)
    row_numbers = np.arange(B)
    clicked, clicks, last = _clicked_items(batch, width)
    keys = [np.repeat(row_numbers, np.diff(top.offsets)) * width + top.items for top in lists]
    trends = (row_numbers[:, None] * width + trending).ravel()
    candidates, positions = np.unique(np.concatenate([*keys, clicked, trends]), return_inverse=True)
    items = (candidates % width).astype(np.int32)
    M = len(lists)
    features = np.zeros((2 * M + len(_OF_SESSION) + len(_OF_ITEM), len(items)))
    start = 0
    for m, (top, of_votes) in enumerate(zip(lists, votes, strict=True)):
        listed = positions[start : start + len(top.items)]
        start += len(top.items)
        features[2 * m, listed] = top.log_ratios(votes=of_votes)
        features[2 * m + 1] = 1.0
        features[2 * m + 1, listed] = 0.0
    in_session = positions[start : start + len(clicked)]
    features[2 * M, in_session] = 1.0
    features[2 * M + 1, in_session] = clicked == last[clicked // width]
    features[2 * M + 2, in_session] = np.log1p(clicks)
    features[2 * M + len(_OF_SESSION) :] = log_counts[items].T
    offsets = np.searchsorted(candidates, np.arange(B + 1) * width)
    return CandidateSet(offsets, items, features)


def _clicked_items(batch: SessionBatch, width: int) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Keys row * width + item of the distinct clicked items, their clicks, the last of each row."""
    B, T = batch.items.shape
    row_numbers = np.arange(B)
    is_click = np.arange(T) < batch.lengths[:, None]  # (B, T)
    all_keys = row_numbers[:, None] * width + batch.items  # (B, T) int64
    clicked, clicks = np.unique(all_keys[is_click], return_counts=True)
    last = np.full(B, -1, dtype=np.int64)
    if T:
        known = batch.lengths > 0
        last[known] = all_keys[row_numbers[known], batch.lengths[known] - 1]
    return clicked, clicks, last


def _n_listed(batch: SessionBatch, lists: Sequence[TopLists], *_: object) -> int:
    return sum(len(top.items) for top in lists) + batch.items.size


@compiled_above(
    2_000_000,
    kernel="nextclick.models.blended.candidate_kernels:candidate_logits",
    work=_n_listed,
)
def candidate_logits(
    batch: SessionBatch,
    lists: Sequence[TopLists],
    votes: Sequence[bool],
    popularity: Popularity,
    weights: Float64Array,
) -> tuple[Int64Array, Int32Array, Float64Array]:
    """The offsets and items of `build_candidates`, and their (J,) `weighted_sum`."""
    candidates = build_candidates(batch, lists, votes, popularity)
    return candidates.offsets, candidates.items, weighted_sum(candidates.features, weights)


def weighted_sum(features: Float64Array, weights: Float64Array) -> Float64Array:
    """(J,) Σ_f weights[f] · features[f], feature by feature.

    A matrix product may sum in an order that depends on J, so that a session would have other
    scores in a batch than alone.
    """
    total = np.zeros(features.shape[1])
    for values, weight in zip(features, weights.tolist(), strict=True):
        if weight:
            total += weight * values
    return total


def log_total(logits: Float64Array, offsets: Int64Array) -> Float64Array:
    """(B,) log Σ exp of the logits (J,) of each session; 0 without candidates."""
    if len(offsets) == 2 and len(logits):  # one session: the same sums in fewer steps
        highest = logits.max()
        total: Float64Array = np.add.reduceat(np.exp(logits - highest), offsets[:1])
        return np.asarray(highest + np.log(total))
    totals = np.zeros(len(offsets) - 1)
    lengths = np.diff(offsets)
    starts, nonempty = offsets[:-1][lengths > 0], lengths > 0
    if len(starts):
        highest = np.maximum.reduceat(logits, starts)
        shifted = np.exp(logits - np.repeat(highest, lengths[nonempty]))
        totals[nonempty] = highest + np.log(np.add.reduceat(shifted, starts))
    return totals
