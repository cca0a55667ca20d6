"""Explanations of recommendations, on raw ids.

`explain_session` gives the full explanation: how items rank without each click, and what the model
reports about its computation. `summarize_explanation` gives the part that the HTTP API returns,
which needs no further scoring.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError
from nextclick.serving.click_ablation import UNRANKED, rank_items
from nextclick.serving.request import to_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.artifact import Artifact
    from nextclick.core.types import Int32Array, RawId
    from nextclick.models.base import Model
    from nextclick.models.model_explanation import ModelExplanation, Neighbor
    from nextclick.serving.request import ResolvedRequest

_NO_ITEMS = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Scores and ranks of the explained items.

    Attributes:
        scores: score of each item.
        above_mean: score of each item minus the mean score of the catalog. A click that shifts all
            scores equally changes neither above_mean nor ranks.
        ranks: rank of each item in the catalog, 1 the best; None if no item scores lower, so that
            the model does not recommend it.
    """

    scores: list[float]
    above_mean: list[float]
    ranks: list[int | None]


@dataclass(frozen=True, slots=True)
class LayerAttention:
    """Attention weights of one layer, from the forward pass that computed the scores.

    Attributes:
        layer: its name.
        clicks: positions in `Explanation.clicks`, 0 the first. A layer over distinct items reports
            the first click of each.
        weights: one for each of `clicks`; the last row of a layer with a map.
        map: for each of `clicks` the weights of all of them, 0 for later clicks; None for a layer
            with a single query.
    """

    layer: str
    clicks: list[int]
    weights: list[float]
    map: list[list[float]] | None


@dataclass(frozen=True, slots=True)
class NeighborSession:
    """A neighbor: a training session that contributes to the scores.

    Attributes:
        items: its distinct items; None if the model does not store them.
        similarity: to the explained session.
        vote: contribution to each of its items; for a memory network, its read weight. The sum of
            all `count` sessions.
        session: index of the training session, 0 the first; None if unknown.
        count: number of training sessions with the same items.
    """

    items: list[RawId] | None
    similarity: float
    vote: float
    session: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class GraphLinks:
    """Active neighbors of a clicked item in the temporal item graph.

    Attributes:
        item: the clicked item.
        neighbors: those of largest weight, in descending order.
        weights: edge weights.
    """

    item: RawId
    neighbors: list[RawId]
    weights: list[float]


