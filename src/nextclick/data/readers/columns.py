"""Detection of the columns of a log: session, user, item, time and event."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nextclick.errors import SourceError, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# in the order of preference; spellings such as SessionId, session-id and SESSION_ID are the same
COMMON_NAMES: dict[str, tuple[str, ...]] = {
    "session": (
        "session_id",
        "session",
        "sid",
        "sess_id",
        "sess",
        "user_session",
        "session_key",
        "session_hash",
        "session_id_hash",
        "session_no",
        "session_num",
        "session_number",
        "id_session",
        "ga_session_id",
        "visit_id",
        "visit",
        "visit_key",
        "id_visit",
        "playlist_id",
        "mix_id",
    ),
    "user": (
        "user_id",
        "user",
        "uid",
        "id_user",
        "user_key",
        "user_hash",
        "user_pseudo_id",
        "visitor_id",
        "visitor",
        "full_visitor_id",
        "id_visitor",
        "customer_id",
        "customer",
        "client_id",
        "account_id",
        "member_id",
        "profile_id",
        "reviewer_id",
        "anonymous_id",
        "cookie_id",
        "cookie",
        "device_id",
        "username",
    ),
    "item": (
        "item_id",
        "item",
        "iid",
        "id_item",
        "product_id",
        "product",
        "id_product",
        "product_sku",
        "product_sku_hash",
        "sku",
        "sku_id",
        "article_id",
        "article",
        "click_article_id",
        "id_article",
        "track_id",
        "track",
        "song_id",
        "movie_id",
        "video_id",
        "news_id",
        "business_id",
        "venue_id",
        "location_id",
        "poi_id",
        "aid",
        "asin",
        "parent_asin",
        "content_id",
        "content_ids",
        "content",
        "page_id",
        "page_location",
        "page_path",
        "page_url",
        "url",
        "reference",
    ),
    "time": (
        "timestamp",
        "time",
        "ts",
        "click_timestamp",
        "click_time",
        "timestamp_ms",
        "event_time",
        "event_timestamp",
        "server_timestamp",
        "server_timestamp_epoch_ms",
        "datetime",
        "date_time",
        "visit_time",
        "local_time",
        "unix_review_time",
        "timestamp_gmt",
        "utc_time",
        "date",
        "created_at",
        "received_at",
        "unixtime",
        "unix_timestamp",
        "t_dat",
        "event_date",
        "dt",
        "day",
    ),
    "event": (
        "event",
        "event_type",
        "event_name",
        "behavior",
        "behaviour",
        "behavior_type",
        "action",
        "action_type",
        "interaction_type",
        "interaction",
        "type",
        "hit_type",
    ),
}
# values that mean that there is no id, compared without case
MISSING_WORDS = (
    "NA",
    "N/A",
    "NaN",
    "null",
    "None",
    "nil",
    "undefined",
    "(not set)",
    "(none)",
    "(null)",
    "[null]",
    "<NA>",
    "#N/A",
    "NaT",
    "\\N",
)
# parts of names that suggest a role
_HINTS = {
    "session": ("session", "sess", "visit"),
    "event": ("event", "action", "behavior", "behaviour"),
}
_ID_WORDS = {"id", "sku", "iid", "aid", "asin"}
KEY_SEPARATOR = "+"  # joins the names of the columns of a session key


SessionsBy = Literal["auto", "id", "user"]
Order = Literal["time", "file"]


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns of a log; None detects a column by its common names."""

    session: Annotated[
        str | None,
        Field(
            description="column of session ids, or a key of columns such as user_id+session_id if "
            "several users have the same session id"
        ),
    ] = None
    user: Annotated[str | None, Field(description="column of user ids")] = None
    item: Annotated[str | None, Field(description="column of item ids")] = None
    time: Annotated[str | None, Field(description="column of click times")] = None
    event: Annotated[str | None, Field(description="column of event types")] = None

    def by_role(self) -> dict[str, str]:
        """Return the name of the column of each role that has one."""
        columns = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {role: name for role, name in columns if name is not None}


def resolve_columns(
    requested: Columns,
    available: Sequence[str],
    label: str,
    *,
    sessions_by: SessionsBy | Literal["row"],
    needs_time: bool = True,
) -> Columns:
    """Return the column of every role, by its requested name or by one of the common names.

    Args:
        requested: names given by the caller.
        available: columns of the source.
        label: name of the source in messages.
        sessions_by: `id` requires a session column; `user` requires a user column and ignores the
            session column; `auto` requires one of the two, `row` neither.
        needs_time: False for a log whose order of rows is the order of clicks.

    Raises:
        SourceError: a requested or a required column does not exist.
    """
    names = {role: _resolve(role, requested, available, label) for role in COMMON_NAMES}
    if sessions_by == "user":
        names["session"] = None
    for role in ("item", "time") if needs_time else ("item",):
        if names[role] is None:
            raise SourceError(_missing_column(label, role, available))
    needs_session = sessions_by == "id" or (sessions_by != "row" and names["user"] is None)
    if names["session"] is None and needs_session:
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
            f"{nearest(name, available)}; the file has {listed(available)}"
        )
    for ends in _path_ends(available):
        found = _common_name(COMMON_NAMES[role], ends, label, f"--{role}-column")
        if found is not None:
            return found
    return None


