"""How fast popularity changes from day to day."""

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

MOST_LAGS = 14
_SMALL_DAY = 0.01  # of the clicks of the busiest day


@dataclass(frozen=True, slots=True)
class Drift:
    """How alike two days are in what is clicked.

    Attributes:
        lags: 0, 1, … days apart, as far as there are pairs, 14 at most.
        similarity: mean cosine over the pairs of days so far apart; at lag 0 of two halves of the
            same day, which is what chance leaves of 1.
        pairs: how many pairs of days the mean is over.
        days: days that were compared.
        small_days: days left out for having less than 1 % of the clicks of the busiest.
    """

    lags: list[int]
    similarity: list[float]
    pairs: list[int]
    days: int
    small_days: int


def drift(sessions: Sessions) -> Drift | None:
    """Compare the item distributions of days k apart.

    A session belongs to the day (UTC) of its last click. The sessions of day d are dealt in turn to
    two halves, with clicks per item a_d and b_d, and

        similarity(k) = mean over d of ½ (cos(a_d, b_{d+k}) + cos(b_d, a_{d+k}))

    No session is on both sides. So all lags suffer alike from the chance in counts, and the fall
    from lag 0 is change: a log whose popularity stands still has a flat line, however few its
    clicks. Clicks on items unseen in training do not count.

    Args:
        sessions: S sessions with times.

    Returns:
        None if there are no two days to compare.

    Raises:
        ValueError: the sessions have no times.
    """
    if sessions.times is None:
        raise ValueError("these sessions have no times, so no days to compare")
    day_of = session_ends(sessions) // MS_PER_DAY
    order = np.argsort(day_of, kind="stable")  # filters may have taken a session's last click
    starts = np.flatnonzero(np.diff(day_of[order], prepend=day_of[order[0]] - 1))
    days, members = day_of[order[starts]], np.split(order, starts[1:])
    clicks = np.add.reduceat(sessions.lengths()[order], starts)
    large = clicks >= _SMALL_DAY * clicks.max()
    sums, pairs = np.zeros(MOST_LAGS + 1), np.zeros(MOST_LAGS + 1, np.int64)
    earlier: deque[tuple[int, Float32Array]] = deque(maxlen=MOST_LAGS + 1)
    for at in np.flatnonzero(large):
        earlier.append((int(days[at]), _halves(sessions, members[at])))
        today, halves = earlier[-1]
        for day, others in earlier:
            lag = today - day
            if lag <= MOST_LAGS and halves.any(axis=1).all() and others.any(axis=1).all():
                crossed = (others[0] @ halves[1] + others[1] @ halves[0]) / 2
                sums[lag] += crossed
                pairs[lag] += 1
    lags = np.flatnonzero(pairs)
    if not (lags > 0).any():
        return None
    return Drift(
        lags=lags.tolist(),
        similarity=(sums[lags] / pairs[lags]).tolist(),
        pairs=pairs[lags].tolist(),
        days=int(large.sum()),
        small_days=int((~large).sum()),
    )


def _halves(sessions: Sessions, members: Int64Array) -> Float32Array:
    """(2, N) float32, clicks per item in every other session of a day, each row of length 1."""
    counts = [sessions.take(members[half::2]).support() for half in (0, 1)]
    clicks = np.stack(counts)[:, 1:].astype(np.float64)
    lengths = np.linalg.norm(clicks, axis=1, keepdims=True)
    halves: Float32Array = (clicks / np.maximum(lengths, 1)).astype(np.float32)
    return halves
