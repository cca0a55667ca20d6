"""Change of item popularity from day to day.

A session belongs to the day (UTC) of its last click. The sessions of day d are split alternately
into two halves with clicks per item a_d and b_d, and

    similarity(k) = mean over d of ½ (cos(a_d, b_{d+k}) + cos(b_d, a_{d+k}))

The two sides never share a session. Sampling noise therefore lowers the similarity equally at every
lag, and the decrease from lag 0 is change: a log with constant popularity gives a flat line,
however few clicks it has.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.analysis.log_profile import session_ends
from nextclick.core.sessions import MS_PER_DAY

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float32Array, Int64Array

MAX_LAG = 14  # days
_MIN_DAY_SHARE = 0.01  # of the clicks of the busiest day


@dataclass(frozen=True, slots=True)
class PopularityDrift:
    """Similarity of the click distributions of two days, by the lag between them.

    Attributes:
        lags: distances in days, from 0 to at most 14, for which there are pairs of days.
        similarity: mean cosine similarity over the pairs of days at each lag. Lag 0 compares two
            halves of one day and shows the effect of sampling noise alone.
        pairs: number of pairs of days at each lag.
        days: number of days compared.
        skipped_days: number of days skipped because they have less than 1 % of the clicks of the
            busiest day.
    """

    lags: list[int]
    similarity: list[float]
    pairs: list[int]
    days: int
    skipped_days: int


def popularity_drift(sessions: Sessions) -> PopularityDrift | None:
    """Compare the item distributions of days k apart; clicks on unknown items are ignored.

    Args:
        sessions: S sessions with times.

    Returns:
        None if there are no two days to compare.

    Raises:
        ValueError: the sessions have no times.
    """
    if sessions.times is None:
        raise ValueError("popularity drift needs times, but these sessions have none")
    days, members, large = _sessions_by_day(sessions)
    sums, pairs = np.zeros(MAX_LAG + 1), np.zeros(MAX_LAG + 1, np.int64)
    recent: deque[tuple[int, Float32Array]] = deque(maxlen=MAX_LAG + 1)
    for n in np.flatnonzero(large):
        recent.append((int(days[n]), _normalized_halves(sessions, members[n])))
        today, halves = recent[-1]
        for day, earlier_halves in recent:
            lag = today - day
            if lag > MAX_LAG:
                continue
            if halves.any(axis=1).all() and earlier_halves.any(axis=1).all():
                cosines = earlier_halves[0] @ halves[1] + earlier_halves[1] @ halves[0]
                sums[lag] += cosines / 2
                pairs[lag] += 1
    lags = np.flatnonzero(pairs)
    if not (lags > 0).any():
        return None
    return PopularityDrift(
        lags=lags.tolist(),
        similarity=(sums[lags] / pairs[lags]).tolist(),
        pairs=pairs[lags].tolist(),
        days=int(large.sum()),
        skipped_days=int((~large).sum()),
    )


def _sessions_by_day(sessions: Sessions) -> tuple[Int64Array, list[Int64Array], Int64Array]:
    """(D,) days since 1970, the session indices of each, and (D,) whether it has enough clicks."""
    day_of = session_ends(sessions) // MS_PER_DAY
    # filters may have removed a session's last click, so the ends need not be ascending
    order = np.argsort(day_of, kind="stable")
    starts = np.flatnonzero(np.diff(day_of[order], prepend=day_of[order[0]] - 1))
    clicks = np.add.reduceat(sessions.lengths()[order], starts)
    large = clicks >= _MIN_DAY_SHARE * clicks.max()
    return day_of[order[starts]], np.split(order, starts[1:]), large


def _normalized_halves(sessions: Sessions, members: Int64Array) -> Float32Array:
    """(2, N) float32, clicks per item in alternate sessions of a day, rows of unit length."""
    counts = [sessions.take(members[half::2]).support() for half in (0, 1)]
    clicks = np.stack(counts)[:, 1:].astype(np.float64)
    lengths = np.linalg.norm(clicks, axis=1, keepdims=True)
    halves: Float32Array = (clicks / np.maximum(lengths, 1)).astype(np.float32)
    return halves
