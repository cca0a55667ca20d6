"""The earlier sessions of the visitor in a request."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.core.types import Int32Array, RawId

    RawHistory: TypeAlias = "Sequence[tuple[Sequence[RawId], float | None]]"


def resolve_history(
    indices_of: Callable[[Sequence[RawId]], Int32Array], history: RawHistory, start: float | None
) -> list[tuple[Int32Array, float]]:
    """The known clicks of each earlier session, and its age in seconds.

    The age of an earlier session is the time from its last click to the first click of the session.
    It is NaN if one of the two times is unknown.

    Args:
        indices_of: the indices of raw ids, 0 for an item that the model does not know.
        history: clicks on raw ids and the time of the last click of each earlier session, the
            oldest first.
        start: time of the first click of the session on the same clock, or None.

    Raises:
        ConfigError: an earlier session has no list of ids, is out of order, or does not end before
            the session begins.
    """
    resolved = []
    latest = -math.inf
    for number, (session, time) in enumerate(history):
        if isinstance(session, str):
            raise ConfigError(f"history[{number}] must have a list of item ids, got {session!r}")
        if time is not None:
            if not math.isfinite(time) or time < latest or (start is not None and time >= start):
                raise ConfigError(
                    f"history[{number}] must end after the earlier sessions before it and before "
                    f"the session begins, got {time!r}; list sessions that ended, the oldest first"
                )
            latest = time
        indices = indices_of(list(session))
        age = math.nan if time is None or start is None else start - time
        resolved.append((indices[indices > 0], age))
    return resolved
