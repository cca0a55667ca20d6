"""How a visitor of the simulated shop clicks: the kernels of the simulator.

`nextclick.simulation.simulate` says in words what happens here. Items are indices 0..N - 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from nextclick.core.sessions import MS_PER_DAY, MS_PER_SECOND
from nextclick.simulation.item_sampling import NONE, ItemSampler, find, linked, near, popular

if TYPE_CHECKING:
    from nextclick.core.types import Float64Array, Int64Array

LONGEST = 200  # clicks
SPREAD = 0.9  # σ of the logarithm of a session's length
ACTIVITY = 0.005  # how flat the head of the users' activity is
FAVORITES = 4  # categories
NEAR_HOME = 0.6  # of the targets of a visitor who follows a taste
HOME_REACH = 8.0  # items, mean distance
TARGET_REACH = 3.0
DIGRESSION = 0.2  # of the clicks of a session with a purpose that follow nothing before them
FORGET = 0.8  # what one click takes from the pull of those before it
LIKING = 3.0  # σ of interest before it is squeezed into 0..1
RELEVANCE = 0.5  # what belonging to the purpose adds to it
DWELL_MS = 40.0 * MS_PER_SECOND
DWELL_RANGE = 1.8
DWELL_SHAPE = 2.5
SHORTEST_MS = 800
LONGEST_MS = 25 * 60 * MS_PER_SECOND
DAYTIME = np.array(
    [8, 5, 3, 2, 2, 3, 8, 18, 30, 40, 46, 48, 50, 48, 46, 46, 48, 52, 60, 72, 80, 74, 50, 22],
    dtype=np.float64,
)  # sessions begun per hour
DAYTIME_ENDS = np.concatenate([[0.0], np.cumsum(DAYTIME) / DAYTIME.sum()])


class VisitorHabits(NamedTuple):
    """The parameters of `SimulationConfig` that the kernels need, and what follows from them."""

    users: int
    salt: int
    log_length: float
    purpose: float
    similarity: float
    dwell_signal: float
    reclick: float
    taste: float
    anonymous: float


class VisitPlan(NamedTuple):
    """What a session looks for.

    Attributes:
        visitor: whose session it is.
        aim: a category in 0..C - 1, or -1 without a purpose.
        first: an item; `second` and `third` too.
    """

    visitor: int
    aim: int
    first: int
    second: int
    third: int


@njit(cache=True, nogil=True)
def visits(
    rng: np.random.Generator,
    shelves: ItemSampler,
    habits: VisitorHabits,
    quota: int,
    hours: tuple[float, float],
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array, int]:
    """Simulate sessions until there are `quota` clicks; the last session may be cut short.

    Args:
        rng: the only source of chance.
        shelves: the shop today.
        habits: of the visitors.
        quota: clicks wanted, at least 1.
        hours: the part of a day's sessions, as quantiles, that begins now.

    Returns:
        Per click (quota,): number of the session from 0, user from 0 or -1, item, milliseconds
        since midnight. Then how many sessions there are.
    """
    session = np.empty(quota, dtype=np.int64)
    user = np.empty(quota, dtype=np.int64)
    items = np.empty(quota, dtype=np.int64)
    times = np.empty(quota, dtype=np.int64)
    interests = np.empty(LONGEST, dtype=np.float64)
    done, n_sessions = 0, 0
    while done < quota:
        n = math.exp(habits.log_length + SPREAD * rng.standard_normal())
        stop = min(done + min(max(int(n + 0.5), 1), LONGEST), quota)
        visitor = _visitor(rng, habits)
        session[done:stop] = n_sessions
        user[done:stop] = -1 if rng.random() < habits.anonymous else visitor
        times[done] = time_of_day(hours[0] + (hours[1] - hours[0]) * rng.random())
        _visit(rng, shelves, habits, visitor, interests, items[done:stop], times[done:stop])
        done = stop
        n_sessions += 1
    return session, user, items, times, n_sessions


@njit(cache=True)
def _visit(
    rng: np.random.Generator,
    shelves: ItemSampler,
    habits: VisitorHabits,
    visitor: int,
    interests: Float64Array,
    items: Int64Array,
    times: Int64Array,
) -> None:
    """Fill one session; `times[0]` is given."""
    plan = _plan(rng, shelves, habits, visitor)
    pull = 0.0  # of all clicks so far, Σ_j interest_j² · FORGET^(t − j)
    for t in range(len(items)):
        items[t] = _click(rng, shelves, habits, plan, items[:t], interests, pull)
        interests[t] = _interest(rng, _relevance(shelves, plan.aim, items[t]))
        pull = pull * FORGET + interests[t] ** 2
        if t + 1 < len(items):
            shown = interests[t] if rng.random() < habits.dwell_signal else _interest(rng, 0.0)
            times[t + 1] = times[t] + _dwell(rng, shown)


@njit(cache=True)
def _plan(
    rng: np.random.Generator, shelves: ItemSampler, habits: VisitorHabits, visitor: int
) -> VisitPlan:
    """Decide what a session looks for, if it looks for anything."""
    if rng.random() >= habits.purpose:
        return VisitPlan(visitor, -1, -1, -1, -1)
    aim = _category(rng, shelves, habits, visitor)
    first = _target(rng, shelves, habits, visitor, aim)
    second = _target(rng, shelves, habits, visitor, aim)
    third = _target(rng, shelves, habits, visitor, aim)
    return VisitPlan(visitor, aim, first, second, third)


@njit(cache=True)
def _click(
    rng: np.random.Generator,
    shelves: ItemSampler,
    habits: VisitorHabits,
    plan: VisitPlan,
    seen: Int64Array,
    interests: Float64Array,
    pull: float,
) -> int:
    """Return the next item of a session that has clicked `seen`."""
    last = len(seen) - 1
    if last > 0 and rng.random() < habits.reclick:
        j = _anchor(rng, interests, last - 1, (pull - interests[last] ** 2) / FORGET)
        if seen[j] != seen[last] and rng.random() < interests[j]:
            return int(seen[j])
    if last >= 0 and rng.random() < habits.similarity:
        j = _anchor(rng, interests, last, pull)
        if rng.random() < 0.1 + 0.9 * interests[j]:
            return linked(rng, shelves, seen[j], seen[last])
    if plan.aim >= 0 and rng.random() >= DIGRESSION:
        which = int(3 * rng.random())
        target = plan.first if which == 0 else plan.second if which == 1 else plan.third
        return near(rng, shelves, target, TARGET_REACH, NONE)
    if rng.random() < habits.taste:
        return popular(rng, shelves, _favorite(rng, shelves, habits, plan.visitor))
    return popular(rng, shelves, NONE)


@njit(cache=True)
def _anchor(rng: np.random.Generator, interests: Float64Array, last: int, pull: float) -> int:
    """Choose one of the clicks 0..last by its pull, interest² · FORGET^age."""
    left = rng.random() * pull
    fresh = 1.0
    for j in range(last, 0, -1):
        left -= fresh * interests[j] ** 2
        if left < 0:
            return j
        fresh *= FORGET
    return 0


@njit(cache=True)
def _category(
    rng: np.random.Generator, shelves: ItemSampler, habits: VisitorHabits, visitor: int
) -> int:
    if rng.random() < habits.taste:
        return _favorite(rng, shelves, habits, visitor)
    return int(shelves.category[popular(rng, shelves, NONE)])


@njit(cache=True)
def _target(
    rng: np.random.Generator, shelves: ItemSampler, habits: VisitorHabits, visitor: int, aim: int
) -> int:
    """Return an item that the session looks for: near the visitor's home, or a popular one."""
    if rng.random() >= habits.taste * NEAR_HOME:
        return popular(rng, shelves, aim)
    start, size = shelves.bounds[aim], shelves.bounds[aim + 1] - shelves.bounds[aim]
    home = start + int(size * _trait(habits.salt, visitor, 2 * FAVORITES + aim))
    return near(rng, shelves, home, HOME_REACH, NONE)


