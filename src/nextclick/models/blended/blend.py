"""Blend: one ranking of the items that other models recommend.

The members of a blend are any models. The candidates of a session are the first `candidates` items
of each member, the items of the session and the `trending` items that are clicked most at the end
of the log. Candidate j has the score

    score(j) = w·x_j - log Σ_i exp(w·x_i),    i over all candidates,

the logarithm of its probability in a conditional logit (see `conditional_logit`), with features x:

    feature                        value
    of each member: score          log(p_j / p_l), where l is the last item of the member's list;
                                   0 if the list lacks j. p is the share of an item in the list:
                                   of votes and counts (sparse scores) the share of their sum,
                                   of all other scores the softmax
    of each member: absent         1 if the list of the member lacks j, else 0; an item without
                                   votes is not listed
    in the session                 1 if j was clicked in the session, else 0
    last click                     1 if j is the last click, else 0
    times clicked in the session   log(1 + clicks on j in the session)
    clicks in the newest tenth     log(1 + clicks on j in the newest tenth of training sessions),
                                   likewise in the newest hundredth and thousandth
    clicks in all                  log(1 + clicks on j in all training sessions)

The logit takes differences between candidates of one session, so no feature is standardized, and
the sum that normalizes the scores of a member cancels. The weights are fitted on the validation by
`nextclick.experiments.blend_training`, with members that have not seen it.

All other items rank below the candidates, by clicks in training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from pydantic import BeforeValidator, Field

from nextclick.core.array_checks import ArrayError, check_array, check_length, named_array
from nextclick.core.search_space import FloatRange, IntRange, Space
from nextclick.core.topk import SortedBase
from nextclick.core.types import AnyArray, Float32Array, Float64Array, Int32Array, SparseScores
from nextclick.models.base import Capabilities, Model
from nextclick.models.blended.blend_explanation import explain_blend
from nextclick.models.blended.candidate_features import (
    CandidateSet,
    Features,
    build_candidates,
    candidate_logits,
    feature_names,
    log_total,
)
from nextclick.models.blended.item_counts import ItemCounts
from nextclick.models.blended.members import (
    Member,
    member_state,
    nest_state,
    resolve_members,
    split_members,
)
from nextclick.models.blended.top_lists import TopLists, top_lists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextclick.core.item_similarity import ItemSimilarity
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.models.base import Moment, Update
    from nextclick.models.incremental_state import PriorSessions
    from nextclick.models.model_explanation import ModelExplanation

DEFAULT_MEMBERS = ("session-knn", "cosine-gru", "markov")
LOWEST_SCORE = -500.0
"""Lower log probabilities are raised to this one, above the scores of all other items."""

_SCORES_PER_BLOCK = 6 << 20  # scores of a member that scores all items, in memory at a time
_MOMENTS: tuple[Moment, ...] = ("at-click", "while-waiting", "at-target")


@dataclass(frozen=True, slots=True)
class BlendConfig:
    """Parameters of a blend."""

    members: Annotated[
        tuple[str | Member, ...],
        BeforeValidator(split_members),
        Field(description="models, as NAME, NAME@PRESET or NAME@PRESET+PARAMETER=VALUE"),
    ] = DEFAULT_MEMBERS
    candidates: Annotated[
        int, Field(ge=1, le=10_000, description="items of each member that are candidates")
    ] = 100
    trending: Annotated[
        int,
        Field(
            ge=0,
            le=10_000,
            description="items with the most clicks at the end of the log that are candidates of "
            "every session; only with features=all",
        ),
    ] = 50
    features: Annotated[
        Features,
        Field(
            description="members: the scores of the members; repeats: and the clicks of the "
            "session on the candidate; all: and its clicks in training"
        ),
    ] = "all"
    l2: Annotated[
        float, Field(gt=0, description="λ, weight of the squared weights of the features")
    ] = 0.001
    prefixes: Annotated[
        int, Field(ge=2, description="maximum number of validation prefixes that fit the weights")
    ] = 20_000


class Blend(Model):
    """Ranks the items that other models recommend, by their scores, repeats and popularity."""

    name: ClassVar[str] = "blend"
    default_capabilities: ClassVar[Capabilities] = Capabilities(
        composite=True, explains=True, sparse_scores=True
    )
    Config: ClassVar[type[BlendConfig]] = BlendConfig
    search_space: ClassVar[Space] = {
        "candidates": IntRange(20, 500, log=True),
        "l2": FloatRange(1e-5, 0.1, log=True),
    }

    def __init__(
        self,
        config: BlendConfig,
        members: Sequence[Model],
        counts: ItemCounts,
        weights: Float64Array,
    ):
        """Combine trained members.

        Args:
            config: its `members` describe the members, in their order.
            members: models of the same N items.
            counts: clicks of the items in training.
            weights: (F,) float64, see `feature_names`.
        """
        self.config = config
        self.members = tuple(members)
        self.counts = counts
        self.weights = weights
        self.labels = [member.label for member in resolve_members(config.members)]
        self.base = counts.popularity_scores()
        self._member_bases: list[SortedBase | None] = [None] * len(self.members)
        self._votes = [member.capabilities.sparse_scores for member in self.members]
        self._popularity = counts.popularity(config.trending if config.features == "all" else 0)

    @classmethod
    def capabilities_of(cls, config: BlendConfig) -> Capabilities:
        """What all members can do, or for explanations any member."""
        members = [member.capabilities for member in resolve_members(config.members)]
        updates = {member.update for member in members}
        by_member: Update = "exact" if updates == {"exact"} else "by-member"
        return replace(
            cls.default_capabilities,
            deterministic=all(member.deterministic for member in members),
            update="none" if "none" in updates else by_member,
            needs_sessions=any(member.needs_sessions for member in members),
            attention=any(member.attention for member in members),
            earlier_sessions=max(member.earlier_sessions for member in members),
            prediction_moment=max((m.prediction_moment for m in members), key=_MOMENTS.index),
        )

    @classmethod
    def requires(cls, config: BlendConfig) -> frozenset[str]:
        """What any member requires."""
        members = resolve_members(config.members)
        return frozenset().union(*(member.model_type.requires(member.config) for member in members))

    @property
    def n_items(self) -> int:
        """N."""
        return self.counts.n_items

    @property
    def n_users(self) -> int | None:
        """U, None if no member reads users."""
        return next((m.n_users for m in self.members if m.n_users is not None), None)

    @property
    def feature_names(self) -> list[str]:
        """The names of the F features."""
        return feature_names(self.labels)

    @property
    def list_length(self) -> int:
        """The number of candidates of each member."""
        return min(int(self.config.candidates), self.n_items)

    # scoring

    def member_lists(self, batch: SessionBatch) -> list[TopLists]:
        """The first items of each member for B sessions."""
        return self.lists_of(self.member_scores(batch))

    def lists_of(self, scores: Sequence[SparseScores | Float32Array]) -> list[TopLists]:
        """The first items of each member, from the scores of the members."""
        return [
            top_lists(own, self.list_length, self.member_base(m, own))
            for m, own in enumerate(scores)
        ]

    def member_base(self, m: int, scores: SparseScores | Float32Array) -> SortedBase | None:
        """The sorted base of the sparse scores of member m; None for dense scores."""
        if not isinstance(scores, SparseScores):
            return None
        base = self._member_bases[m]  # a local reference: another thread may replace the entry
        if base is None or not base.matches(scores.base):
            base = self._member_bases[m] = SortedBase.from_scores(scores.base)
        return base

    def member_scores(self, batch: SessionBatch) -> list[SparseScores | Float32Array]:
        """The scores of each member, in sparse form or (B, N + 1)."""
        return [
            member.score_sparse(batch) if member.capabilities.sparse_scores else member.score(batch)
            for member in self.members
        ]

    def candidates(self, lists: Sequence[TopLists], batch: SessionBatch) -> CandidateSet:
        """The candidates of B sessions and their features, from the lists of the members."""
        return build_candidates(batch, lists, self._votes, self._popularity)

    def score_lists(self, lists: Sequence[TopLists], batch: SessionBatch) -> SparseScores:
        """The scores of B sessions, from the lists of the members."""
        offsets, items, logits = candidate_logits(
            batch, lists, self._votes, self._popularity, self.weights
        )
        scores = logits - np.repeat(log_total(logits, offsets), np.diff(offsets))
        values = np.maximum(scores, LOWEST_SCORE).astype(np.float32)
        return SparseScores(offsets, items, values, self.base)

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """The candidates of each session; the base ranks all other items."""
        rows = len(batch)
        if not all(self._votes):
            rows = max(_SCORES_PER_BLOCK // (self.n_items + 1), 1)
        blocks = [
            self.score_lists(self.member_lists(part), part)
            for part in (
                batch_rows(batch, start, start + rows) for start in range(0, len(batch), rows)
            )
        ]
        if len(blocks) == 1:
            return blocks[0]
        lengths = [np.diff(block.offsets) for block in blocks]
        offsets = np.zeros(len(batch) + 1, dtype=np.int64)
        np.cumsum(np.concatenate([np.empty(0, np.int64), *lengths]), out=offsets[1:])
        return SparseScores(
            offsets,
            np.concatenate([np.empty(0, np.int32), *(block.items for block in blocks)]),
            np.concatenate([np.empty(0, np.float32), *(block.values for block in blocks)]),
            self.base,
        )

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32."""
        return self.score_sparse(batch).dense()

    def item_similarity(self) -> ItemSimilarity | None:
        """The similarities of the first member that has any, neural members first."""
        members = sorted(self.members, key=lambda member: not member.capabilities.neural)
        return next((s for member in members if (s := member.item_similarity()) is not None), None)

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """The contribution of each feature to each score, and what the members explain."""
        return explain_blend(self, batch, items)

    # incremental updates

    def update_exactly(self, new: Sessions, past: PriorSessions, *, progress: Progress) -> Self:
        """The members and the counts of both logs, with the same weights."""
        members = [member.update_exactly(new, past, progress=progress) for member in self.members]
        return self.with_members(members, self.counts.update(new, past))

    def with_members(self, members: Sequence[Model], counts: ItemCounts) -> Self:
        """A blend of other trainings of the members, with the same weights."""
        return type(self)(self.config, members, counts, self.weights)

    # state

    def state(self) -> dict[str, AnyArray]:
        """The weights, the counts, and array NAME of member m as `members.m.NAME`."""
        nested = nest_state([member.state() for member in self.members])
        return {"weights": self.weights, **self.counts.state(), **nested}

    @classmethod
    def check_state(cls, state: Mapping[str, AnyArray], config: BlendConfig, n_items: int) -> None:
        """Check all arrays, those of a member by its own check."""
        super().check_state(state, config, n_items)
        members = resolve_members(config.members)
        weights = named_array(state, "weights")
        check_array("weights", weights, np.float64)
        check_length("weights", weights, len(feature_names([m.label for m in members])))
        ItemCounts.check_state(state, n_items)
        for m, member in enumerate(members):
            try:
                member.model_type.check_state(member_state(state, m), member.config, n_items)
            except ArrayError as error:
                raise ArrayError(f"member {m}, {member.label}: {error}") from error

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: BlendConfig) -> Self:
        """Build the blend and its members from the arrays of `state`."""
        counts = ItemCounts.from_state(state)
        models = []
        for m, member in enumerate(resolve_members(config.members)):
            model = member.model_type.from_state(member_state(state, m), member.config)
            if model.n_items != counts.n_items:
                raise ArrayError(
                    f"member {m}, {member.label}, scores {model.n_items} items, the blend has "
                    f"{counts.n_items}"
                )
            models.append(model)
        return cls(config, models, counts, np.array(state["weights"]))


def batch_rows(batch: SessionBatch, start: int, stop: int) -> SessionBatch:
    """Sessions start..stop - 1 of a batch, as views."""
    if start == 0 and stop >= len(batch):
        return batch
    return batch.take(slice(start, stop))
