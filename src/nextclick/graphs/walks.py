"""Random walks over the graph of items, and the skip-gram pairs of a window that runs along them.

A walk goes from an item to a follower, drawn in proportion to the weight of the edge, until it has
its length or comes to an item without followers. Walk t of item i is drawn from numbers that
(seed, i, t) alone decide: it is the same in every pass and need not be kept. A pass takes all walks
in another order, some thousand of them at a time, so that memory does not grow with their number.

A place in a walk is a center, the places around it are its contexts. The centers of the walks that
are held together are shuffled and given out in batches, each with all of its contexts: the loss is
the same sum over pairs, and what a center has to be compared with besides them is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.errors import ConfigError, EmptyLogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import AnyArray, Int32Array, Int64Array
    from nextclick.graphs.item_graph import ItemGraph

WALKS_AT_ONCE = 8192
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """P pairs of C centers.

    Attributes:
        centers: (C,) int64 in 1..N.
        contexts: (P,) int64 in 1..N; those of center c are `contexts[bounds[c]:bounds[c + 1]]`.
        bounds: (C + 1,) int64.
    """

    centers: Int64Array
    contexts: Int64Array
    bounds: Int64Array

    def __len__(self) -> int:
        return len(self.contexts)


class Walks:
    """Walks from every item that has followers, as batches of skip-gram pairs."""

    def __init__(
        self, graph: ItemGraph, *, walks: int = 13, length: int = 50, window: int = 8, seed: int = 0
    ):
        """Prepare; nothing is drawn yet.

        Args:
            graph: where to walk.
            walks: from each item.
            length: most items in a walk.
            window: how far from its center a context may stand, on either side.
            seed: of the walks and of their order.

        Raises:
            ConfigError: a number out of its range.
            EmptyLogError: no item has a follower.
        """
        for name, value, least in (
            ("walks", walks, 1),
            ("length", length, 2),
            ("window", window, 1),
        ):
            if value < least:
                raise ConfigError(f"{name} must be at least {least}, got {value}")
        self._graph = graph
        self._walks = walks
        self._length = length
        self._window = window
        self._seed = seed
        self._starts = np.flatnonzero(np.diff(graph.offsets)).astype(np.int32)
        if len(self._starts) == 0:
            raise EmptyLogError(
                "no session has two different items in a row, so the graph of items has no edge; "
                "give a log with longer sessions"
            )

    def walk(self, item: int, number: int) -> Int32Array:
        """(n,) items of one walk, the first of them `item`."""
        found, lengths = self._drawn(np.array([item], np.int32), number)
        return found[0, : lengths[0]]

    def batches(self, number: int, batch_pairs: int, most_pairs: int = 0) -> Iterator[PairBatch]:
        """Yield the pairs of pass `number` in batches of about `batch_pairs`.

        A batch has the pairs of whole centers, so that it may fall short of `batch_pairs` by some;
        it has more only where a single center has. The same arguments give the same batches.

        Args:
            number: of the pass; each takes the walks in an order of its own.
            batch_pairs: pairs in a batch.
            most_pairs: end the pass with the batch that reaches as many; 0 for all pairs.
        """
        given = 0
        rng = np.random.default_rng([self._seed, number])
        for walk in rng.permutation(self._walks):
            starts = rng.permutation(self._starts)
            for first in range(0, len(starts), WALKS_AT_ONCE):
                found, lengths = self._drawn(starts[first : first + WALKS_AT_ONCE], int(walk))
                places = rng.permutation(_places(lengths, found.shape[1]))
                at = 0
                while at < len(places):
                    at, *arrays = _pairs(found, lengths, places, at, self._window, batch_pairs)
                    batch = PairBatch(*arrays)
                    given += len(batch)
                    yield batch
                    if 0 < most_pairs <= given:
                        return

    def _drawn(self, starts: Int32Array, number: int) -> tuple[AnyArray, AnyArray]:
        graph = self._graph
        drawn: tuple[AnyArray, AnyArray] = _walk_all(
            graph.offsets, graph.followers, graph.cumulative,
            starts, number, self._length, self._seed,
        )  # fmt: skip
        return drawn


@njit(cache=True, nogil=True)
def _mixed(state: np.uint64) -> np.uint64:
    """The output of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) for a state."""
    z = (state ^ (state >> _S30)) * _M1
    z = (z ^ (z >> _S27)) * _M2
    return z ^ (z >> _S31)


@njit(cache=True, nogil=True)
def _walk_all(
    offsets: Int64Array,
    followers: Int32Array,
    cumulative: Int64Array,
    starts: Int32Array,
    number: int,
    length: int,
    seed: int,
) -> tuple[AnyArray, AnyArray]:
    """(W, length) items, 0 behind the end of a walk, and (W,) lengths of walks with that number."""
    found = np.zeros((len(starts), length), np.int32)
    lengths = np.empty(len(starts), np.int64)
    for w in range(len(starts)):
        item = starts[w]
        state = _mixed(
            _mixed(np.uint64(seed) + _GOLDEN) ^ ((np.uint64(number) << _S32) | np.uint64(item))
        )
        found[w, 0] = item
        n = 1
        while n < length and offsets[item] < offsets[item + 1]:
            low, high = offsets[item], offsets[item + 1] - 1
            state += _GOLDEN
            # a number in 0..total - 1 from the upper half of 64 random bits
            drawn = np.int64(((_mixed(state) >> _S32) * np.uint64(cumulative[high])) >> _S32)
            while low < high:
                middle = (low + high) // 2
                if cumulative[middle] > drawn:
                    high = middle
                else:
                    low = middle + 1
            item = followers[low]
            found[w, n] = item
            n += 1
        lengths[w] = n
    return found, lengths


@njit(cache=True, nogil=True)
def _places(lengths: Int64Array, width: int) -> Int64Array:
    """(C,) cells w * width + p of all places of walks that have two at least."""
    places = np.empty(lengths.sum(), np.int64)
    n = 0
    for w in range(len(lengths)):
        if lengths[w] > 1:
            for p in range(lengths[w]):
                places[n] = w * width + p
                n += 1
    return places[:n]


@njit(cache=True, nogil=True)
def _pairs(
    walks: Int32Array, lengths: Int64Array, places: Int64Array, at: int, window: int, most: int
) -> tuple[int, AnyArray, AnyArray, AnyArray]:
    """Where the next batch begins; centers, contexts and bounds of the one that begins at `at`."""
    width = walks.shape[1]
    centers = np.empty(min(len(places) - at, most), np.int64)
    bounds = np.zeros(len(centers) + 1, np.int64)
    contexts = np.empty(most + 2 * window, np.int64)
    n, used = 0, 0
    while at < len(places) and n < len(centers):
        w, p = places[at] // width, places[at] % width
        first, last = max(p - window, 0), min(p + window, lengths[w] - 1)
        if n > 0 and used + last - first > most:
            break
        for other in range(first, last + 1):
            if other != p:
                contexts[used] = walks[w, other]
                used += 1
        centers[n] = walks[w, p]
        n += 1
        bounds[n] = used
        at += 1
    return at, centers[:n], contexts[:used], bounds[: n + 1]
