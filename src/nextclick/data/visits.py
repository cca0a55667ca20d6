"""How a visitor of the simulated shop clicks: the kernels of the simulator.

`nextclick.data.simulate` says in words what happens here. Items are indices 0..N - 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from nextclick.sessions import MS_PER_DAY, MS_PER_SECOND

if TYPE_CHECKING:
    from nextclick.types import Float64Array, Int32Array, Int64Array

LONGEST = 200  # clicks
SPREAD = 0.9  # σ of the logarithm of a session's length
ACTIVITY = 0.005  # how flat the head of the users' activity is
FAVOURITES = 4  # categories
NEAR_HOME = 0.6  # of the targets of a visitor who follows a taste
HOME_REACH = 8.0  # items, mean distance
LINK_REACH = 5.0
TARGET_REACH = 3.0
COMPLEMENT = 0.35  # of the moves along a link
DIGRESSION = 0.2  # of the clicks of a session with a purpose that follow nothing before them
PROPOSALS = 4
NOTHING = 1e-12
FORGET = 0.75  # what one click takes from the pull of those before it
LIKING = 1.8  # σ of interest before it is squeezed into 0..1
RELEVANCE = 0.7  # what belonging to the purpose adds to it
DWELL_MS = 40.0 * MS_PER_SECOND
DWELL_RANGE = 1.6
DWELL_SHAPE = 1.6
SHORTEST_MS, LONGEST_MS = 800, 25 * 60 * MS_PER_SECOND
DAYTIME = np.array(
    [8, 5, 3, 2, 2, 3, 8, 18, 30, 40, 46, 48, 50, 48, 46, 46, 48, 52, 60, 72, 80, 74, 50, 22],
    dtype=np.float64,
)  # sessions begun per hour
DAYTIME_ENDS = np.concatenate([[0.0], np.cumsum(DAYTIME) / DAYTIME.sum()])


class Shelves(NamedTuple):
    """The shop on one day.

    Attributes:
        category: (N,) int32 in 0..C - 1.
        bounds: (C + 1,) int64, where the items of each category begin and end.
        familiar: (C + 1,) float64, running share of the categories' popularity over all days.
        weights: (N,) float64, popularity today.
        running: (N + 1,) float64, 0 and the running sum of `weights`.
        mass: (C + 1,) float64, `running` where the categories begin and end.
        guide: (N,) int32, see `guide_draws`.
    """

    category: Int32Array
    bounds: Int64Array
    familiar: Float64Array
    weights: Float64Array
    running: Float64Array
    mass: Float64Array
    guide: Int32Array


class Habits(NamedTuple):
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


@njit(cache=True, nogil=True)  # type: ignore[misc]
def visits(
    rng: np.random.Generator,
    shelves: Shelves,
    habits: Habits,
    quota: int,
    hours: tuple[float, float],
) -> tuple[Int64Array, Int64Array, Int32Array, Int64Array, int]:
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
    items = np.empty(quota, dtype=np.int32)
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


@njit(cache=True)  # type: ignore[misc]
def _visit(
    rng: np.random.Generator,
    shelves: Shelves,
    habits: Habits,
    visitor: int,
    interests: Float64Array,
    items: Int32Array,
    times: Int64Array,
) -> None:
    """Fill one session; `times[0]` is given."""
    aim = -1
    targets = (-1, -1, -1)
    if rng.random() < habits.purpose:
        aim = _category(rng, shelves, habits, visitor)
        targets = (
            _target(rng, shelves, habits, visitor, aim),
            _target(rng, shelves, habits, visitor, aim),
            _target(rng, shelves, habits, visitor, aim),
        )
    pull = 0.0  # of all clicks so far, Σ_j interest_j² · FORGET^(t − j)
    for t in range(len(items)):
        items[t] = _click(rng, shelves, habits, visitor, aim, targets, items[:t], interests, pull)
        interests[t] = _interest(rng, _relevance(shelves, aim, items[t]))
        pull = pull * FORGET + interests[t] ** 2
        if t + 1 < len(items):
            shown = interests[t] if rng.random() < habits.dwell_signal else _interest(rng, 0.0)
            times[t + 1] = times[t] + _dwell(rng, shown)


@njit(cache=True)  # type: ignore[misc]
def _click(
    rng: np.random.Generator,
    shelves: Shelves,
    habits: Habits,
    visitor: int,
    aim: int,
    targets: tuple[int, int, int],
    seen: Int32Array,
    interests: Float64Array,
    pull: float,
) -> int:
    """Return the next item of a session that has clicked `seen`."""
    last = len(seen) - 1
    if last > 0 and rng.random() < habits.reclick:
        j = _anchor(rng, interests, last - 1, (pull - interests[last] ** 2) / FORGET)
        if seen[j] != seen[last] and rng.random() < interests[j]:
            return seen[j]
    if last >= 0 and rng.random() < habits.similarity:
        j = _anchor(rng, interests, last, pull)
        if rng.random() < 0.3 + 0.7 * interests[j]:
            return _linked(rng, shelves, seen[j], seen[last])
    if aim >= 0 and rng.random() >= DIGRESSION:
        return _near(rng, shelves, targets[int(3 * rng.random())], TARGET_REACH, -1)
    if rng.random() < habits.taste:
        return _popular(rng, shelves, _favourite(rng, shelves, habits, visitor))
    return _popular(rng, shelves, -1)


@njit(cache=True)  # type: ignore[misc]
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


@njit(cache=True)  # type: ignore[misc]
def _linked(rng: np.random.Generator, shelves: Shelves, item: int, current: int) -> int:
    """Return a substitute of `item` (near it) or a complement (near a third of the ring ahead)."""
    if rng.random() >= COMPLEMENT:
        return _near(rng, shelves, item, LINK_REACH, current)
    c = shelves.category[item]
    start, size = shelves.bounds[c], shelves.bounds[c + 1] - shelves.bounds[c]
    partner = start + (item - start + size // 3) % size
    return _near(rng, shelves, partner, LINK_REACH / 4, current)


@njit(cache=True)  # type: ignore[misc]
def _near(
    rng: np.random.Generator, shelves: Shelves, centre: int, reach: float, current: int
) -> int:
    """Propose items around `centre` and take one of them by today's popularity, not `current`."""
    c = shelves.category[centre]
    start, size = shelves.bounds[c], shelves.bounds[c + 1] - shelves.bounds[c]
    weights = shelves.weights
    chosen, total = -1, 0.0
    for _ in range(PROPOSALS):
        side = 2.0 * rng.random() - 1.0  # its sign is the direction
        step = int(math.copysign(reach * math.log(max(abs(side), NOTHING)), side))
        place = centre - start + step
        if not 0 <= place < size:
            place %= size
        weight = weights[start + place]
        if weight > 0 and start + place != current:
            total += weight
            if rng.random() * total < weight:
                chosen = start + place
    return chosen if chosen >= 0 else _popular(rng, shelves, c)


