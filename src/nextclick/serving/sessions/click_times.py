"""Gaps between the clicks of a session, and the time since its last click."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import BoolArray, Float32Array, Float64Array


def relative_times(
    known: BoolArray, times: Sequence[float] | None, now: float | None
) -> tuple[Float32Array | None, float]:
    """Gaps (T,) in seconds and the time since the last click; gaps are None if times are unknown.

    Clicks on unknown items are ignored: the next gap spans them.

    Args:
        known: (n,) bool, clicks on known items, T in all.
        times: n seconds on any clock, or None.
        now: the moment of prediction on the same clock; None is the last click.

    Raises:
        ConfigError: times do not match the clicks, decrease, or are not finite.
    """
    if times is None:
        if now is not None and len(known):
            raise ConfigError("now needs times: give the time of each click on the same clock")
        return None, 0.0
    clicks = _validated(times, len(known), now)[known]
    gaps = np.zeros(len(clicks), dtype=np.float32)
    gaps[1:] = clicks[1:] - clicks[:-1]
    return gaps, 0.0 if now is None or len(clicks) == 0 else float(now - clicks[-1])


def _validated(clock: Sequence[float], n: int, now: float | None) -> Float64Array:
    """(n,) click times in seconds."""
    try:
        seconds = np.array([*clock, *([] if now is None else [now])], dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(
            f"times and now must be numbers of seconds, got {clock!r} and {now!r}"
        ) from None
    if len(clock) != n or seconds.ndim != 1:
        raise ConfigError(f"times must be one number for each of {n} clicks, got {clock!r}")
    if not np.isfinite(seconds).all() or (seconds[1:] < seconds[:-1]).any():
        raise ConfigError(
            "times must be finite and non-decreasing, and now must follow them; got "
            f"{clock!r}, {now!r}"
        )
    return seconds[:n]
