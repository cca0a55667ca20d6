"""The earlier sessions of the visitor in a request."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nextclick.core.session_history import EarlierClicks, dwell_times
from nextclick.core.sessions import MS_PER_SECOND
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.core.types import BoolArray, Float32Array, Int32Array, RawId

    RawHistory: TypeAlias = "Sequence[tuple[Sequence[RawId], float | Sequence[float] | None]]"


def resolve_history(
    indices_of: Callable[[Sequence[RawId]], Int32Array], history: RawHistory, start: float | None
) -> list[EarlierClicks]:
    """The known clicks of each earlier session, its age, and the dwell times of its clicks.

    The age of an earlier session is the time from its last click to the first click of the session.
    It is NaN if one of the two times is unknown.

    Args:
        indices_of: the indices of raw ids, 0 for an item that the model does not know.
        history: clicks on raw ids of each earlier session, the oldest first, and the time of its
            last click, of each click, or None.
        start: time of the first click of the session on the same clock, or None.

    Raises:
        ConfigError: an earlier session has no list of ids, is out of order, does not end before
            the session begins, or has another number of times or times that decrease.
    """
    resolved = []
    latest = -math.inf
    for number, (session, given) in enumerate(history):
        if isinstance(session, str):
            raise ConfigError(f"history[{number}] must have a list of item ids, got {session!r}")
        indices = indices_of(list(session))
        known = indices > 0
        time: float | None
        if isinstance(given, Iterable):
            time, dwells = _times_of_clicks(number, list(given), known)
        else:
            time, dwells = given, None
        if time is not None:
            if not math.isfinite(time) or time < latest or (start is not None and time >= start):
                raise ConfigError(
                    f"history[{number}] must end after the earlier sessions before it and before "
                    f"the session begins, got {time!r}; list sessions that ended, the oldest first"
                )
            latest = time
        age = math.nan if time is None or start is None else start - time
        resolved.append(EarlierClicks(indices[known], age, dwells))
    return resolved


def _times_of_clicks(
    number: int, times: list[float], known: BoolArray
) -> tuple[float | None, Float32Array]:
    """The time of the last click, None without clicks, and the dwell times of the known clicks."""
    seconds = np.array(times, dtype=np.float64)
    finite = bool(np.isfinite(seconds).all())
    if len(times) != len(known) or not finite or (seconds[1:] < seconds[:-1]).any():
        raise ConfigError(
            f"history[{number}] must have a finite time for each of its {len(known)} clicks, none "
            f"before that of the click before, got {times!r}; or give the time of the last click"
        )
    milliseconds = np.round(seconds[known] * MS_PER_SECOND).astype(np.int64)
    dwells = dwell_times(milliseconds, np.zeros(len(milliseconds), dtype=np.int64))
    return (times[-1] if times else None), dwells
