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
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from nextclick.core.hardware import map_blocks
from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.core.types import AnyArray, Float32Array, Int32Array, Progress, SparseScores
from nextclick.models.base import Capabilities, Model
from nextclick.models.classical.position_weights import CODES, Weighting, position_weight
from nextclick.models.classical.session_index import Index
from nextclick.models.classical.session_scores import Rows, VotingRule, score_rows
from nextclick.models.explanation import MAX_NEIGHBORS, Evidence, Neighbor, Parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.models.incremental_state import PriorSessions

_NEAR_ZERO = 1e-30
_ROWS_PER_BLOCK = 64  # fewer are worked off by the calling thread


@dataclass(frozen=True, slots=True)
class SessionKNNConfig:
    """Parameters of Session-KNN, by the names the literature gives them.

    The defaults were chosen on the last tenth of the training sessions of two shops' logs, the
    same for both, and for short answers: more neighbors gain little.
    """

    k: Annotated[int, Field(ge=1, description="neighbor sessions that vote")] = 200
    sample_size: Annotated[
        int, Field(ge=1, description="most recent sessions that neighbors are chosen from")
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
        Field(description="how a neighbor's vote falls with the age of the latest shared click"),
    ] = "div"
    idf_weighting: Annotated[
        float, Field(ge=0, description="how much rarer items gain, 0 is nothing")
    ] = 1.0
    last_n_clicks: Annotated[
        int, Field(ge=1, description="latest clicks of the session that are looked at")
    ] = 10


class SessionKNN(Model):
    """Votes of the most similar of the most recent sessions that share an item."""

    name: ClassVar[str] = "session-knn"
    default_capabilities: ClassVar[Capabilities] = Capabilities(
        deterministic=True, update="exact", explains=True, sparse_scores=True
    )
    Config: ClassVar[type[SessionKNNConfig]] = SessionKNNConfig
    search_space: ClassVar[Space] = {
        "k": IntRange(20, 2000, log=True),
        "sample_size": IntRange(100, 10_000, log=True),
        "similarity": Choice("vec", "cosine"),
        "weighting": Choice(*CODES),
        "weighting_score": Choice(*CODES),
        "idf_weighting": FloatRange(0.0, 5.0),
        "last_n_clicks": IntRange(1, 30, log=True),
    }

    def __init__(self, config: SessionKNNConfig, index: Index):
        self.config = config
        self.index = index
        self.base = np.zeros(self.n_items + 1, dtype=np.float32)  # shared by all answers
        self.rule = VotingRule(
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
        index = Index.of(sessions, config.sample_size)
        progress("index", 1, 1)
        return cls(config, index)

    def extended(self, new: Sessions, past: PriorSessions, *, progress: Progress) -> Self:
        """The model of both logs; the older one is not read again."""
        index = self.index.extended(new, past, self.config.sample_size)
        progress("index", 1, 1)
        return type(self)(self.config, index)

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """List the items of the neighbor sessions."""
        B = len(batch)

        def rows(start: int, stop: int) -> Rows:
            return score_rows(
                batch.items[start:stop], batch.lengths[start:stop], self.index, self.rule
            )

        bounds = [*range(0, B, _ROWS_PER_BLOCK), B] if B else [0, 0]
        offsets, items, values = _joined(map_blocks(rows, bounds))
        return SparseScores(offsets=offsets, items=items, values=values, base=self.base)

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32."""
        return self.score_sparse(batch).dense()

    def explained(self, batch: SessionBatch, items: Int32Array) -> Evidence:
        """The sessions whose votes count most, and what all votes come to, click by click.

        r(h) is a sum over shared clicks, so that a vote is one, too. An item that was clicked
        several times counts at its latest click.
        """
        from nextclick.models.classical.session_votes import voters

        n = int(batch.lengths[0])
        first = max(0, n - self.config.last_n_clicks)
        clicks = batch.items[0, first:n]
        sessions, similarity, weight = voters(clicks, self.index, self.rule)  # (H,)
        holds = [self._items_of(s) for s in sessions.tolist()]
        held = np.concatenate([np.empty(0, np.int32), *holds])  # (M,)
        owner = np.repeat(np.arange(len(holds)), [len(one) for one in holds])
        vote = similarity * weight
        given = np.zeros((len(holds), n))  # (H, n) votes of a session for the clicks it shares
        for p, click in enumerate(clicks.tolist()):
            if click not in clicks[p + 1 :]:
                shares = owner[held == click]
                given[shares, first + p] = position_weight(self.rule.weighting, p + 1, len(clicks))
        total = np.maximum(given.sum(axis=1, keepdims=True), _NEAR_ZERO)  # linear may weigh 0
        given *= vote[:, None] / total
        votes = np.array(
            [given[owner[held == item]].sum(axis=0) for item in items.tolist()]
        )  # (K, n)
        factor = 1.0 + self.rule.idf_weighting * self.index.idf[items]  # (K,)
        parts = (votes.reshape(len(items), n) * factor[:, None]).astype(np.float32)
        nearest = np.argsort(-vote, kind="stable")[:MAX_NEIGHBORS]
        return Evidence(
            neighbors=[
                Neighbor(holds[h], float(similarity[h]), float(vote[h])) for h in nearest.tolist()
            ],
            parts=Parts(parts, {}),
        )

    def _items_of(self, session: int) -> Int32Array:
        offsets = self.index.session_offsets
        return self.index.session_items[offsets[session] : offsets[session + 1]]

    def state(self) -> dict[str, AnyArray]:
        """The arrays of the index by name."""
        return dict(self.index._asdict())

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: SessionKNNConfig) -> Self:
        """Build the model that gave `state`."""
        return cls(config, Index(**{name: state[name] for name in Index._fields}))


def _joined(blocks: list[Rows]) -> Rows:
    """The rows of all blocks."""
    if len(blocks) == 1:
        return blocks[0]
    starts = np.cumsum([0, *(len(items) for _, items, _ in blocks)])
    ends = [offsets[1:] + start for (offsets, _, _), start in zip(blocks, starts, strict=False)]
    return (
        np.concatenate([starts[:1], *ends]),
        np.concatenate([items for _, items, _ in blocks]),
        np.concatenate([values for _, _, values in blocks]),
    )
