"""The items clicked most often within a few clicks of each item."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Float32Array, Int32Array, Int64Array

MAX_CLICKS = 20_000_000  # bounds the memory to about 2 GB


@dataclass(frozen=True, slots=True, eq=False)
class NearbyItems:
    """The K nearest items of each item.

    Attributes:
        items: (N + 1, K) int32, by descending weight, 0 where there are fewer than K.
        weights: (N + 1, K) float32, with a sum of 1, or 0 for an item without neighbors.
    """

    items: Int32Array
    weights: Float32Array


def nearby_items(
    sessions: Sessions, k: int, *, window: int = 3, max_clicks: int = MAX_CLICKS
) -> NearbyItems:
    """Count pairs of clicks in the same session, weighted by the inverse of their distance.

        w_ij = Σ 1 / d over all pairs of clicks on i and j at most `window` clicks apart, i ≠ j

    Ties of the weight are broken by the lower item.

    Args:
        sessions: the log; only its newest `max_clicks` clicks are counted.
        k: K.
        window: largest distance, in clicks.
        max_clicks: limit of the memory.

    >>> from nextclick.core.sessions import Sessions
    >>> log = Sessions.from_lists([[1, 2, 3], [1, 2]])
    >>> nearby_items(log, 2).items.tolist()
    [[0, 0], [2, 3], [1, 3], [2, 1]]
    """
    pairs, weights = _pairs(_newest(sessions, max_clicks), window)
    rows = (pairs >> 32).astype(np.int64)
    order = np.lexsort((pairs, -weights, rows))  # by row, then by weight
    rows = rows[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)  # within the row
    chosen = order[place < k]
    rows, place = rows[place < k], place[place < k]
    items = np.zeros((sessions.n_items + 1, k), dtype=np.int32)
    shares = np.zeros(items.shape, dtype=np.float32)
    items[rows, place] = pairs[chosen] & 0xFFFFFFFF
    shares[rows, place] = weights[chosen]
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
    return NearbyItems(items, shares)


def _newest(sessions: Sessions, max_clicks: int) -> Sessions:
    first = int(np.searchsorted(sessions.offsets, int(sessions.offsets[-1]) - max_clicks))
    return sessions.slice(first, len(sessions)) if first else sessions


def _pairs(sessions: Sessions, window: int) -> tuple[Int64Array, Int64Array]:
    """Distinct ordered pairs as i · 2³² + j, ascending, and their weights up to a factor.

    The factor makes the weights integers, so that ties do not depend on rounding.
    """
    factor = math.lcm(*range(1, window + 1))
    keys, weights = np.empty(0, np.int64), np.empty(0, np.int64)
    first, stop = int(sessions.offsets[0]), int(sessions.offsets[-1])
    items = np.asarray(sessions.items[first:stop], dtype=np.int64)
    session = np.repeat(np.arange(len(sessions)), np.diff(sessions.offsets))
    for distance in range(1, window + 1):
        i, j = items[:-distance], items[distance:]
        is_pair = _is_pair(i, j, session, distance)
        i, j = i[is_pair], j[is_pair]
        found, counts = np.unique(
            np.concatenate([(i << 32) | j, (j << 32) | i]), return_counts=True
        )
        keys, inverse = np.unique(np.concatenate([keys, found]), return_inverse=True)
        both = np.concatenate([weights, counts * (factor // distance)])
        weights = np.zeros(len(keys), dtype=np.int64)
        np.add.at(weights, inverse, both)
    return keys, weights


def _is_pair(i: Int64Array, j: Int64Array, session: Int64Array, distance: int) -> BoolArray:
    is_pair: BoolArray = (i != j) & (i != 0) & (j != 0)
    is_pair &= session[:-distance] == session[distance:]
    return is_pair
