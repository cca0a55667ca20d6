"""What is known about a session besides its items, for `recommend` and `explain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from nextclick.cli.dataclass_options import OptionGroup
from nextclick.cli.parsing import parse_seconds


@dataclass(frozen=True, slots=True)
class SessionContext:
    """The times of the clicks, the moment of prediction, and the user."""

    times: Annotated[
        list[float] | None,
        Field(description="time of each click in seconds, such as 0,12.5,40; any origin"),
    ] = None
    now: Annotated[
        float | None, Field(description="moment of prediction in seconds, with the same origin")
    ] = None
    user: Annotated[str | None, Field(description="user of the session")] = None


SESSION = OptionGroup(
    "Session",
    defaults={"now": "the last click", "user": "anonymous"},
    parse={"times": parse_seconds},
)
