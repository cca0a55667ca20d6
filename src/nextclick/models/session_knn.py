"""Session-KNN: what the sessions most like this one clicked.

V-SkNN (Ludewig & Jannach, Evaluation of Session-based Recommendation Algorithms, UMUAI 2018) in
the form of VMIS-kNN (Kersbergen, Sprangers & Schelter, Serenade, SIGMOD 2022). For the last clicks
of a session, x_1 … x_L with their distinct items X, the latest position p(i) of each and a weight
w(p) that falls with the distance from the end:

    H      the `sample_size` most recent training sessions that hold an item of X
    r(h)   = Σ_{i in X ∩ h} w(p(i))                          h in H, "vec"
    r(h)   = Σ_{i in X ∩ h} w(p(i)) / √|h|                   "cosine", but for a constant of X
    K      the `k` sessions of H with the highest r
    λ(h)   = weight of the step from the end of the session to the latest shared click, 1 = last
    score(j) = (1 + g · ln(|S| / |S_j|)) Σ_{h in K, j in h} r(h) λ(h)

|S| training sessions, |S_j| of them with j, g = `idf_weighting`. Sessions and their shared items
are sets; items of the session itself remain candidates.

An index lists for each item its `sample_size` most recent sessions, newest first. The most recent
sessions of a union are among the most recent of its parts, so merging the lists of X gives H, and
with it, session by session, the shared items: a query costs sample_size · |X| steps, whatever the
size of the log. Sessions on no list are dropped, which bounds the memory.

Ties: sessions are stored oldest first, so the index of a session is its recency, without equals;
of equal r the more recent is the nearer. r is rounded to float32, so that sums such as ⅓ + ⅔ and 1,
which differ in their last bit, are equal.

Where we deviate from the code published with the UMUAI paper: idf counts sessions with the item,
as in both papers, not clicks on it, so it is never negative; candidates come from the clicks that
are compared, not from older ones as well; `linear` is repaired (see `weighting`); r is not divided
by |X| and scores not by their maximum, which changes no ranking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from numba import njit
from pydantic import Field

from nextclick.models.kernels import grow
from nextclick.models.postings import Postings
from nextclick.models.weighting import CODES, Weighting, position_weight, step_weight
from nextclick.runtime import map_blocks
from nextclick.types import (
    AnyArray,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
    Progress,
    SparseScores,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.batch import SessionBatch
    from nextclick.sessions import Sessions

_ROWS_PER_BLOCK = 64  # fewer are worked off by the calling thread


@dataclass(frozen=True, slots=True)
class SessionKNNConfig:
    """Parameters of Session-KNN, by the names the literature gives them.

    The defaults were chosen on the last tenth of the training sessions of two shops' logs, the
    same for both, and for short answers: more neighbours gain little.
    """

    k: Annotated[int, Field(ge=1, description="neighbour sessions that vote")] = 200
    sample_size: Annotated[
        int, Field(ge=1, description="most recent sessions that neighbours are chosen from")
    ] = 1000
    similarity: Annotated[
        Literal["vec", "cosine"],
        Field(description="sum of shared weights, or that over the root of the session's size"),
    ] = "cosine"
    weighting: Annotated[
        Weighting, Field(description="how a click's weight in the similarity falls with its age")
    ] = "log"
    weighting_score: Annotated[
        Weighting,
        Field(description="how a neighbour's vote falls with the age of the latest shared click"),
    ] = "div"
    idf_weighting: Annotated[
        float, Field(ge=0, description="how much rarer items gain, 0 is nothing")
    ] = 1.0
    last_n_clicks: Annotated[
        int, Field(ge=1, description="latest clicks of the session that are looked at")
    ] = 10


class Index(NamedTuple):
    """What is learnt.

    Attributes:
        item_offsets: (N + 2,) int64; item i is in item_sessions[item_offsets[i]:item_offsets[i+1]].
        item_sessions: int32, the most recent sessions of each item, newest (highest) first.
        session_offsets: (S + 1,) int64; the kept sessions, oldest first.
        session_items: int32, the distinct known items of each session.
        idf: (N + 1,) float64, ln(|S| / |S_j|); 0 for an item in no session.
    """

    item_offsets: Int64Array
    item_sessions: Int32Array
    session_offsets: Int64Array
    session_items: Int32Array
    idf: Float64Array


class Rule(NamedTuple):
    """A config as the kernels read it."""

    k: int
    sample_size: int
    cosine: bool
    weighting: int
    weighting_score: int
    idf_weighting: float
    last_n_clicks: int


class SessionKNN:
    """Votes of the most similar of the most recent sessions that share an item."""

    name: ClassVar[str] = "session-knn"
    Config: ClassVar[type[SessionKNNConfig]] = SessionKNNConfig

    def __init__(self, config: SessionKNNConfig, index: Index):
        self.config = config
        self.index = index
        self.base = np.zeros(self.n_items + 1, dtype=np.float32)  # shared by all answers
        self.rule = Rule(
            k=config.k,
            sample_size=config.sample_size,
            cosine=config.similarity == "cosine",
            weighting=CODES[config.weighting],
            weighting_score=CODES[config.weighting_score],
            idf_weighting=float(config.idf_weighting),
            last_n_clicks=config.last_n_clicks,
        )

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.index.idf) - 1

    @classmethod
    def fit(
        cls, sessions: Sessions, config: SessionKNNConfig, *, seed: int, progress: Progress
    ) -> Self:
        """Build the index; nothing is drawn at random."""
        del seed
        postings = Postings.of(sessions, at_most=config.sample_size)
        progress("index", 1, 2)
        listed = np.zeros(len(sessions), dtype=np.bool_)
        listed[postings.sessions] = True
        renumbered = np.cumsum(listed, dtype=np.int32) - 1  # (S,), keeps the order
        session_offsets, session_items = _distinct_items(
            sessions.items, sessions.offsets, np.flatnonzero(listed), sessions.n_items
        )
        known = postings.n_sessions > 0
        idf = np.zeros(sessions.n_items + 1)
        idf[known] = np.log(len(sessions) / postings.n_sessions[known])
        progress("index", 2, 2)
        item_sessions = renumbered[postings.sessions].astype(np.int32)
        index = Index(postings.offsets, item_sessions, session_offsets, session_items, idf)
        return cls(config, index)

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """List the items of the neighbour sessions."""
        B = len(batch)

        def rows(start: int, stop: int) -> _Rows:
            found: _Rows = _score_rows(
                batch.items[start:stop], batch.lengths[start:stop], self.index, self.rule
            )
            return found

        bounds = [*range(0, B, _ROWS_PER_BLOCK), B] if B else [0, 0]
        blocks = map_blocks(rows, bounds)
        lengths, items, values = (
            blocks[0] if len(blocks) == 1 else map(np.concatenate, zip(*blocks, strict=True))
        )
        offsets = np.zeros(B + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return SparseScores(offsets=offsets, items=items, values=values, base=self.base)

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32."""
        return self.score_sparse(batch).dense()

    def state(self) -> dict[str, AnyArray]:
        """The arrays of the index by name."""
        return dict(self.index._asdict())

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: SessionKNNConfig) -> Self:
        """Build the model that gave `state`."""
        return cls(config, Index(**{name: state[name] for name in Index._fields}))


