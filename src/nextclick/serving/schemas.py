"""What requests and answers look like; the OpenAPI document is made of these."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_CLICKS = 1000
MAX_K = 1000
USUAL_K = 20
MAX_IDS = 10_000
MAX_BATCH = 256
MAX_TEXT = 256  # letters of an id, a name, a search
MAX_FOUND = 100  # items of a search
SESSION_ID = "[A-Za-z0-9._~-]{1,128}"
_WIDEST = 2**63 - 1

Raw: TypeAlias = (
    Annotated[int, Meta(ge=-_WIDEST, le=_WIDEST)] | Annotated[str, Meta(max_length=MAX_TEXT)]
)
Seconds: TypeAlias = Annotated[float, Meta(ge=-1e15, le=1e15)]
Top: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_K)]
Ids: TypeAlias = Annotated[list[Raw], Meta(max_length=MAX_IDS)]
Name: TypeAlias = Annotated[str, Meta(max_length=MAX_TEXT)]


class RecommendRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A session, and what may be shown to it.

    Attributes:
        session: item ids in the order of the clicks, the last click last.
        k: how many items; left out it is 20, or all if there are fewer.
        times: when each click was made, in seconds of any clock.
        now: the moment of asking on that clock; left out it is the last click.
        user: whose session it is.
        exclude_seen: leave out what the session has clicked.
        allow: show only these items.
        block: never show these items.
        explain: give reasons, as far as the model has any.
        titles: add the titles of the items that are named.
        model: which of the served models; left out it is the first one.
    """

    session: Annotated[list[Raw], Meta(min_length=1, max_length=MAX_CLICKS)]
    k: Top | None = None
    times: Annotated[list[Seconds], Meta(max_length=MAX_CLICKS)] | None = None
    now: Seconds | None = None
    user: Raw | None = None
    exclude_seen: bool = False
    allow: Ids | None = None
    block: Ids = []
    explain: bool = False
    titles: bool = False
    model: Name | None = None


class BatchRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Several sessions at once; none influences another."""

    requests: Annotated[list[RecommendRequest], Meta(min_length=1, max_length=MAX_BATCH)]


class EventRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A click of a live session, and what may be shown after it.

    Attributes:
        item: what was clicked.
        time: when, in seconds since 1970; left out it is now. One that is earlier than that of
            the click before counts as made with it.
        before: the clicks before it, as the client knows them; read only if live sessions cannot
            be reached.
        k: how many items; 0 only takes note of the click, left out it is 20.
    """

    item: Raw
    time: Seconds | None = None
    before: Annotated[list[Raw], Meta(max_length=MAX_CLICKS)] = []
    k: Annotated[int, Meta(ge=0, le=MAX_K)] | None = None
    user: Raw | None = None
    exclude_seen: bool = False
    allow: Ids | None = None
    block: Ids = []
    explain: bool = False
    titles: bool = False
    model: Name | None = None


class ActivateRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which version of a model is to answer: its name, or its folder.

    Attributes:
        model: which of the served models.
        version: a version of its registry.
        path: the folder of a version, below the folder that is served.
    """

    model: Name | None = None
    version: Name | None = None
    path: Annotated[str, Meta(max_length=4096)] | None = None


class VoterAnswer(Struct):
    """A session of the training log that votes for what is recommended.

    Attributes:
        titles: of each of `items`, or null; if they were asked for.
    """

    items: list[int | str]
    similarity: float
    vote: float
    titles: list[str | None] | UnsetType = UNSET


class ReasonsAnswer(Struct):
    """Why these items.

    Attributes:
        kind: "attention", "neighbors", or null where the model has neither.
        clicks: the clicks that the model reads.
        weights: attention to each of `clicks`.
        neighbors: sessions of the training log that vote most.
        note: why there is nothing.
    """

    kind: str | None
    clicks: list[int | str]
    weights: list[float] | None
    neighbors: list[VoterAnswer] | None
    note: str | None


class RecommendAnswer(Struct):
    """Recommended items, best first.

    Attributes:
        model: who answered.
        version: of that model.
        items: at most k item ids.
        scores: of each item; null for a popular one that the model did not name.
        from_model: how many of `items` the model named.
        unknown: clicked ids that the model does not know.
        note: what a person should know, or null.
        degraded: live sessions could not be reached: only the clicks of the request were read.
        reasons: if they were asked for.
        titles: of each of `items`, or null; if they were asked for.
        session_titles: the same of each click of the session.
    """

    model: str
    version: str
    items: list[int | str]
    scores: list[float | None]
    from_model: int
    unknown: list[int | str]
    note: str | None
    degraded: bool = False
    reasons: ReasonsAnswer | UnsetType = UNSET
    titles: list[str | None] | UnsetType = UNSET
    session_titles: list[str | None] | UnsetType = UNSET


class BatchAnswer(Struct):
    """An answer for each request, in their order."""

    answers: list[RecommendAnswer]


class EventAnswer(Struct):
    """What the click did.

    Attributes:
        clicks: how many clicks of the session are kept; 1 if it could not be reached.
        degraded: live sessions could not be reached, and the click is lost.
        recommended: what to show; null if k is 0.
    """

    clicks: int
    degraded: bool
    recommended: RecommendAnswer | None


class ClickAnswer(Struct):
    """A click of a live session."""

    item: int | str
    time: float


class SessionAnswer(Struct):
    """A live session."""

    id: str
    clicks: list[ClickAnswer]
    user: int | str | None


class ModelAnswer(Struct, kw_only=True):
    """A served model.

    Attributes:
        name: as requests name it.
        model: what it is, such as "narm".
        version: that answers now.
        loaded: seconds since 1970.
        items: of the catalog.
        titles: how many of them have a title.
        reads: what it reads besides clicks.
        config: its parameters.
        trained: on what and how.
        search: "all" if every item is scored, "bounds" if bounds rule most of them out; and of the
            best 20 that scoring all finds, which share that found when the model was loaded, in how
            many requests. With "caution" below 1 it is not exact: that part of each bound counts.
        refused: versions that were not taken, and why.
        versions: of its registry, which may be activated.
    """

    name: str
    model: str
    version: str
    loaded: float
    items: int
    titles: int
    reads: list[str]
    config: dict[str, Any]
    trained: dict[str, Any]
    search: dict[str, Any]
    refused: dict[str, str]
    versions: list[str]


class ModelsAnswer(Struct):
    """All served models; the first one answers who names none."""

    models: list[ModelAnswer]


class ItemsAnswer(Struct):
    """Items that were found.

    Attributes:
        model: in whose catalog.
        items: ids; those in whose id or title a word begins with the text come first, then the
            most clicked.
        clicks: of each of `items` in training.
        titles: of each of `items`, or null.
    """

    model: str
    items: list[int | str]
    clicks: list[int]
    titles: list[str | None]


class Problem(Struct, omit_defaults=True, kw_only=True):
    """What is wrong, as RFC 9457 has it.

    Attributes:
        type: a name of the kind of problem.
        title: the status in words.
        status: of the answer.
        detail: what is wrong, and what to do about it.
        field: the part of the request that is at fault.
        problem: what is wrong.
        remedy: what to do about it.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str | None
    problem: str
    remedy: str
