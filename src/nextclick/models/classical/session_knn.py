"""Session-KNN: items of the most similar training sessions.

V-SkNN (Ludewig & Jannach, Evaluation of Session-based Recommendation Algorithms, UMUAI 2018) in
the form of VMIS-kNN (Kersbergen, Sprangers & Schelter, Serenade, SIGMOD 2022). Let x_1 … x_L be the
last clicks of a session, X their distinct items, p(i) the latest position of item i, and w(p) a
weight that decreases with the distance from the end:

    H      the `sample_size` most recent training sessions with an item of X
    r(h)   = Σ_{i in X ∩ h} w(p(i))                          h in H, "vec"
    r(h)   = Σ_{i in X ∩ h} w(p(i)) / √|h|                   "cosine", up to a constant
    K      the `k` sessions of H with the highest r
    λ(h)   = weight of the distance of the latest shared click from the end, 1 = last click
    score(j) = (1 + g · ln(|S| / |S_j|)) Σ_{h in K, j in h} r(h) λ(h)

|S| is the number of training sessions, |S_j| the number of those with item j, g = `idf_weighting`.
Sessions are sets of items. Items of the current session are scored by the repeat model (see
`repeat_model`); with `repeats="keep"`, the published form, they are candidates like all others.

The index lists the `sample_size` most recent sessions of each item, newest first. The most recent
sessions of a union are among the most recent sessions of its parts, so merging the lists of X gives
H and the shared items of each session. A query takes sample_size · |X| steps, independent of the
size of the log. Sessions in no list are dropped, which bounds the memory.

Ties: sessions are stored oldest first, so the number of a session is its recency and is unique. Of
sessions with equal r the more recent is nearer. r is rounded to float32, so that sums such as ⅓ + ⅔
and 1, which differ in the last bit, are equal.

Deviations from the code published with the UMUAI paper: idf counts sessions with the item, as in
both papers, not clicks on it, so it is never negative. Candidates come only from the clicks that
are compared, not also from older ones. `linear` is corrected (see `position_weights`). r is not
divided by |X|, and scores are not divided by their maximum, which changes no ranking.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from nextclick.core.array_checks import named_array
from nextclick.core.hardware import map_blocks
from nextclick.core.item_similarity import row_similarity
from nextclick.core.search_space import Choice, FloatRange, IntRange, Space
from nextclick.core.types import AnyArray, Float32Array, Int32Array, Progress, SparseScores
from nextclick.models.base import Capabilities, Model
from nextclick.models.classical.position_weights import CODES, Weighting, position_weight
from nextclick.models.classical.repeat_model import REPEATS, RepeatModel, Repeats
from nextclick.models.classical.session_index import SessionIndex
from nextclick.models.classical.session_scores import Rows, VotingRule, score_rows
from nextclick.models.model_explanation import (
    MAX_NEIGHBORS,
    ModelExplanation,
    Neighbor,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.item_similarity import ItemSimilarity
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.models.incremental_state import PriorSessions

_NEAR_ZERO = 1e-30
_ROWS_PER_BLOCK = 64  # smaller batches run in the calling thread


@dataclass(frozen=True, slots=True)
class SessionKNNConfig:
    """Parameters of Session-KNN, named as in the literature.

    The defaults were selected on the last tenth of the training sessions of two shop logs, with a
    preference for low latency: more neighbors improve accuracy only slightly.
    """

    k: Annotated[int, Field(ge=1, description="number of neighbor sessions")] = 200
    sample_size: Annotated[
        int, Field(ge=1, description="most recent sessions that neighbors are selected from")
    ] = 1000
    similarity: Annotated[
        Literal["vec", "cosine"],
        Field(description="sum of shared weights, or this sum over the root of the session size"),
    ] = "cosine"
    weighting: Annotated[
        Weighting,
        Field(description="how the weight of a click in the similarity decreases with its age"),
    ] = "log"
    weighting_score: Annotated[
        Weighting,
        Field(description="how a vote decreases with the age of the latest shared click"),
    ] = "div"
    idf_weighting: Annotated[
        float, Field(ge=0, description="weight g of the inverse document frequency, 0 disables it")
    ] = 1.0
    last_n_clicks: Annotated[
        int, Field(ge=1, description="number of latest clicks of the session that are read")
    ] = 10
    repeats: Repeats = "learned"


class SessionKNN(Model):
    """Votes of the most similar sessions among the most recent ones that share an item."""

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
        "repeats": Choice(*REPEATS),
    }

    def __init__(self, config: SessionKNNConfig, index: SessionIndex, repeats: RepeatModel):
        self.config = config
        self.index = index
        self.repeats = repeats
        self.base = np.zeros(self.n_items + 1, dtype=np.float32)  # shared by all results
        self.base.flags.writeable = False
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
        """Build the index, and count the repeats; deterministic."""
        del seed
        index = SessionIndex.from_sessions(sessions, config.sample_size)
        progress("index", 1, 1)
        return cls(config, index, RepeatModel.fit(config.repeats, sessions))

    def update_exactly(self, new: Sessions, past: PriorSessions, *, progress: Progress) -> Self:
        """The model of both logs; the older log is not read again."""
        index = self.index.append(new, self.config.sample_size, past.n_sessions, past.index)
        progress("index", 1, 1)
        return type(self)(self.config, index, self.repeats.update(new))

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """Score the items of the neighbor sessions, and those of the session itself."""
        B = len(batch)

        def rows(start: int, stop: int) -> Rows:
            items, lengths = batch.items[start:stop], batch.lengths[start:stop]
            return score_rows(items, lengths, self.index, self.rule, self.repeats.table)

        bounds = [*range(0, B, _ROWS_PER_BLOCK), B] if B else [0, 0]
        offsets, items, values = _concatenate(map_blocks(rows, bounds))
        return SparseScores(offsets=offsets, items=items, values=values, base=self.base)

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32."""
        return self.score_sparse(batch).dense()

    def item_similarity(self) -> ItemSimilarity:
        """Cosines of the sets of indexed sessions: similar items occur in the same sessions."""
        return row_similarity(self.index.item_offsets, self.index.item_sessions)

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """The neighbors that vote for the items, and the contribution of each click to each score.

        Without items, all neighbors are reported. Those with the same items are reported together.
        r(h) is a sum over shared clicks, and so is a vote. The contribution of an item that was
        clicked several times is attributed to its latest click. The score of an item of the session
        comes from the repeat model, unless it is kept.
        """
        from nextclick.models.classical.session_votes import voters

        n = int(batch.lengths[0])
        first = max(0, n - self.config.last_n_clicks)
        clicks = batch.items[0, first:n]
        sessions, similarity, weight = voters(clicks, self.index, self.rule)  # (H,)
        neighbor_items = [self._session_items(s) for s in sessions.tolist()]
        voted_item = np.concatenate([np.empty(0, np.int32), *neighbor_items])  # (M,)
        voter = np.repeat(
            np.arange(len(neighbor_items)), [len(voted) for voted in neighbor_items]
        )  # (M,)
        vote = similarity * weight
        share = np.zeros((len(neighbor_items), n))  # (H, n) of each click in the vote of a session
        for p, click in enumerate(clicks.tolist()):
            if click not in clicks[p + 1 :]:
                sharing = voter[voted_item == click]
                weight_of_click = position_weight(self.rule.weighting, p + 1, len(clicks))
                share[sharing, first + p] = weight_of_click
        total = np.maximum(share.sum(axis=1, keepdims=True), _NEAR_ZERO)  # linear may be 0
        share *= vote[:, None] / total
        votes = np.array(
            [share[voter[voted_item == item]].sum(axis=0) for item in items.tolist()]
        )  # (K, n)
        factor = 1.0 + self.rule.idf_weighting * self.index.idf[items]  # (K,)
        contributions = (votes.reshape(len(items), n) * factor[:, None]).astype(np.float32)
        scores = self.score_sparse(batch).lookup(0, items)
        explained = np.arange(len(vote))
        if len(items):
            explained = np.unique(voter[np.isin(voted_item, items)])
        return ModelExplanation(
            neighbors=_distinct(
                [
                    Neighbor(neighbor_items[h], float(similarity[h]), float(vote[h]))
                    for h in explained.tolist()
                ]
            ),
            parts=self.repeats.attribute(contributions, scores, items, batch.items[0, :n]),
        )

    def _session_items(self, session: int) -> Int32Array:
        offsets = self.index.session_offsets
        return self.index.session_items[offsets[session] : offsets[session + 1]]

    def state(self) -> dict[str, AnyArray]:
        """The arrays of the index and the counts of repeats by name."""
        return self.index._asdict() | self.repeats.state()

    @classmethod
    def check_state(
        cls, state: Mapping[str, AnyArray], config: SessionKNNConfig, n_items: int
    ) -> None:
        """Check that the index and the counts of repeats are in range."""
        super().check_state(state, config, n_items)
        arrays = {name: named_array(state, name) for name in SessionIndex._fields}
        SessionIndex(**arrays).check(n_items)
        RepeatModel.check_state(state, config.repeats)

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: SessionKNNConfig) -> Self:
        """Build the model from the arrays of `state`."""
        arrays = {name: state[name] for name in SessionIndex._fields}
        index = SessionIndex(**arrays)
        return cls(config, index, RepeatModel.from_state(state, config.repeats, len(index.idf) - 1))


def _distinct(neighbors: list[Neighbor]) -> list[Neighbor]:
    """Merge the neighbors with the same items; those with the largest votes come first."""
    groups: dict[frozenset[int], list[Neighbor]] = {}
    for neighbor in neighbors:
        assert neighbor.items is not None
        groups.setdefault(frozenset(neighbor.items.tolist()), []).append(neighbor)
    merged = [
        replace(group[0], vote=sum(one.vote for one in group), count=len(group))
        for group in groups.values()
    ]
    return sorted(merged, key=lambda one: one.vote, reverse=True)[:MAX_NEIGHBORS]


def _concatenate(blocks: list[Rows]) -> Rows:
    """Concatenate the rows of all blocks."""
    if len(blocks) == 1:
        return blocks[0]
    starts = np.cumsum([0, *(len(items) for _, items, _ in blocks)])
    ends = [offsets[1:] + start for (offsets, _, _), start in zip(blocks, starts, strict=False)]
    return (
        np.concatenate([starts[:1], *ends]),
        np.concatenate([items for _, items, _ in blocks]),
        np.concatenate([values for _, _, values in blocks]),
    )
