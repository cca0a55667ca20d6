"""The times of live sessions: gaps between their clicks, and how long ago the last one was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.types import BoolArray, Float32Array, Float64Array


def read_times(
    known: Sequence[BoolArray],
    times: Sequence[Sequence[float] | None] | None,
    now: Sequence[float | None] | float | None,
) -> tuple[Float32Array, Float32Array] | tuple[None, None]:
    """The fields `gaps` (B, T) and `waited` (B,) of a batch, None if nobody knows any time.

    A click on an unknown item is passed over: the gap of the next one reaches back over it.

    Args:
        known: for each session (n,) bool, which of its clicks the model knows.
        times: for each session n seconds of any clock, or None.
        now: on the same clock, for each session or for all; None is the last click.

    Raises:
        ConfigError: times that do not fit the clicks, fall, or are not finite.
    """
    if times is None:
        if now is not None:
            raise ConfigError("now needs times: give the time of each click on the same clock")
        return None, None
    asked = list(now) if isinstance(now, Sequence) else [now] * len(known)
    for name, given in (("times", times), ("now", asked)):
        if len(given) != len(known):
            raise ConfigError(
                f"{name} must have an entry for each of {len(known)} sessions, got {len(given)}"
            )
    gaps = np.full((len(known), max((int(k.sum()) for k in known), default=0)), np.nan, np.float32)
    waited = np.zeros(len(known), dtype=np.float32)
    for b, (is_known, clock, moment) in enumerate(zip(known, times, asked, strict=True)):
        if clock is None:
            continue
        clicks = _checked(clock, len(is_known), moment)[is_known]
        if len(clicks) == 0:
            continue
        gaps[b, : len(clicks)] = np.diff(clicks, prepend=clicks[0])
        waited[b] = 0.0 if moment is None else moment - clicks[-1]
    return gaps, waited


def _checked(clock: Sequence[float], n: int, now: float | None) -> Float64Array:
    """(n,) seconds of the clicks."""
    try:
        seconds = np.array([*clock, *([] if now is None else [now])], dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"times and now must be seconds, got {clock!r} and {now!r}") from None
    if len(clock) != n or seconds.ndim != 1:
        raise ConfigError(f"times must be one number for each of {n} clicks, got {clock!r}")
    if not np.isfinite(seconds).all() or (np.diff(seconds) < 0).any():
        raise ConfigError(f"times must be finite and never fall, now last; got {clock!r}, {now!r}")
    return seconds[:n]
