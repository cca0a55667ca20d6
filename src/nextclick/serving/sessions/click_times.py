"""The times of a live session: gaps between its clicks, and how long ago the last one was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import BoolArray, Float32Array, Float64Array


def read_times(
    known: BoolArray, times: Sequence[float] | None, now: float | None
) -> tuple[Float32Array | None, float]:
    """What a batch has of a session as `gaps` (T,) and `waited`; None if nobody knows any time.

    A click on an unknown item is passed over: the gap of the next one reaches back over it.

    Args:
        known: (n,) bool, which of its clicks the model knows, T in all.
        times: n seconds of any clock.
        now: on the same clock; None is the last click.

    Raises:
        ConfigError: times that do not fit the clicks, fall, or are not finite.
    """
    if times is None:
        if now is not None:
            raise ConfigError("now needs times: give the time of each click on the same clock")
        return None, 0.0
    clicks = _checked(times, len(known), now)[known]
    gaps = np.zeros(len(clicks), dtype=np.float32)
    gaps[1:] = clicks[1:] - clicks[:-1]
    return gaps, 0.0 if now is None or len(clicks) == 0 else float(now - clicks[-1])


def _checked(clock: Sequence[float], n: int, now: float | None) -> Float64Array:
    """(n,) seconds of the clicks."""
    try:
        seconds = np.array([*clock, *([] if now is None else [now])], dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"times and now must be seconds, got {clock!r} and {now!r}") from None
    if len(clock) != n or seconds.ndim != 1:
        raise ConfigError(f"times must be one number for each of {n} clicks, got {clock!r}")
    if not np.isfinite(seconds).all() or (seconds[1:] < seconds[:-1]).any():
        raise ConfigError(f"times must be finite and never fall, now last; got {clock!r}, {now!r}")
    return seconds[:n]