# columns of an item table that identify its rows, those that name ids first
ITEM_ID_NAMES = (
    *(n for n in COMMON_NAMES["item"] if n == "item" or _ID_WORDS & set(n.split("_"))),
    "id",
    *(n for n in COMMON_NAMES["item"] if n != "item" and not _ID_WORDS & set(n.split("_"))),
)


def item_id_column(requested: str | None, available: Sequence[str], label: str) -> str:
    """Return the column of the item ids of an item table.

    Raises:
        SourceError: the requested column, or a column with a common name, does not exist.
    """
    if requested is not None:
        if requested in available:
            return requested
        raise SourceError(
            f"{label}: there is no column {requested!r} (--items-id-column): "
            f"{nearest(requested, available)}; the item table has {listed(available)}"
        )
    for ends in _path_ends(available):
        found = _common_name(ITEM_ID_NAMES, ends, label, "--items-id-column")
        if found is not None:
            return found
    raise SourceError(
        f"{label}: no column of item ids found among {listed(available)}; name it with "
        "--items-id-column"
    )


def has_common_name(role: str, available: Sequence[str]) -> bool:
    """Return whether a column has one of the common names of a role."""
    names = {normalized_name(name) for name in COMMON_NAMES[role]}
    return any(normalized_name(end) in names for ends in _path_ends(available) for end in ends)


def _path_ends(available: Sequence[str]) -> Iterator[dict[str, list[str]]]:
    """Yield the columns by name, then by the ends of the paths of nested fields.

    `item_id` is preferred to `event.item_id`, and `event.item.id` is an item as well.
    """
    for n_left_out in range(1 + max((name.count(".") for name in available), default=0)):
        ends: dict[str, list[str]] = {}
        for name in available:
            keys = name.split(".")[n_left_out:]
            if keys:
                ends.setdefault(".".join(keys), []).append(name)
        yield ends


def _common_name(
    names: Sequence[str], ends: Mapping[str, list[str]], label: str, option: str
) -> str | None:
    for common in names:
        spellings = [
            c for end in ends if normalized_name(end) == normalized_name(common) for c in ends[end]
        ]
        exact = ends.get(common, [])
        if len(exact) == 1 or len(spellings) == 1:
            return (exact if len(exact) == 1 else spellings)[0]
        if spellings:
            found = listed([repr(name) for name in spellings], 3)
            raise SourceError(
                f"{label}: the columns {found} have the same name but for its spelling or its "
                f"path; name the column with {option}"
            )
    return None


def key_columns(name: str | None, available: Sequence[str]) -> list[str]:
    """Return the columns of a session key such as `user_id+session_id`, or an empty list.

    A name that is a column itself, or that contains an unknown column, is not a key.
    """
    if name is None or name in available or KEY_SEPARATOR not in name:
        return []
    parts = [part.strip() for part in name.split(KEY_SEPARATOR)]
    return parts if set(parts) <= set(available) else []


def unused_columns(columns: Columns, available: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns whose names suggest a session or an event type, for roles without one."""
    used = set(columns.by_role().values())
    names = {c: normalized_name(c) for c in available if c not in used}
    return {
        role: [
            c
            for c, name in names.items()
            if any(h in name for h in hints) and not _is_measure(name)
        ]
        for role, hints in _HINTS.items()
        if getattr(columns, role) is None
    }


def _is_measure(normalized: str) -> bool:
    """Return whether a name such as `eventdate` or `session_size` suggests a time or a number."""
    return any(part in normalized for part in ("date", "time", "start", "end", "size", "length"))


def normalized_name(name: str) -> str:
    """Return lower-case letters and digits up to the first colon.

    `SessionId`, `session_id`, `session-id` and `session_id:token` become the same name.
    """
    return "".join(c for c in name.partition(":")[0].lower() if c.isalnum())


def _missing_column(label: str, role: str, available: Sequence[str]) -> str:
    alternative = ""
    if role == "session":
        alternative = " (or --user-column, to split the clicks of a user at gaps)"
    elif role == "time":
        alternative = " (or add --order file, if the rows are in the order of the clicks)"
    return (
        f"{label}: no {role} column found among {listed(available)}; "
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
