"""Kernels that simulate the clicks of visitors; see `nextclick.simulation.simulate`.

Items are indices 0..N - 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from nextclick.core.sessions import MS_PER_DAY, MS_PER_SECOND
from nextclick.simulation.item_sampling import (
    NONE,
    ItemSampler,
    find_interval,
    sample_linked,
    sample_near,
    sample_popular,
)

if TYPE_CHECKING:
    from nextclick.core.types import Float64Array, Int64Array

MAX_CLICKS = 200  # Maximum length of a session.
LOG_LENGTH_SIGMA = 0.9  # σ of the log-normal session length.
ACTIVITY_SHIFT = 0.005  # Flattens the head of the activity of the users.
N_FAVORITES = 4  # Favorite categories of a visitor.
HOME_SHARE = 0.6  # Share of a visitor's targets that are near the home.
HOME_DISTANCE = 8.0  # Mean distance from the home on the ring, in items.
TARGET_DISTANCE = 3.0  # Mean distance from a target on the ring, in items.
DIGRESSION = 0.2  # Share of the clicks without an anchor that ignore the purpose.
PULL_DECAY = 0.8  # Decay of the pull per click.
INTEREST_SIGMA = 3.0  # σ of the interest before the sigmoid.
RELEVANCE = 0.5  # Shift of the interest in the category of the purpose.
MEAN_DWELL_MS = 40.0 * MS_PER_SECOND
DWELL_RANGE = 1.8
DWELL_SHAPE = 2.5
MAX_DRAWS = 50  # Draws of an item that the session does not have yet.
MIN_DWELL_MS = 800
MAX_DWELL_MS = 25 * 60 * MS_PER_SECOND
DAYTIME = np.array(
    [8, 5, 3, 2, 2, 3, 8, 18, 30, 40, 46, 48, 50, 48, 46, 46, 48, 52, 60, 72, 80, 74, 50, 22],
    dtype=np.float64,
)  # relative number of sessions that begin in each hour
DAYTIME_ENDS = np.concatenate([[0.0], np.cumsum(DAYTIME) / DAYTIME.sum()])


class VisitorHabits(NamedTuple):
    """Parameters of the kernels, derived from `SimulationConfig`."""

    users: int
    salt: int
    log_length: float
    purpose: float
    similarity: float
    dwell_signal: float
    reclick: float
    repeats: float  # -1 if unset
    taste: float
    anonymous: float


class SessionPurpose(NamedTuple):
    """The visitor of a session, and the category and target items of its purpose.

    Attributes:
        visitor: index of the visitor.
        category: in 0..C - 1, or -1 without a purpose.
        first: the first target item, or -1 without a purpose; likewise `second` and `third`.
    """

    visitor: int
    category: int
    first: int
    second: int
    third: int


@njit(cache=True, nogil=True)
def simulate_sessions(
    rng: np.random.Generator,
    sampler: ItemSampler,
    habits: VisitorHabits,
    quota: int,
    hours: tuple[float, float],
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array, int]:
    """Simulate sessions of `quota` clicks in total; the last session may be truncated.

    Args:
        rng: the source of randomness.
        sampler: the sampling tables of the day.
        habits: parameters of the visitors.
        quota: number of clicks, at least 1.
        hours: the range of start times, as quantiles of the sessions of a day.

    Returns:
        Per click (quota,): session from 0, user from 0 or -1 if anonymous, position of the item
        on the rings, and milliseconds since midnight. Then the number of sessions.
    """
    session = np.empty(quota, dtype=np.int64)
    user = np.empty(quota, dtype=np.int64)
    items = np.empty(quota, dtype=np.int64)
    times = np.empty(quota, dtype=np.int64)
    interests = np.empty(MAX_CLICKS, dtype=np.float64)
    done, n_sessions = 0, 0
    while done < quota:
        n = math.exp(habits.log_length + LOG_LENGTH_SIGMA * rng.standard_normal())
        stop = min(done + min(max(int(n + 0.5), 1), MAX_CLICKS), quota)
        visitor = _visitor(rng, habits)
        session[done:stop] = n_sessions
        user[done:stop] = -1 if rng.random() < habits.anonymous else visitor
        times[done] = time_of_day(hours[0] + (hours[1] - hours[0]) * rng.random())
        _fill_session(rng, sampler, habits, visitor, interests, items[done:stop], times[done:stop])
        done = stop
        n_sessions += 1
    return session, user, items, times, n_sessions


@njit(cache=True)
def _fill_session(
    rng: np.random.Generator,
    sampler: ItemSampler,
    habits: VisitorHabits,
    visitor: int,
    interests: Float64Array,
    items: Int64Array,
    times: Int64Array,
) -> None:
    """Fill the items and times of one session, given `times[0]`."""
    purpose = _draw_purpose(rng, sampler, habits, visitor)
    pull = 0.0  # total of all clicks so far, Σ_j interest_j² · PULL_DECAY^(t − j)
    for t in range(len(items)):
        items[t] = _next_item(rng, sampler, habits, purpose, items[:t], interests, pull)
        interests[t] = _interest(rng, _relevance(sampler, purpose.category, items[t]))
        pull = pull * PULL_DECAY + interests[t] ** 2
        if t + 1 < len(items):
            informative = rng.random() < habits.dwell_signal
            interest = interests[t] if informative else _interest(rng, 0.0)
            times[t + 1] = times[t] + _dwell(rng, interest)


@njit(cache=True)
def _draw_purpose(
    rng: np.random.Generator, sampler: ItemSampler, habits: VisitorHabits, visitor: int
) -> SessionPurpose:
    """Draw the category and the targets of a session, or no purpose."""
    if rng.random() >= habits.purpose:
        return SessionPurpose(visitor, -1, -1, -1, -1)
    category = _category(rng, sampler, habits, visitor)
    first = _target(rng, sampler, habits, visitor, category)
    second = _target(rng, sampler, habits, visitor, category)
    third = _target(rng, sampler, habits, visitor, category)
    return SessionPurpose(visitor, category, first, second, third)


@njit(cache=True)
def _next_item(
    rng: np.random.Generator,
    sampler: ItemSampler,
    habits: VisitorHabits,
    purpose: SessionPurpose,
    clicked: Int64Array,
    interests: Float64Array,
    pull: float,
) -> int:
    """Draw the next item of a session: one of the items `clicked` so far, or another one."""
    if habits.repeats < 0:
        return _browse(rng, sampler, habits, purpose, clicked, interests, pull)
    last = len(clicked) - 1
    if last >= 0 and rng.random() < habits.repeats:
        return int(clicked[_anchor(rng, interests, last, pull)])
    for _ in range(MAX_DRAWS):
        item = _browse(rng, sampler, habits, purpose, clicked, interests, pull)
        if not (clicked == item).any():
            return item
    return sample_popular(rng, sampler, NONE)


@njit(cache=True)
def _browse(
    rng: np.random.Generator,
    sampler: ItemSampler,
    habits: VisitorHabits,
    purpose: SessionPurpose,
    clicked: Int64Array,
    interests: Float64Array,
    pull: float,
) -> int:
    """Draw the next item of a session by its purpose, its links and its re-clicks."""
    last = len(clicked) - 1
    if last > 0 and rng.random() < habits.reclick:
        j = _anchor(rng, interests, last - 1, (pull - interests[last] ** 2) / PULL_DECAY)
        if clicked[j] != clicked[last] and rng.random() < interests[j]:
            return int(clicked[j])
    if last >= 0 and rng.random() < habits.similarity:
        j = _anchor(rng, interests, last, pull)
        if rng.random() < 0.1 + 0.9 * interests[j]:
            return sample_linked(rng, sampler, clicked[j], clicked[last])
    if purpose.category >= 0 and rng.random() >= DIGRESSION:
        k = int(3 * rng.random())
        target = purpose.first if k == 0 else purpose.second if k == 1 else purpose.third
        return sample_near(rng, sampler, target, TARGET_DISTANCE, NONE)
    if rng.random() < habits.taste:
        return sample_popular(rng, sampler, _favorite(rng, sampler, habits, purpose.visitor))
    return sample_popular(rng, sampler, NONE)


@njit(cache=True)
def _anchor(rng: np.random.Generator, interests: Float64Array, last: int, pull: float) -> int:
    """Draw one of the clicks 0..last by its pull, interest² · PULL_DECAY^age."""
    remaining = rng.random() * pull
    decay = 1.0
    for j in range(last, 0, -1):
        remaining -= decay * interests[j] ** 2
        if remaining < 0:
            return j
        decay *= PULL_DECAY
    return 0


@njit(cache=True)
def _category(
    rng: np.random.Generator, sampler: ItemSampler, habits: VisitorHabits, visitor: int
) -> int:
    if rng.random() < habits.taste:
        return _favorite(rng, sampler, habits, visitor)
    return int(sampler.category[sample_popular(rng, sampler, NONE)])


@njit(cache=True)
def _target(
    rng: np.random.Generator,
    sampler: ItemSampler,
    habits: VisitorHabits,
    visitor: int,
    category: int,
) -> int:
    """Draw a target item of a category: near the visitor's home, or by popularity."""
    if rng.random() >= habits.taste * HOME_SHARE:
        return sample_popular(rng, sampler, category)
    start = sampler.bounds[category]
    size = sampler.bounds[category + 1] - start
    home = start + int(size * _trait(habits.salt, visitor, 2 * N_FAVORITES + category))
    return sample_near(rng, sampler, home, HOME_DISTANCE, NONE)


