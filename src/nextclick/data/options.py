"""Options of `prepare`; every field has a default."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from nextclick.core.allowed_names import AllowedNames
from nextclick.core.config import build_config
from nextclick.data.readers.columns import Columns, Order, SessionsBy
from nextclick.data.split import PRE_SPLIT, SPLITS


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options for reading the files of a log."""

    format: Annotated[str, Field(description="log format, by name")] = "table"
    columns: Columns = field(default_factory=Columns)
    separator: Annotated[
        str | None, Field(description="field separator of text files, one character or tab")
    ] = None
    unit: Annotated[str | None, Field(description="unit of the times: s, ms, us, ns or iso")] = None
    order: Annotated[
        Order,
        Field(
            description="order of the clicks of a session: by time, or as in the file, for formats "
            "that store days only (diginetica, as in NARM)"
        ),
    ] = "time"
    events: Annotated[
        tuple[str, ...] | None,
        Field(description="event types that count as clicks, such as view,cart"),
    ] = None
    keep_columns: Annotated[
        tuple[str, ...],
        Field(
            description="columns whose value of each session is stored, for `evaluate --by COLUMN`"
        ),
    ] = ()
    on_bad_row: Annotated[
        Literal["error", "skip"],
        Field(description="stop at the first unreadable row, or skip and count such rows"),
    ] = "error"


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Options for grouping clicks into sessions and blocks of time."""

    by: Annotated[
        SessionsBy,
        Field(
            description="use the session column (id), split the clicks of a user at gaps (user), "
            "or use the session column if there is one (auto)"
        ),
    ] = "auto"
    gap_seconds: Annotated[
        float, Field(gt=0, description="seconds without a click that end a session")
    ] = 3600.0
    block_days: Annotated[float, Field(gt=0, description="length of a block of time, in days")] = (
        1.0
    )


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """Filters that drop rare items, rare users, and short or long sessions."""

    min_item_support: Annotated[
        int | None, Field(ge=1, description="minimum number of clicks of an item")
    ] = None
    min_session_length: Annotated[
        int, Field(ge=1, description="minimum number of clicks of a session")
    ] = 2
    max_session_length: Annotated[
        int | None, Field(ge=2, description="drop sessions with more clicks (robots)")
    ] = None
    min_user_sessions: Annotated[
        int, Field(ge=1, description="minimum number of sessions of a user")
    ] = 1
    iterate: Annotated[
        bool,
        Field(
            description="repeat the filters until nothing changes, or apply them once as in the "
            "papers: short sessions, then rare items, then short sessions"
        ),
    ] = True
    collapse_repeats: Annotated[
        bool, Field(description="count consecutive clicks on one item once")
    ] = False


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """Split of the sessions into training and test.

    A session belongs to one part as a whole; its time is that of its last click. The test part of
    `last-days` is the last `days`; of `boundary`, the sessions that end at `boundary` or later; of
    `fraction`, the last `fraction` of the sessions; of `blocks`, the last `fraction` of the blocks
    of time. `windows` writes several stores, and `pre-split` uses the given files.
    """

    kind: Annotated[
        str,
        AllowedNames(SPLITS, PRE_SPLIT),
        Field(description="where the test starts; sessions are never divided"),
    ] = "last-days"
    days: Annotated[
        float, Field(gt=0, description="length of the test in days, for last-days and windows")
    ] = 1.0
    boundary: Annotated[
        str | None,
        Field(description="start of the test as ISO time (UTC) or milliseconds, for boundary"),
    ] = None
    fraction: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="share of the test, of the sessions (fraction) or of the blocks of time "
            "(blocks)",
        ),
    ] = 0.1
    windows: Annotated[int, Field(ge=1, description="number of windows")] = 5
    train_days: Annotated[
        float | None,
        Field(gt=0, description="length of the training part of a window in days"),
    ] = None
    whole_days: Annotated[
        bool, Field(description="for last-days: compare calendar days (UTC), or exact times")
    ] = False
    drop_edge: Annotated[
        bool,
        Field(
            description="drop sessions exactly on the boundary, as SR-GNN does (with whole days, "
            "those of the day before the test), or test on them"
        ),
    ] = False
    valid_fraction: Annotated[
        float,
        Field(ge=0, lt=1, description="share of the training sessions, the latest, for validation"),
    ] = 0.1
    recent: Annotated[
        int, Field(ge=1, description="train on the most recent 1/N of the training samples")
    ] = 1
    unseen: Annotated[
        Literal["drop", "keep"] | None,
        Field(
            description="test clicks on items that do not occur in training: drop them, or keep "
            "them as misses"
        ),
    ] = None
    unseen_users: Annotated[
        Literal["drop", "keep"],
        Field(
            description="test sessions of users that do not occur in training: drop them, or keep "
            "them as anonymous"
        ),
    ] = "keep"


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """All options of `prepare`, and the name of the protocol that they follow."""

    read: ReadOptions = field(default_factory=ReadOptions)
    sessions: SessionOptions = field(default_factory=SessionOptions)
    filters: FilterOptions = field(default_factory=FilterOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    protocol: Annotated[
        str | None,
        Field(description="filters and split of a paper; other options override it"),
    ] = None

    def checked(self) -> PrepareOptions:
        """Return a copy with validated and converted values.

        Raises:
            ConfigError: a value is invalid.
        """
        groups = {
            name: _validated(getattr(self, name), name)
            for name in ("read", "sessions", "filters", "split")
        }
        return replace(self, **groups)


def _validated(group: Any, name: str) -> Any:
    values = {field.name: getattr(group, field.name) for field in fields(group)}
    return build_config(type(group), values, name)
