"""Request and response bodies of the HTTP API; the OpenAPI document is generated from them."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_CLICKS = 1000
MAX_HISTORY = 100  # earlier sessions of a request
MAX_K = 1000
DEFAULT_K = 20
MAX_IDS = 10_000
MAX_BATCH = 256
MAX_TEXT = 256  # characters of an id, a name or a search text
MAX_RESULTS = 100  # items of a search
MAX_CAPS = 10  # columns with a cap
MAX_CONDITION = 2000  # characters of `where`
SESSION_ID = "[A-Za-z0-9._~-]{1,128}"
_INT64_MAX = 2**63 - 1
_MAX_SECONDS = 1e15
_MAX_BOOST = 1e9

ItemId: TypeAlias = (
    Annotated[int, Meta(ge=-_INT64_MAX, le=_INT64_MAX)] | Annotated[str, Meta(max_length=MAX_TEXT)]
)
Seconds: TypeAlias = Annotated[float, Meta(ge=-_MAX_SECONDS, le=_MAX_SECONDS)]
K: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_K)]
ItemIds: TypeAlias = Annotated[list[ItemId], Meta(max_length=MAX_IDS)]
IdText: TypeAlias = Annotated[str, Meta(max_length=MAX_TEXT)]
Boosts: TypeAlias = Annotated[
    dict[IdText, Annotated[float, Meta(gt=0, le=_MAX_BOOST)]], Meta(max_length=MAX_IDS)
]
Pins: TypeAlias = Annotated[
    dict[IdText, Annotated[int, Meta(ge=1, le=MAX_K)]], Meta(max_length=MAX_K)
]
Caps: TypeAlias = Annotated[
    dict[IdText, Annotated[int, Meta(ge=1, le=MAX_K)]], Meta(max_length=MAX_CAPS)
]
Condition: TypeAlias = Annotated[str, Meta(max_length=MAX_CONDITION)]
Share: TypeAlias = Annotated[float, Meta(ge=0, lt=1)]
Seed: TypeAlias = Annotated[int, Meta(ge=0, le=_INT64_MAX)]
Name: TypeAlias = Annotated[str, Meta(max_length=MAX_TEXT)]


class EarlierSession(Struct, kw_only=True, forbid_unknown_fields=True):
    """A session of the visitor that ended before the session of the request.

    Attributes:
        session: item ids in click order.
        time: time of its last click, on the clock of the request's `times`.
        times: time of each click on the same clock, in place of `time`; for models that read how
            long an item was viewed.
    """

    session: Annotated[list[ItemId], Meta(max_length=MAX_CLICKS)]
    time: Seconds | None = None
    times: Annotated[list[Seconds], Meta(max_length=MAX_CLICKS)] | None = None


class ListRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """How a list of recommended items is formed, and what the response adds to it.

    Attributes:
        exclude_seen: exclude the items of the session.
        allow: recommend only these items.
        block: never recommend these items.
        where: a condition on columns of the item table, such as "price >= 10 and stock > 0".
        boost: item to the factor of its score; above 1 raises the item, below 1 lowers it.
        pin: item to its position in the list, from 1.
        cap: column of categories to the largest number of items of each category.
        diversity: weight of the dissimilarity to the items above, from 0 to below 1.
        explore: share of the positions that are filled at random, from 0 to below 1.
        explore_seed: seed of the random items; omit it to draw others for each request.
        explain: add an explanation.
        titles: add the titles of all items in the response.
        model: name of the model; the default is the first one.
    """

    exclude_seen: bool = False
    allow: ItemIds | None = None
    block: ItemIds = []
    where: Condition | None = None
    boost: Boosts = {}
    pin: Pins = {}
    cap: Caps = {}
    diversity: Share | None = None
    explore: Share = 0.0
    explore_seed: Seed | None = None
    explain: bool = False
    titles: bool = False
    model: Name | None = None


class RecommendRequest(ListRequest, kw_only=True, forbid_unknown_fields=True):
    """A session and the items that may be recommended for it.

    Attributes:
        session: item ids in click order, the last click last. Without a click, a user or a history
            is needed, and a model that answers the first click.
        k: number of items; the default is 20, or the size of a smaller catalog.
        times: time of each click in seconds on any clock.
        now: the moment of prediction on the same clock; the default is the last click. A model
            with a graph for each day reads that of its day, if the clock is seconds since 1970.
        user: id of the visitor.
        history: earlier sessions of the visitor, the oldest first; for models that read them. The
            default is the stored sessions of the user that ended before the first of `times`, in
            seconds since 1970, or before `now` if there is no click.
    """

    session: Annotated[list[ItemId], Meta(max_length=MAX_CLICKS)]
    k: K | None = None
    times: Annotated[list[Seconds], Meta(max_length=MAX_CLICKS)] | None = None
    now: Seconds | None = None
    user: ItemId | None = None
    history: Annotated[list[EarlierSession], Meta(max_length=MAX_HISTORY)] = []


class BatchRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Several independent requests."""

    requests: Annotated[list[RecommendRequest], Meta(min_length=1, max_length=MAX_BATCH)]