@njit(cache=True)
def _favorite(
    rng: np.random.Generator, sampler: ItemSampler, habits: VisitorHabits, visitor: int
) -> int:
    """Draw one of a visitor's favorite categories, with stick-breaking weights."""
    k = 0
    while k < N_FAVORITES - 1 and rng.random() >= _trait(habits.salt, visitor, 2 * k):
        k += 1
    share = _trait(habits.salt, visitor, 2 * k + 1)
    return find_interval(sampler.familiar, share)


@njit(cache=True)
def _trait(salt: int, visitor: int, number: int) -> float:
    """Return a constant number in 0..1 for a visitor, by hashing with SplitMix64.

    Computing traits on demand needs no memory, for any number of visitors.
    """
    x = np.uint64(salt) + np.uint64(visitor) * np.uint64(0x9E3779B97F4A7C15)
    x ^= np.uint64(number + 1) * np.uint64(0xD1342543DE82EF95)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return np.float64(x >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True)
def _visitor(rng: np.random.Generator, habits: VisitorHabits) -> int:
    """Draw a visitor v with probability proportional to 1 / (v/U + ACTIVITY_SHIFT)."""
    log_range = math.log((1 + ACTIVITY_SHIFT) / ACTIVITY_SHIFT)
    quantile = ACTIVITY_SHIFT * (math.exp(rng.random() * log_range) - 1)
    return min(int(quantile * habits.users), habits.users - 1)


