"""Scores with -inf for the items that rules hide, so that every other item ranks above them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.topk import SortedBase, dense_top
from nextclick.core.types import SparseScores

if TYPE_CHECKING:
    from nextclick.core.filtered_topk import CandidateFilter
    from nextclick.core.types import BoolArray, Float32Array, Int32Array


def mask_dense(scores: Float32Array, candidates: CandidateFilter) -> Float32Array:
    """A copy of (B, N + 1) scores with -inf for the items that are not candidates."""
    masked = scores.copy()
    if len(candidates.masks):
        masked[:, ~candidates.masks[0]] = -np.inf
    masked[_rows(candidates), candidates.excluded] = -np.inf
    return masked


def mask_sparse(scores: SparseScores, candidates: CandidateFilter) -> SparseScores:
    """Equal to `mask_dense` of `scores.dense()`, with the hidden items listed in each row."""
    allowed = candidates.masks[0] if len(candidates.masks) else None
    base, values = scores.base, scores.values
    if allowed is not None:
        base = np.where(allowed, base, np.float32(-np.inf))
        values = np.where(allowed[scores.items], values, np.float32(-np.inf))
    B, width = len(candidates.k), len(base)
    listed = np.repeat(np.arange(B), np.diff(scores.offsets)) * width + scores.items
    hidden = _rows(candidates) * width + candidates.excluded
    shown = ~np.isin(listed, hidden)
    keys = np.concatenate([hidden, listed[shown]])
    values = np.concatenate([np.full(len(hidden), -np.inf, np.float32), values[shown]])
    order = np.argsort(keys)
    keys = keys[order]
    return SparseScores(
        offsets=np.searchsorted(keys, np.arange(B + 1) * width).astype(np.int64),
        items=(keys % width).astype(np.int32),
        values=values[order],
        base=base,
    )


def mask_base(base: SortedBase, candidates: CandidateFilter) -> SortedBase:
    """The sorted base of `mask_sparse`."""
    if not len(candidates.masks):
        return base
    allowed = candidates.masks[0]
    shown = allowed[base.best_first]
    best_first = np.concatenate([base.best_first[shown], base.best_first[~shown]])
    scores = np.where(allowed, base.scores, np.float32(-np.inf))
    return SortedBase(scores, ascending=scores[best_first[::-1]], best_first=best_first)


def hidden_targets(candidates: CandidateFilter, targets: Int32Array) -> BoolArray:
    """(B,) bool, whether the target of a row is not a candidate."""
    hidden = np.zeros(len(targets), dtype=np.bool_)
    if len(candidates.masks):
        hidden |= ~candidates.masks[0][targets]
    rows = _rows(candidates)
    hidden[rows[candidates.excluded == targets[rows]]] = True
    return hidden


def filtered_dense_top(scores: Float32Array, candidates: CandidateFilter, k: int) -> Int32Array:
    """(B, k) int32, the items of `nextclick.core.filtered_topk.sparse_topk` for dense scores.

    Args:
        scores: (B, N + 1), the scores.
        candidates: the candidates of each row.
        k: at most N.
    """
    masked = mask_dense(scores, candidates)
    lists = dense_top(masked, k)
    lowest = scores[:, 1:].min(axis=1, keepdims=True)  # (B, 1), of all items, hidden or not
    recommended = np.take_along_axis(masked, lists, axis=1) > lowest
    return np.where(recommended, lists, 0).astype(np.int32)


def pad_lists(lists: list[tuple[Int32Array, Float32Array]], k: int) -> Int32Array:
    """(B, k) int32, the items of lists of at most k, padded with 0."""
    padded = np.zeros((len(lists), k), dtype=np.int32)
    for row, (items, _) in zip(padded, lists, strict=True):
        row[: len(items)] = items
    return padded


def _rows(candidates: CandidateFilter) -> Int32Array:
    """The row of each excluded item."""
    return np.repeat(np.arange(len(candidates.k)), np.diff(candidates.excluded_offsets))
