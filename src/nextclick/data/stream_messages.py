"""Messages of a stream: JSON objects with the fields of a click, or events of a server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.core.event_schema import EVENT_SCHEMA
from nextclick.data.readers.columns import COMMON_NAMES, Columns, normalized_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.data.options import PrepareOptions

MAX_BYTES = 1 << 20
_ROLES = ("session", "user", "item", "time")


class MessageError(ValueError):
    """A message is not a click; the message says why."""


class MessageReader:
    """Finds the fields of a click in messages, by the names that files have.

    All messages of a stream are of one kind, that of the first one: clicks of any program, or
    events that `serve --event-log` writes.

    Args:
        options: the options of the log; its column names may be paths such as `event.item.id`.

    Attributes:
        reads_events: whether the messages are events of a server; None before the first one.
    """

    def __init__(self, options: PrepareOptions):
        self.reads_events: bool | None = None
        requested = options.read.columns.by_role()
        self._by_user = options.sessions.by == "user"
        self._names = {
            role: {normalized_name(name) for name in COMMON_NAMES[role]}
            if role not in requested
            else {requested[role]}
            for role in _ROLES
        }
        self._requested = set(requested) & set(_ROLES)

    def click(self, content: bytes | None) -> dict[str, str | int | float] | None:
        """The session, user, item and time of a message, and the request of an event.

        Returns:
            The fields; None for an event without a click of a live session.

        Raises:
            MessageError: the message is neither a click nor an event, or of another kind than the
                messages before it.
        """
        if content is None or len(content) > MAX_BYTES:
            size = 0 if content is None else len(content)
            raise MessageError(f"it has {size:,} bytes, the limit is {MAX_BYTES:,}")
        try:
            message = json.loads(content)
        except (ValueError, RecursionError):
            raise MessageError("it is not JSON") from None
        if not isinstance(message, dict):
            raise MessageError("it is not a JSON object")
        is_event = message.get("schema") == EVENT_SCHEMA
        click = _event_click(message) if is_event else self._click(message)
        if self.reads_events not in (None, is_event):
            raise MessageError(
                "it is an event of a server among other clicks"
                if is_event
                else "it is no event of a server, as the messages before it"
            )
        self.reads_events = is_event
        return click

    def _click(self, message: dict[str, Any]) -> dict[str, str | int | float]:
        fields = {role: self._field(message, role) for role in _ROLES}
        required = ("item", "time", "user" if self._by_user else "session")
        missing = [role for role in required if fields[role] is None]
        if missing:
            raise MessageError(f"it has no {' and no '.join(missing)} that is text or a number")
        return {role: value for role, value in fields.items() if value is not None}

    def _field(self, message: dict[str, Any], role: str) -> str | int | float | None:
        for name in self._names[role] if role in self._requested else message:
            value: Any = message
            if role in self._requested:
                for key in (name,) if name in message else name.split("."):
                    value = value.get(key) if isinstance(value, dict) else None
            elif normalized_name(name) in self._names[role]:
                value = message[name]
            if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
                return value
        return None


def _event_click(event: dict[str, Any]) -> dict[str, str | int | float] | None:
    """The click of an event; see `serving.events.click_event`."""
    request, session, item, time = (event.get(n) for n in ("request", "session", "item", "time"))
    if not isinstance(request, str) or type(time) is not int:
        raise MessageError("it is an event without a request that is text and a time in ms")
    if session is None or item is None:
        return None
    fields = {"session": session, "item": item, "user": event.get("user")}
    if any(not isinstance(value, str | int) for value in fields.values() if value is not None):
        raise MessageError("it is an event with an id that is neither text nor a number")
    click = {role: str(value) for role, value in fields.items() if value is not None}
    return {"request": request, **click, "time": time}


def click_frame(clicks: Sequence[dict[str, str | int | float]]) -> pl.DataFrame:
    """The clicks as a frame with the columns session, item and time, and user if any has one."""
    columns: dict[str, pl.Series] = {}
    for role in _ROLES:
        values = [click.get(role) for click in clicks]
        numbers = role == "time" and not any(isinstance(value, str) for value in values)
        if any(value is not None for value in values):
            dtype = pl.Float64 if any(isinstance(v, float) for v in values) else pl.Int64
            texts = [None if value is None else str(value) for value in values]
            columns[role] = (
                pl.Series(values, dtype=dtype) if numbers else pl.Series(texts, dtype=pl.String)
            )
    return pl.DataFrame(columns)


def message_options(options: PrepareOptions) -> PrepareOptions:
    """The options of a log, for the frame of its messages."""
    read = options.read
    named = Columns(session=None, user=None, item="item", time="time")
    return replace(
        options,
        read=replace(
            read, format="table", columns=named, separator=None, names=None, table=None,
            records=None, events=None, keep_columns=(), on_bad_row="skip",
        ),
    )  # fmt: skip