@njit(cache=True)  # type: ignore[misc]
def _popular(rng: np.random.Generator, shelves: Shelves, category: int) -> int:
    """Draw an item of a category by today's popularity; of all of them for category -1."""
    mass, running = shelves.mass, shelves.running
    if category < 0 or mass[category + 1] <= mass[category]:  # or nothing of it is released yet
        n_categories = len(mass) - 1
        wanted = rng.random() * mass[n_categories]
        category = min(int(np.searchsorted(mass, wanted, "right")), n_categories) - 1
    low, high = shelves.bounds[category], shelves.bounds[category + 1]
    quantile = rng.random()
    wanted = running[low] + quantile * (running[high] - running[low])
    item = shelves.guide[low + int(quantile * (high - low))]
    while item < high - 1 and running[item + 1] <= wanted:
        item += 1
    while item > low and running[item + 1] == running[item]:  # not released; rounding led here
        item -= 1
    return item


@njit(cache=True)  # type: ignore[misc]
def guide_draws(bounds: Int64Array, running: Float64Array) -> Int32Array:
    """(N,) int32, where to begin to look for an item at popularity quantile 0/n, 1/n … (n - 1)/n.

    In each category of n items; on average the item drawn is the first or the second one from here.
    """
    guide = np.empty(len(running) - 1, dtype=np.int32)
    for c in range(len(bounds) - 1):
        low, high = bounds[c], bounds[c + 1]
        total = running[high] - running[low]
        item = low
        for k in range(high - low):
            wanted = running[low] + k / (high - low) * total
            while item < high - 1 and running[item + 1] <= wanted:
                item += 1
            guide[low + k] = item
    return guide