@njit(cache=True)
def _relevance(sampler: ItemSampler, category: int, item: int) -> float:
    """The shift of the interest in an item, given the category of the purpose or -1."""
    if category < 0:
        return 0.0
    return RELEVANCE if sampler.category[item] == category else -RELEVANCE


@njit(cache=True)
def _interest(rng: np.random.Generator, relevance: float) -> float:
    """Draw the interest in a clicked item, in 0..1."""
    return 1.0 / (1.0 + math.exp(-(relevance + INTEREST_SIGMA * rng.standard_normal())))


@njit(cache=True)
def _dwell(rng: np.random.Generator, interest: float) -> int:
    """Draw the dwell time in milliseconds, gamma-distributed; its mean grows with the interest."""
    mean = MEAN_DWELL_MS * math.exp(DWELL_RANGE * (2 * interest - 1))
    dwell = rng.standard_gamma(DWELL_SHAPE) * mean / DWELL_SHAPE
    return min(max(int(dwell), MIN_DWELL_MS), MAX_DWELL_MS)


@njit(cache=True)
def time_of_day(quantile: float) -> int:
    """Return the time of day, in milliseconds, at a quantile of the session starts of a day."""
    hour = 0
    while hour < len(DAYTIME) - 1 and DAYTIME_ENDS[hour + 1] <= quantile:
        hour += 1
    width = DAYTIME_ENDS[hour + 1] - DAYTIME_ENDS[hour]
    fraction = (quantile - DAYTIME_ENDS[hour]) / width
    return min(int((hour + fraction) * (MS_PER_DAY / 24)), MS_PER_DAY - 1)