class EventRequest(ListRequest, kw_only=True, forbid_unknown_fields=True):
    """A click of a live session, and the items that may be recommended after it.

    Attributes:
        item: id of the clicked item.
        time: seconds since 1970, at most a day from now; the default is now. A time before that
            of the previous click is raised to it.
        history: ids of the previous clicks; used only if the session store does not respond.
        k: number of items, 20 by default; 0 stores the click without a recommendation.
        user: id of the visitor. For models that read them, the stored sessions of the visitor that
            ended before this one are its history.
    """

    item: ItemId
    time: Annotated[float, Meta(ge=0, le=_MAX_SECONDS)] | None = None
    history: Annotated[list[ItemId], Meta(max_length=MAX_CLICKS)] = []
    k: Annotated[int, Meta(ge=0, le=MAX_K)] | None = None
    user: ItemId | None = None


class NeighborResponse(Struct):
    """A training session that contributes to the scores, or several with the same items.

    Attributes:
        items: its distinct items.
        similarity: to the session of the request.
        vote: contribution to each of its items, of all `count` sessions together.
        count: number of training sessions with these items.
        titles: title or null of each of `items`, if titles are requested.
    """

    items: list[int | str]
    similarity: float
    vote: float
    count: int
    titles: list[str | None] | UnsetType = UNSET


class ExplanationResponse(Struct):
    """Why these items are recommended.

    Attributes:
        kind: "attention", "neighbors", or null if the model provides neither.
        clicks: the clicks that are explained.
        weights: attention to each of `clicks`.
        neighbors: training sessions with the largest votes.
        note: why there is no explanation.
    """

    kind: str | None
    clicks: list[int | str]
    weights: list[float] | None
    neighbors: list[NeighborResponse] | None
    note: str | None


class RecommendResponse(Struct):
    """Recommended items, best first.

    Attributes:
        model: name of the model.
        version: active version of the model.
        items: at most k item ids.
        scores: score of each item; null for an item that the model did not return: a pinned item,
            one that was drawn at random, or one that was filled from popularity.
        from_model: number of items that the model returned.
        unknown: clicked ids that the model does not know.
        note: a remark for the reader, or null.
        degraded: the session store did not respond; of the session or of the earlier ones, only
            what the request contains was used.
        propensity: probability that each of `items` is shown; missing unless the request explores,
            when it is 1.
        explanation: if requested.
        titles: title or null of each of `items`, if requested.
        session_titles: title or null of each click of the session, if requested.
    """

    model: str
    version: str
    items: list[int | str]
    scores: list[float | None]
    from_model: int
    unknown: list[int | str]
    note: str | None
    degraded: bool = False
    propensity: list[float] | UnsetType = UNSET
    explanation: ExplanationResponse | UnsetType = UNSET
    titles: list[str | None] | UnsetType = UNSET
    session_titles: list[str | None] | UnsetType = UNSET


class BatchResponse(Struct):
    """One response for each request, in the same order."""

    responses: list[RecommendResponse]


class EventResponse(Struct):
    """The result of a click.

    Attributes:
        clicks: number of stored clicks of the session; 1 if the session store did not respond.
        degraded: the session store did not respond, and the click was not stored, or not in the
            history of the visitor.
        recommendation: null if k is 0.
    """

    clicks: int
    degraded: bool
    recommendation: RecommendResponse | None


class ClickResponse(Struct):
    """A click of a live session."""

    item: int | str
    time: float


class SessionResponse(Struct):
    """A live session."""

    id: str
    clicks: list[ClickResponse]
    user: int | str | None


class VisitorResponse(Struct):
    """The stored sessions of a visitor, the oldest first."""

    user: str
    sessions: list[EarlierSession]


class ItemsResponse(Struct):
    """Items that match a search.

    Attributes:
        model: name of the model whose catalog was searched.
        items: item ids; an exact id first, then items with a word in id or title that begins with
            the text, then items that contain it; each group by clicks.
        clicks: training clicks of each of `items`.
        titles: title or null of each of `items`.
    """

    model: str
    items: list[int | str]
    clicks: list[int]
    titles: list[str | None]


class Problem(Struct, omit_defaults=True, kw_only=True):
    """An error in the format of RFC 9457.

    Attributes:
        type: identifier of the kind of problem.
        title: the status as text.
        status: HTTP status.
        detail: the problem and its remedy.
        field: the invalid part of the request.
        problem: what is wrong.
        remedy: how to correct it.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str | None
    problem: str
    remedy: str
