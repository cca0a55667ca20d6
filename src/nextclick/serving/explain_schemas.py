"""Request and response bodies of explanations."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from nextclick.serving.schemas import MAX_CLICKS, MAX_HISTORY, EarlierSession, ItemId, Name, Seconds

MAX_EXPLAINED = 10  # items of an explanation
DEFAULT_EXPLAINED = 5


class ExplainRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A session, and the items to explain.

    Attributes:
        session: item ids in click order, at least one known to the model.
        items: ids of the items to explain, recommended or not; the default is the first k.
        k: number of recommended items to explain without `items`; the default is 5, or the size
            of a smaller catalog.
        times: time of each click in seconds on any clock.
        now: the moment of prediction on the same clock. It stays the same when a click is left
            out; the default is the last remaining click.
        user: id of the visitor.
        history: earlier sessions of the visitor, as in a request for recommendations.
        titles: add the titles of all items in the response.
        model: name of the model; the default is the first one.
    """

    session: Annotated[list[ItemId], Meta(min_length=1, max_length=MAX_CLICKS)]
    items: Annotated[list[ItemId], Meta(min_length=1, max_length=MAX_EXPLAINED)] | None = None
    k: Annotated[int, Meta(ge=1, le=MAX_EXPLAINED)] | None = None
    times: Annotated[list[Seconds], Meta(max_length=MAX_CLICKS)] | None = None
    now: Seconds | None = None
    user: ItemId | None = None
    history: Annotated[list[EarlierSession], Meta(max_length=MAX_HISTORY)] = []
    titles: bool = False
    model: Name | None = None


class RankingResponse(Struct):
    """How the explained items rank for a session.

    Attributes:
        scores: score of each item.
        above_mean: lead of each item: its score minus the mean score of the catalog.
        ranks: rank of each item in the catalog, 1 the best; null if it is not recommended.
    """

    scores: list[float]
    above_mean: list[float]
    ranks: list[int | None]


class LayerResponse(Struct):
    """Attention weights of one layer.

    Attributes:
        layer: its name.
        clicks: positions in `clicks` of the response, 0 the first.
        weights: weight of each of them.
        map: for each of them the weights of all, or null.
    """

    layer: str
    clicks: list[int]
    weights: list[float]
    map: list[list[float]] | None


class VoterResponse(Struct):
    """A training session that votes for the explained items, or several with the same items.

    Attributes:
        items: its distinct items; null if the model does not store them.
        similarity: to the explained session.
        vote: contribution to each of its items, of all `count` sessions together.
        session: number of the training session, or null.
        count: number of training sessions with these items.
        titles: title or null of each of `items`, if titles are requested.
    """

    items: list[int | str] | None
    similarity: float
    vote: float
    session: int | None
    count: int
    titles: list[str | None] | UnsetType = UNSET


class LinksResponse(Struct):
    """Neighbors of a clicked item in the temporal item graph, and the weights of their edges."""

    item: int | str
    neighbors: list[int | str]
    weights: list[float]


class TermsResponse(Struct):
    """Contributions whose sum is the score.

    Attributes:
        clicks: for each click, its contribution to each item.
        rest: other contributions to each item, by name.
    """

    clicks: list[list[float]]
    rest: dict[str, list[float]]


class ExplainResponse(Struct, kw_only=True):
    """Why a session gets its items: the fields of `nextclick explain --json`.

    Attributes:
        model: name of the model, as requests name it.
        version: active version of the model.
        clicks: clicks that the model knows, in their order.
        unknown: clicked ids that the model does not know; they are ignored.
        items: explained items.
        now: their ranking for the whole session.
        without: their ranking for the session without each of `clicks`.
        attention: attention layers; empty for a model without attention.
        neighbors: training sessions with the largest votes for the explained items.
        links: graph neighbors of the distinct clicked items.
        parts: contributions to the scores, or null.
        note: a remark for the reader, or null.
        degraded: the session store did not respond; the earlier sessions were not used.
        titles: title or null of each of `items`, if requested.
        click_titles: title or null of each of `clicks`, if requested.
    """

    model: str
    version: str
    clicks: list[int | str]
    unknown: list[int | str]
    items: list[int | str]
    now: RankingResponse
    without: list[RankingResponse]
    attention: list[LayerResponse]
    neighbors: list[VoterResponse]
    links: list[LinksResponse]
    parts: TermsResponse | None
    note: str | None
    degraded: bool = False
    titles: list[str | None] | UnsetType = UNSET
    click_titles: list[str | None] | UnsetType = UNSET
