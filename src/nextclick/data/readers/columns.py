"""Detection of the columns of a log: session, user, item, time and event."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nextclick.errors import SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMON_NAMES: dict[str, tuple[str, ...]] = {
    "session": ("session_id", "session", "sid", "visit_id", "visit", "playlist_id", "mix_id"),
    "user": (
        "user_id",
        "user",
        "uid",
        "visitor_id",
        "visitor",
        "customer_id",
        "customer",
        "client_id",
        "account_id",
        "member_id",
    ),
    "item": (
        "item_id",
        "item",
        "iid",
        "product_id",
        "product",
        "sku",
        "sku_id",
        "article_id",
        "click_article_id",
        "track_id",
        "song_id",
        "movie_id",
        "video_id",
        "news_id",
        "aid",
        "asin",
        "content_id",
        "page_id",
        "url",
    ),
    "time": (
        "timestamp",
        "time",
        "ts",
        "click_timestamp",
        "event_time",
        "event_timestamp",
        "datetime",
        "date_time",
        "date",
        "created_at",
        "unixtime",
        "unix_timestamp",
        "event_date",
    ),
    "event": ("event", "event_type", "behavior", "behaviour", "behavior_type", "action", "type"),
}


SessionsBy = Literal["auto", "id", "user"]
Order = Literal["time", "file"]


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns of a log; None detects a column by its common names."""

    session: Annotated[str | None, Field(description="column of session ids")] = None
    user: Annotated[str | None, Field(description="column of user ids")] = None
    item: Annotated[str | None, Field(description="column of item ids")] = None
    time: Annotated[str | None, Field(description="column of click times")] = None
    event: Annotated[str | None, Field(description="column of event types")] = None

    def by_role(self) -> dict[str, str]:
        """Return the name of the column of each role that has one."""
        columns = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {role: name for role, name in columns if name is not None}


def resolve_columns(
    requested: Columns, available: Sequence[str], label: str, *, sessions_by: SessionsBy
) -> Columns:
    """Return the column of every role, by its requested name or by one of the common names.

    Args:
        requested: names given by the caller.
        available: columns of the source.
        label: name of the source in messages.
        sessions_by: `id` requires a session column; `user` requires a user column and ignores the
            session column; `auto` requires one of the two.

    Raises:
        SourceError: a requested or a required column does not exist.
    """
    names = {role: _resolve(role, requested, available, label) for role in COMMON_NAMES}
    if sessions_by == "user":
        names["session"] = None
    for role in ("item", "time"):
        if names[role] is None:
            raise SourceError(_missing_column(label, role, available))
    if names["session"] is None and (names["user"] is None or sessions_by == "id"):
        role = "user" if sessions_by == "user" else "session"
        raise SourceError(_missing_column(label, role, available))
    return Columns(**names)


def _resolve(role: str, requested: Columns, available: Sequence[str], label: str) -> str | None:
    name: str | None = getattr(requested, role)
    if name is not None:
        if name in available:
            return name
        raise SourceError(
            f"{label}: there is no column {name!r} (requested as the {role} column): "
            f"{nearest(name, available)}; the file has {', '.join(available)}"
        )
    by_normalized_name = {_normalized(column): column for column in reversed(available)}
    candidates = map(_normalized, COMMON_NAMES[role])
    return next((by_normalized_name[n] for n in candidates if n in by_normalized_name), None)


def _normalized(name: str) -> str:
    """Return lower-case letters and digits up to the first colon.

    `SessionId`, `session_id`, `session-id` and `session_id:token` become the same name.
    """
    return "".join(c for c in name.partition(":")[0].lower() if c.isalnum())


def _missing_column(label: str, role: str, available: Sequence[str]) -> str:
    alternative = ""
    if role == "session":
        alternative = " (or --user-column, to split the clicks of a user at gaps)"
    return (
        f"{label}: no {role} column found among {', '.join(available)}; "
        f"name it with --{role}-column{alternative}"
    )


def check_unique(columns: Sequence[str], label: str) -> None:
    """Check that no two columns have the same name.

    Raises:
        SourceError: two columns have the same name.
    """
    duplicates = [name for name in dict.fromkeys(columns) if name and columns.count(name) > 1]
    if duplicates:
        raise SourceError(f"{label}: duplicate column {duplicates[0]!r}; rename one of the two")
