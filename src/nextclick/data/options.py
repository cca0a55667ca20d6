"""Options of `prepare`; every field has a default."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from nextclick.core.allowed_names import AllowedNames
from nextclick.core.config import build_config
from nextclick.core.time_blocks import check_timezone
from nextclick.data.readers.columns import MISSING_WORDS, Columns, Order, SessionsBy
from nextclick.data.readers.text_fields import Quote
from nextclick.data.split import AUTO, PRE_SPLIT, SPLITS

_SHARD_CLICKS = 100_000_000


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options for reading the files of a log."""

    format: Annotated[str, Field(description="log format, by name")] = "table"
    columns: Columns = field(default_factory=Columns)
    separator: Annotated[
        str | None,
        Field(
            description="field separator of text files, such as ';', '::' or tab; "
            "whitespace for runs of spaces"
        ),
    ] = None
    names: Annotated[
        tuple[str, ...] | None,
        Field(
            description="names of the columns of text files without a header, by position, such as "
            "session,item,_,time; _ skips a column"
        ),
    ] = None
    quote: Annotated[
        Quote,
        Field(
            description="quotes of text files: auto parses quoted fields and takes other quotes as "
            'text, none takes all as text, and with " a quote that does not close is a bad row'
        ),
    ] = "auto"
    table: Annotated[
        str | None, Field(description="table of a SQLite or DuckDB database, by name")
    ] = None
    records: Annotated[
        str | None,
        Field(
            description="array of a JSON object, such as events, or column of a table that holds "
            "lists; each element is a row"
        ),
    ] = None
    item_pattern: Annotated[
        str | None,
        Field(
            description="regular expression whose first group is the item, such as "
            "'/product/([^/?]+)'; rows that do not match are not clicks"
        ),
    ] = None
    unit: Annotated[
        str | None,
        Field(description="unit of the times: s, ms, us, ns, excel (days) or iso (text)"),
    ] = None
    time_format: Annotated[
        str | None,
        Field(description="strptime pattern of times as text, such as '%d.%m.%Y %H:%M'"),
    ] = None
    timezone: Annotated[
        str | None,
        Field(description="IANA time zone of times without one, such as Europe/Berlin"),
    ] = None
    missing: Annotated[
        tuple[str, ...],
        Field(
            description="values of an id that mean that there is none, compared without case; an "
            "empty value always does"
        ),
    ] = MISSING_WORDS
    order: Annotated[
        Order,
        Field(
            description="order of the clicks of a session: by time, or as in the file, for logs "
            "without a time column and formats that store days only (diginetica, as in NARM)"
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
        float | None,
        Field(gt=0, description="seconds without a click that end a session"),
    ] = None
    block_days: Annotated[float, Field(gt=0, description="length of a block of time, in days")] = (
        1.0
    )
    block_timezone: Annotated[
        str | None,
        Field(description="IANA time zone of the days of blocks, such as Europe/Berlin"),
    ] = None
    block_hour: Annotated[
        float, Field(ge=0, lt=24, description="hour of the day at which a block begins")
    ] = 0.0


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
    filter_on: Annotated[
        Literal["train", "all"],
        Field(
            description="sessions that count for the support of items and users: the training "
            "part, or all, test included, as in the papers"
        ),
    ] = "train"


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """Split of the sessions into training and test.

    A session belongs to one part as a whole; its time is that of its last click. The test part of
    `auto` is the last day, the last days with many sessions or the last tenth of the sessions, the
    first of these that is large enough; of `last-days`, the last `days`; of `boundary`, the
    sessions that end at `boundary` or later; of `fraction`, the last `fraction` of the sessions; of
    `blocks`, the last `fraction` of the blocks of time. `windows` writes several stores, and
    `pre-split` uses the given files.

    With `auto`, an option of another kind selects that kind: `SplitOptions(days=2)` is a split of
    the kind `last-days`.
    """

    kind: Annotated[
        str,
        AllowedNames(SPLITS, PRE_SPLIT),
        Field(description="where the test starts; sessions are never divided"),
    ] = AUTO
    days: Annotated[
        float | None,
        Field(gt=0, description="length of the test in days, for last-days and windows"),
    ] = None
    boundary: Annotated[
        str | None,
        Field(description="start of the test as ISO time (UTC) or milliseconds, for boundary"),
    ] = None
    fraction: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="share of the test, of the sessions (fraction) or of the blocks of time "
            "(blocks)",
        ),
    ] = None
    windows: Annotated[int | None, Field(ge=1, description="number of windows")] = None
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
        Literal["drop", "miss"] | None,
        Field(
            description="test clicks on items that do not occur in training: drop them, or count "
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

    def resolved(self) -> SplitOptions:
        """Return a copy with the kind that the given options select, and their defaults.

        >>> SplitOptions(days=2).resolved().kind
        'last-days'
        """
        selected = {
            "boundary": self.boundary is not None,
            "windows": self.windows is not None or self.train_days is not None,
            "fraction": self.fraction is not None,
            "last-days": self.days is not None or self.whole_days or self.drop_edge,
        }
        kind = self.kind
        if kind == AUTO:
            kind = next((name for name, is_selected in selected.items() if is_selected), AUTO)
        if kind == AUTO:
            return self
        return replace(
            self,
            kind=kind,
            days=1.0 if self.days is None else self.days,
            fraction=0.1 if self.fraction is None else self.fraction,
            windows=5 if self.windows is None else self.windows,
        )


@dataclass(frozen=True, slots=True)
class ItemOptions:
    """The item table: a file with one row per item, such as its category, brand and price."""

    source: Annotated[
        Any,
        Field(
            description="item table: a file, folder, glob or address with one row per item, in any "
            "form that a log may have; its columns are stored for models with features"
        ),
    ] = None
    id_column: Annotated[str | None, Field(description="column of the item ids of --items")] = None
    catalog: Annotated[
        Literal["clicked", "all"],
        Field(
            description="items that can be recommended: those that training clicks, or also those "
            "of --items without a click, which only a model with features ranks"
        ),
    ] = "clicked"
    kinds: Annotated[
        tuple[str, ...],
        Field(
            description="kind of a column of --items, category, number or text, such as "
            "size=category"
        ),
    ] = ()


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Files of the store."""

    shard_clicks: Annotated[
        int | None,
        Field(
            ge=1,
            description="number of clicks above which a part is divided into shards of about "
            "equal size; results do not depend on it. With --engine spark, a given number lets the "
            "workers write the shards",
        ),
    ] = None

    @property
    def max_clicks(self) -> int:
        """Number of clicks above which a part is divided."""
        return _SHARD_CLICKS if self.shard_clicks is None else self.shard_clicks


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """All options of `prepare`, and the name of the protocol that they follow."""

    read: ReadOptions = field(default_factory=ReadOptions)
    sessions: SessionOptions = field(default_factory=SessionOptions)
    filters: FilterOptions = field(default_factory=FilterOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    item_table: ItemOptions = field(default_factory=ItemOptions)
    protocol: Annotated[
        str | None,
        Field(description="filters and split of a paper; other options override it"),
    ] = None
    store: StoreOptions = field(default_factory=StoreOptions)

    def checked(self) -> PrepareOptions:
        """Return a copy with validated and converted values.

        Raises:
            ConfigError: a value is invalid.
        """
        groups = {
            name: _validated(getattr(self, name), name)
            for name in ("read", "sessions", "filters", "split", "item_table", "store")
        }
        check_timezone(groups["sessions"].block_timezone)
        return replace(self, **groups)


def _validated(group: Any, name: str) -> Any:
    values = {field.name: getattr(group, field.name) for field in fields(group)}
    return build_config(type(group), values, name)
