"""The record of a click, with the items that were shown after it."""

from __future__ import annotations

import msgspec

from nextclick.core.event_schema import EVENT_SCHEMA
from nextclick.core.types import RawId  # noqa: TC001 (msgspec reads the annotation)


class ClickEvent(msgspec.Struct, tag_field="schema", tag=EVENT_SCHEMA):
    """A line of the event log, or a message of its topic or stream.

    Attributes:
        request: random id of the request.
        time: milliseconds since the epoch; of the click, for a live session.
        session: id of the live session; null for a request without one.
        user: id of the user, if the request has one.
        model: name of the model that answered.
        version: its version.
        item: the item that was clicked, the last one of the request; null for a request of the
            first click.
        items: the items that were shown, best first: position 1, 2, …
        propensity: for each of them, the probability that it is shown; 1 without exploration.
        arm: version of an A/B test that the session or its visitor is assigned to, or None.
        received: milliseconds since the epoch, by the clock of the server.
    """

    request: str
    time: int
    session: str | None
    user: RawId | None
    model: str
    version: str
    item: RawId | None
    items: list[RawId]
    propensity: list[float]
    arm: str | None
    received: int


encode_event = msgspec.json.Encoder().encode