@njit(cache=True)
def _favorite(
    rng: np.random.Generator, shelves: ItemSampler, habits: VisitorHabits, visitor: int
) -> int:
    """Draw from a visitor's favorite categories: a stick broken at uniform places."""
    k = 0
    while k < FAVORITES - 1 and rng.random() >= _trait(habits.salt, visitor, 2 * k):
        k += 1
    share = _trait(habits.salt, visitor, 2 * k + 1)
    return find(shelves.familiar, share)


@njit(cache=True)
def _trait(salt: int, visitor: int, which: int) -> float:
    """Return a number in 0..1 that is always the same for this visitor (splitmix64).

    A trait that can be computed again needs no memory, however many visitors there are.
    """
    x = np.uint64(salt) + np.uint64(visitor) * np.uint64(0x9E3779B97F4A7C15)
    x ^= np.uint64(which + 1) * np.uint64(0xD1342543DE82EF95)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return np.float64(x >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True)
def _visitor(rng: np.random.Generator, habits: VisitorHabits) -> int:
    """Draw a visitor; visitor v comes in proportion to 1 / (v/U + ACTIVITY)."""
    place = ACTIVITY * (math.exp(rng.random() * math.log((1 + ACTIVITY) / ACTIVITY)) - 1)
    return min(int(place * habits.users), habits.users - 1)


@njit(cache=True)
def _relevance(shelves: ItemSampler, aim: int, item: int) -> float:
    if aim < 0:
        return 0.0
    return RELEVANCE if shelves.category[item] == aim else -RELEVANCE


@njit(cache=True)
def _interest(rng: np.random.Generator, relevance: float) -> float:
    """Draw the interest in an item just clicked, in 0..1."""
    return 1.0 / (1.0 + math.exp(-(relevance + LIKING * rng.standard_normal())))


@njit(cache=True)
def _dwell(rng: np.random.Generator, interest: float) -> int:
    """Draw milliseconds spent on an item: gamma around a mean that grows with interest."""
    mean = DWELL_MS * math.exp(DWELL_RANGE * (2 * interest - 1))
    dwell = rng.standard_gamma(DWELL_SHAPE) * mean / DWELL_SHAPE
    return min(max(int(dwell), SHORTEST_MS), LONGEST_MS)


@njit(cache=True)
def time_of_day(quantile: float) -> int:
    """Return the millisecond of the day before which this share of its sessions has begun."""
    hour = 0
    while hour < len(DAYTIME) - 1 and DAYTIME_ENDS[hour + 1] <= quantile:
        hour += 1
    width = DAYTIME_ENDS[hour + 1] - DAYTIME_ENDS[hour]
    part = (quantile - DAYTIME_ENDS[hour]) / width
    return min(int((hour + part) * (MS_PER_DAY / 24)), MS_PER_DAY - 1)
