"""Which column of a log holds what."""

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
    "event": ("event", "event_type", "behavior", "behavior", "behavior_type", "action", "type"),
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

    def named(self) -> dict[str, str]:
        """The roles that have a column."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {role: name for role, name in pairs if name is not None}


def resolve(asked: Columns, available: Sequence[str], label: str, *, by: SessionsBy) -> Columns:
    """Find every column, by the name asked for or by one of the common names.

    Args:
        asked: what the caller named.
        available: the columns that the source has.
        label: the source, for messages.
        by: `id` needs a session column, `user` needs a user column and looks for no other, whose
            clicks are to be cut into sessions; `auto` takes what there is.

    Raises:
        SourceError: a column that was asked for, or one that is needed, is not there.
    """
    found = {role: _find(role, asked, available, label) for role in COMMON_NAMES}
    if by == "user":
        found["session"] = None
    for role in ("item", "time"):
        if found[role] is None:
            raise SourceError(_missing(label, role, available))
    if found["session"] is None and (found["user"] is None or by == "id"):
        role = "user" if by == "user" else "session"
        raise SourceError(_missing(label, role, available))
    return Columns(**found)


def _find(role: str, asked: Columns, available: Sequence[str], label: str) -> str | None:
    name: str | None = getattr(asked, role)
    if name is not None:
        if name in available:
            return name
        raise SourceError(
            f"{label}: there is no column {name!r} (asked for as the {role} column): "
            f"{nearest(name, available)}; the file has {', '.join(available)}"
        )
    plain = {_plain(column): column for column in reversed(available)}
    return next((plain[_plain(n)] for n in COMMON_NAMES[role] if _plain(n) in plain), None)


def _plain(name: str) -> str:
    """`SessionId`, `session_id` and `session-id` are the same name; so is `user_id:token`."""
    bare = name.partition(":")[0]
    return "".join(c for c in bare.lower() if c.isalnum())


def _missing(label: str, role: str, available: Sequence[str]) -> str:
    also = " (or --user-column, to cut sessions by inactivity)" if role == "session" else ""
    return (
        f"{label}: no {role} column found among {', '.join(available)}; "
        f"name it with --{role}-column{also}"
    )