@dataclass(frozen=True, slots=True)
class ScoreTerms:
    """An additive decomposition of the scores.

    Attributes:
        clicks: for each click, its contribution to each item.
        rest: name of another term to its contribution to each item.
    """

    clicks: list[list[float]]
    rest: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a session gets its recommendations.

    Attributes:
        model: name of the model.
        clicks: known clicks in their order.
        unknown: clicked ids that the model does not know; they are ignored.
        items: explained items.
        now: their ranking for the whole session.
        without: for each click, their ranking for the session without it; gaps are recomputed.
        attention: attention layers; empty for a model without attention.
        neighbors: training sessions with the largest votes for the explained items.
        links: graph neighbors of the distinct clicked items.
        parts: the score decomposition of an additive model, or None.
        note: a remark for the reader, or None.
    """

    model: str
    clicks: list[RawId]
    unknown: list[RawId]
    items: list[RawId]
    now: Ranking
    without: list[Ranking]
    attention: list[LayerAttention]
    neighbors: list[NeighborSession]
    links: list[GraphLinks]
    parts: ScoreTerms | None
    note: str | None

    def layer(self, name: str) -> Explanation:
        """The same explanation with the attention of one layer.

        Raises:
            ConfigError: there is no layer of that name.
        """
        selected = [one for one in self.attention if one.layer == name]
        if not selected:
            known = ", ".join(one.layer for one in self.attention) or "none"
            raise ConfigError(
                f"layer must be an attention layer of {self.model}: {known}; got {name!r}"
            )
        return replace(self, attention=selected)


@dataclass(frozen=True, slots=True)
class ExplanationSummary:
    """The part of an explanation that the HTTP API returns.

    Attributes:
        kind: "attention", "neighbors", or None if the model provides neither.
        clicks: the clicks that are explained, in their order.
        weights: attention to each of `clicks`, from the last layer.
        neighbors: training sessions with the largest votes.
        note: why there is no explanation, or None.
    """

    kind: str | None
    clicks: list[RawId]
    weights: list[float] | None = None
    neighbors: list[NeighborSession] | None = None
    note: str | None = None


def explain_session(
    artifact: Artifact,
    request: ResolvedRequest,
    ablated: Sequence[ResolvedRequest],
    items: Sequence[int],
) -> Explanation:
    """Explain why the session of a request gets some items.

    Args:
        artifact: the model.
        request: with at least one known click.
        ablated: the session without each of its known clicks.
        items: indices in 1..N, at least one.
    """
    rows = ExplainedRows(artifact, request, items)
    sessions = [request, *ablated]
    return rows.explanation(rows.answer(sessions), rows.explanations(sessions)[0])


class ExplainedRows:
    """Computes an explanation session by session.

    It has the methods of a recommender that a batcher calls, so that a server computes an
    explanation in slices, with the answers to other requests between them.

    Args:
        artifact: the model.
        request: the explained session.
        items: indices in 1..N, at least one.
    """

    def __init__(self, artifact: Artifact, request: ResolvedRequest, items: Sequence[int]):
        self._artifact = artifact
        self._request = request
        self._items = np.array(items, dtype=np.int32)

    def answer(self, requests: Sequence[ResolvedRequest]) -> list[Ranking]:
        """The ranking of the items in each session."""
        ranked = rank_items(self._artifact.model, requests, self._items)
        return [
            Ranking(scores, above_mean, [None if rank == UNRANKED else rank for rank in ranks])
            for scores, above_mean, ranks in zip(*(array.tolist() for array in ranked), strict=True)
        ]

    def explanations(self, requests: Sequence[ResolvedRequest]) -> list[ModelExplanation | None]:
        """What the model reports about the explained session; None for the other sessions."""
        return [
            _evidence(self._artifact.model, request, self._items)
            if request is self._request
            else None
            for request in requests
        ]

    def explanation(
        self, rankings: Sequence[Ranking], evidence: ModelExplanation | None
    ) -> Explanation:
        """The explanation from the answers: for the session, then for it without each click."""
        assert evidence is not None
        artifact, request = self._artifact, self._request
        raw_ids = artifact.items.raw_ids
        return Explanation(
            model=artifact.model.name,
            clicks=raw_ids(request.clicks),
            unknown=request.unknown,
            items=raw_ids(self._items),
            now=rankings[0],
            without=list(rankings[1:]),
            attention=[
                LayerAttention(one.name, one.clicks.tolist(), one.session_weights.tolist(), one.map)
                for one in evidence.attention
            ],
            neighbors=[_neighbor(artifact, one) for one in evidence.neighbors or ()],
            links=[
                GraphLinks(artifact.items.raw(one.item), raw_ids(one.items), one.weights.tolist())
                for one in evidence.links
            ],
            parts=_score_terms(evidence),
            note=_note(artifact.model.name, evidence, request),
        )


def summarize_explanation(artifact: Artifact, request: ResolvedRequest) -> ExplanationSummary:
    """The attention or the neighbor sessions behind a recommendation."""
    clicks = artifact.items.raw_ids(request.clicks)
    if not clicks:
        return ExplanationSummary(None, [], note="no click is known to the model")
    evidence = _evidence(artifact.model, request, _NO_ITEMS)
    if evidence.attention:
        last = evidence.attention[-1]
        attended = [clicks[position] for position in last.clicks.tolist()]
        return ExplanationSummary("attention", attended, weights=last.session_weights.tolist())
    if evidence.neighbors is not None:
        neighbors = [_neighbor(artifact, one) for one in evidence.neighbors]
        return ExplanationSummary("neighbors", clicks, neighbors=neighbors)
    note = f"{artifact.model.name} has neither attention weights nor neighbor sessions"
    return ExplanationSummary(None, clicks, note=note)


def _evidence(model: Model, request: ResolvedRequest, items: Int32Array) -> ModelExplanation:
    """What a model reports about its computation; empty if it explains nothing."""
    return model.explain(to_batch([request]), items)


def _neighbor(artifact: Artifact, neighbor: Neighbor) -> NeighborSession:
    items = None if neighbor.items is None else artifact.items.raw_ids(neighbor.items)
    return NeighborSession(
        items, neighbor.similarity, neighbor.vote, neighbor.session, neighbor.count
    )


def _score_terms(evidence: ModelExplanation) -> ScoreTerms | None:
    parts = evidence.parts
    if parts is None:
        return None
    rest = {name: values.tolist() for name, values in parts.rest.items()}
    return ScoreTerms(parts.clicks.T.tolist(), rest)


def _note(name: str, evidence: ModelExplanation, request: ResolvedRequest) -> str | None:
    notes = []
    if not (evidence.attention or evidence.neighbors or evidence.links or evidence.parts):
        notes.append(
            f"{name} has no attention, neighbor sessions or score decomposition: only the ranking "
            "without each click is explained"
        )
    if request.unknown:
        notes.append(unknown_note(len(request.unknown)))
    return "; ".join(notes) or None


def unknown_note(n: int) -> str:
    """The note about ignored clicks."""
    items = "1 clicked item is" if n == 1 else f"{n} clicked items are"
    return f"{items} unknown to the model and ignored"
