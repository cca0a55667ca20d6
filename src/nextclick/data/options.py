"""What a caller can say about preparing a log; every field has a default that is sensible."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from nextclick.core.config import Choice, build_config
from nextclick.data.readers.columns import Columns, SessionsBy
from nextclick.data.readers.formats import Order
from nextclick.data.split import PRE_SPLIT, SPLITS


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How the files are read.

    Attributes:
        format: name of the log format (see `dialects`).
        columns: names of the columns, None where they are to be found.
        separator: of text files, None to find it.
        unit: of the times (s, ms, us, ns, iso), None to find it.
        order: for formats that know it: clicks of a session by time, or as the file has them.
        events: event types to keep; None keeps what the format calls a click.
        on_bad_row: stop at the first row that cannot be read, or skip and count such rows.
    """

    format: str = "table"
    columns: Columns = field(default_factory=Columns)
    separator: str | None = None
    unit: str | None = None
    order: Order = "time"
    events: tuple[str, ...] | None = None
    on_bad_row: Literal["error", "skip"] = "error"


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How clicks become sessions.

    Attributes:
        by: `id` takes the session column, `user` cuts a user's clicks where they pause, `auto`
            takes the session column where there is one.
        gap_seconds: the pause that ends a session.
        block_days: length of a block of time in days.
    """

    by: SessionsBy = "auto"
    gap_seconds: Annotated[float, Field(gt=0)] = 3600.0
    block_days: Annotated[float, Field(gt=0)] = 1.0


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """What is too rare or too short to learn from.

    Attributes:
        min_item_support: clicks that an item needs; None is 5, or 1 for a log that is split.
        min_session_length: clicks that a session needs.
        max_session_length: clicks beyond which a session is dropped (robots); None keeps all.
        min_user_sessions: sessions that a user needs; users are not looked at when it is 1.
        iterate: repeat until nothing changes; False makes the papers' single pass, which drops
            short sessions, then rare items, then short sessions.
        collapse_repeats: count clicks on one item in a row as one click.
    """

    min_item_support: Annotated[int, Field(ge=1)] | None = None
    min_session_length: Annotated[int, Field(ge=1)] = 2
    max_session_length: Annotated[int, Field(ge=2)] | None = None
    min_user_sessions: Annotated[int, Field(ge=1)] = 1
    iterate: bool = True
    collapse_repeats: bool = False


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """Which sessions are for training and which for the test; always whole sessions, by time.

    A session's time is that of its last click.

    Attributes:
        kind: a name of `split.SPLITS`, or `pre-split` for a log that comes in two parts.
        days: length of the test part, for `last-days` and `windows`.
        boundary: ISO time or milliseconds since the epoch, UTC.
        fraction: share of the test part.
        windows: how many windows.
        train_days: length of the training part of a window; None goes back to the first click.
        whole_days: for `last-days`: compare calendar days (UTC), not moments.
        drop_edge: drop sessions exactly on the boundary (with `whole_days`, of the day before the
            last `days`), as SR-GNN does; else those on the boundary are tested.
        valid_fraction: share of the training sessions, the last in time, that validate.
        recent: keep the most recent 1/recent of the training samples.
        unseen: clicks of the test part on items that are not in training: `drop` them, or `keep`
            them as certain misses; None keeps them for a log that is split or when recent > 1.
        unseen_users: test sessions of users that are not in training: `drop` them, or `keep` them
            as of somebody unknown.
    """

    kind: Annotated[str, Choice(SPLITS, PRE_SPLIT)] = "last-days"
    days: Annotated[float, Field(gt=0)] = 1.0
    boundary: str | None = None
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    windows: Annotated[int, Field(ge=1)] = 5
    train_days: Annotated[float, Field(gt=0)] | None = None
    whole_days: bool = False
    drop_edge: bool = False
    valid_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    recent: Annotated[int, Field(ge=1)] = 1
    unseen: Literal["drop", "keep"] | None = None
    unseen_users: Literal["drop", "keep"] = "keep"


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """All options of `prepare`, and the name of the protocol that they come from."""

    read: ReadOptions = field(default_factory=ReadOptions)
    sessions: SessionOptions = field(default_factory=SessionOptions)
    filters: FilterOptions = field(default_factory=FilterOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    protocol: str | None = None

    def checked(self) -> PrepareOptions:
        """Return the same, every value of it checked and converted.

        Raises:
            ConfigError: a value out of its range.
        """
        groups = {
            owner: _checked(getattr(self, owner), owner)
            for owner in ("read", "sessions", "filters", "split")
        }
        return replace(self, **groups)


def _checked(group: Any, owner: str) -> Any:
    values = {field.name: getattr(group, field.name) for field in fields(group)}
    return build_config(type(group), values, owner)