_Rows: TypeAlias = tuple[Int64Array, Int32Array, Float32Array]
"""(R,) how many items each row lists, and the items and values of the rows, one after the other."""


@njit(cache=True, nogil=True)
def _distinct_items(
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


@njit(cache=True, nogil=True)
def _score_rows(items: Int32Array, lengths: Int32Array, index: Index, rule: Rule) -> _Rows:
    """Score the rows of a padded batch; scratch grows with what a query touches, not with N."""
    listed = np.zeros(len(lengths), np.int64)
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
        listed[row] = len(found)
    return listed, out_items[:used], out_values[:used]


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
    clicks: Int32Array, index: Index, rule: Rule
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
        if rule.cosine:
            length = index.session_offsets[newest + 1] - index.session_offsets[newest]
            total /= np.sqrt(length)
        sessions[n], similarity[n], step[n] = newest, total, len(clicks) - latest
        n += 1
    return sessions[:n], similarity[:n], step[:n]


@njit(cache=True, nogil=True)
def _nearest(similarity: Float32Array, k: int) -> Int64Array:
    """Which k are highest, of equals the first; in ascending order."""
    if len(similarity) <= k:
        return np.arange(len(similarity))
    least = np.partition(similarity, len(similarity) - k)[len(similarity) - k]
    room = k - np.sum(similarity > least)  # for those that equal the least
    kept, n = np.empty(k, np.int64), 0
    for h in range(len(similarity)):
        if similarity[h] > least or (similarity[h] == least and room > 0):
            room -= similarity[h] == least
            kept[n] = h
            n += 1
    return kept


@njit(cache=True, nogil=True)
def _vote(
    sessions: Int32Array, similarity: Float32Array, step: Int64Array, index: Index, rule: Rule
) -> tuple[Int32Array, Float32Array]:
    """Sum the votes of the neighbours item by item, in a hash table."""
    most = 0
    for s in sessions:
        most += index.session_offsets[s + 1] - index.session_offsets[s]
    size = 1
    while size < 2 * most:
        size *= 2
    slots = np.zeros(size, np.int32)  # place in `items` plus one, 0 if free
    items, votes, n = np.empty(most, np.int32), np.empty(most), 0
    for h in range(len(sessions)):
        vote = similarity[h] * step_weight(rule.weighting_score, step[h])
        s = sessions[h]
        for j in index.session_items[index.session_offsets[s] : index.session_offsets[s + 1]]:
            slot = (j * 2654435761) & (size - 1)  # Knuth's multiplicative hash
            while slots[slot] != 0 and items[slots[slot] - 1] != j:
                slot = (slot + 1) & (size - 1)
            if slots[slot] == 0:
                items[n], votes[n] = j, 0.0
                n += 1
                slots[slot] = n
            votes[slots[slot] - 1] += vote
    factor = 1.0 + rule.idf_weighting * index.idf[items[:n]]
    return items[:n], (votes[:n] * factor).astype(np.float32)