@njit(cache=True)  # type: ignore[misc]
def _category(rng: np.random.Generator, shelves: Shelves, habits: Habits, visitor: int) -> int:
    if rng.random() < habits.taste:
        return _favourite(rng, shelves, habits, visitor)
    return shelves.category[_popular(rng, shelves, -1)]


@njit(cache=True)  # type: ignore[misc]
def _target(
    rng: np.random.Generator, shelves: Shelves, habits: Habits, visitor: int, aim: int
) -> int:
    """Return an item that the session looks for: near the visitor's home, or a popular one."""
    if rng.random() >= habits.taste * NEAR_HOME:
        return _popular(rng, shelves, aim)
    start, size = shelves.bounds[aim], shelves.bounds[aim + 1] - shelves.bounds[aim]
    home = start + int(size * _trait(habits.salt, visitor, 2 * FAVOURITES + aim))
    return _near(rng, shelves, home, HOME_REACH, -1)


@njit(cache=True)  # type: ignore[misc]
def _favourite(rng: np.random.Generator, shelves: Shelves, habits: Habits, visitor: int) -> int:
    """Draw from a visitor's favourite categories: a stick broken at uniform places."""
    k = 0
    while k < FAVOURITES - 1 and rng.random() >= _trait(habits.salt, visitor, 2 * k):
        k += 1
    share = _trait(habits.salt, visitor, 2 * k + 1)
    return min(int(np.searchsorted(shelves.familiar, share, "right")), len(shelves.bounds) - 1) - 1


@njit(cache=True)  # type: ignore[misc]
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


@njit(cache=True)  # type: ignore[misc]
def _visitor(rng: np.random.Generator, habits: Habits) -> int:
    """Draw a visitor; visitor v comes in proportion to 1 / (v/U + ACTIVITY)."""
    place = ACTIVITY * (math.exp(rng.random() * math.log((1 + ACTIVITY) / ACTIVITY)) - 1)
    return min(int(place * habits.users), habits.users - 1)


@njit(cache=True)  # type: ignore[misc]
def _relevance(shelves: Shelves, aim: int, item: int) -> float:
    if aim < 0:
        return 0.0
    return RELEVANCE if shelves.category[item] == aim else -RELEVANCE


@njit(cache=True)  # type: ignore[misc]
def _interest(rng: np.random.Generator, relevance: float) -> float:
    """Draw the interest in an item just clicked, in 0..1."""
    return 1.0 / (1.0 + math.exp(-(relevance + LIKING * rng.standard_normal())))


@njit(cache=True)  # type: ignore[misc]
def _dwell(rng: np.random.Generator, interest: float) -> int:
    """Draw milliseconds spent on an item: gamma around a mean that grows with interest."""
    mean = DWELL_MS * math.exp(DWELL_RANGE * (2 * interest - 1))
    dwell = rng.standard_gamma(DWELL_SHAPE) * mean / DWELL_SHAPE
    return min(max(int(dwell), SHORTEST_MS), LONGEST_MS)


@njit(cache=True)  # type: ignore[misc]
def time_of_day(quantile: float) -> int:
    """Return the millisecond of the day before which this share of its sessions has begun."""
    hour = min(int(np.searchsorted(DAYTIME_ENDS, quantile, "right")), len(DAYTIME)) - 1
    width = DAYTIME_ENDS[hour + 1] - DAYTIME_ENDS[hour]
    part = (quantile - DAYTIME_ENDS[hour]) / width
    return min(int((hour + part) * (MS_PER_DAY / 24)), MS_PER_DAY - 1)
