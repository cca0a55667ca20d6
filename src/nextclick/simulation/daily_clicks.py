"""The clicks of a simulated shop, day by day, in arrays of bounded size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextclick.core.sessions import MS_PER_DAY
from nextclick.simulation.catalog import open_shop, places, popularity, scramble
from nextclick.simulation.item_sampling import ItemSampler, guide_draws
from nextclick.simulation.simulation_config import checked
from nextclick.simulation.visitor_behavior import SPREAD, VisitorHabits, time_of_day, visits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import Float64Array, Int32Array, Int64Array
    from nextclick.simulation.catalog import ShopCatalog
    from nextclick.simulation.simulation_config import SimulationConfig

CHUNK_EVENTS = 1_000_000
WEEK = (1.0, 0.97, 0.98, 1.0, 1.02, 1.1, 1.2)  # Monday first
EPOCH = date(1970, 1, 1).toordinal()
FIRST_SESSION = 10_000_001
VISITS = 2  # a stream of random numbers, beside those of the shop


@dataclass(frozen=True, slots=True, eq=False)
class LogChunk:
    """Clicks in the order of time, none earlier than those of the chunk before.

    Attributes:
        session_id: (E,) int64.
        user_id: (E,) int64, -1 where the session is anonymous.
        item_id: (E,) int64.
        category: (E,) int32 in 1..C, of the item.
        timestamp: (E,) int64, milliseconds since the epoch.
        n_sessions: how many sessions have begun up to here, in this chunk and those before.
    """

    session_id: Int64Array
    user_id: Int64Array
    item_id: Int64Array
    category: Int32Array
    timestamp: Int64Array
    n_sessions: int

    def __len__(self) -> int:
        return len(self.timestamp)


class Clicks(NamedTuple):
    """Per click (E,): session from 0, user from 0 or -1, index of the item, time."""

    session: Int64Array
    user: Int64Array
    item: Int64Array
    time: Int64Array

    def take(self, which: Int64Array) -> Clicks:
        """The clicks at these places."""
        return Clicks(self.session[which], self.user[which], self.item[which], self.time[which])


def simulate_chunks(config: SimulationConfig) -> Iterator[LogChunk]:
    """Yield the log in parts of a day or less, each of about a million clicks.

    Raises:
        ConfigError: a parameter out of its range.
    """
    config = checked(config)
    return _chunks(config, open_shop(config))


def _chunks(config: SimulationConfig, shop: ShopCatalog) -> Iterator[LogChunk]:
    habits = _habits(config)
    waiting: list[Clicks] = []  # those that come after the end of the part they were made in
    n_sessions = 0
    midnight = (config.start.toordinal() - EPOCH) * MS_PER_DAY
    for day, (quota, weights, at_place) in enumerate(
        zip(daily_quotas(config), popularity(shop, config), places(shop, config), strict=True)
    ):
        shelves = _shelves(shop, weights[at_place])
        n_parts = math.ceil(quota / CHUNK_EVENTS)
        for part, size in enumerate(_even(int(quota), n_parts)):
            rng = np.random.default_rng([config.seed, VISITS, day, part])
            hours = (part / n_parts, (part + 1) / n_parts)
            session, user, place, time, begun = visits(rng, shelves, habits, size, hours)
            item = at_place[place]
            waiting.append(Clicks(session + n_sessions, user, item, time + midnight))
            n_sessions += begun
            ready, rest = _due(waiting, midnight + time_of_day(hours[1]))
            waiting = [rest]
            yield _chunk(shop, config, ready, n_sessions)
        midnight += MS_PER_DAY
    ready, _ = _due(waiting, None)
    if len(ready.time):
        yield _chunk(shop, config, ready, n_sessions)


def daily_quotas(config: SimulationConfig) -> Int64Array:
    """(days,) int64, clicks of the sessions that begin on each day; they add up to `events`."""
    first = config.start.weekday()
    week = np.array([WEEK[(first + day) % 7] for day in range(config.days)])
    ends = np.rint(np.cumsum(week) / week.sum() * config.events).astype(np.int64)
    quotas: Int64Array = np.diff(ends, prepend=0)
    return quotas


def _even(quota: int, n_parts: int) -> list[int]:
    """Cut `quota` into parts that differ by one at most."""
    return [(k + 1) * quota // n_parts - k * quota // n_parts for k in range(n_parts)]


def _due(waiting: list[Clicks], until: int | None) -> tuple[Clicks, Clicks]:
    """Sort clicks by time and part those before `until` from the rest."""
    clicks = Clicks(*(np.concatenate(columns) for columns in zip(*waiting, strict=True)))
    order = np.argsort(clicks.time, kind="stable")
    due = len(order)
    if until is not None:
        due = int(np.searchsorted(clicks.time, until, sorter=order))
    return clicks.take(order[:due]), clicks.take(order[due:])


def _chunk(
    shop: ShopCatalog, config: SimulationConfig, clicks: Clicks, n_sessions: int
) -> LogChunk:
    known = clicks.user >= 0
    return LogChunk(
        session_id=FIRST_SESSION + clicks.session,
        user_id=np.where(known, scramble(clicks.user, config.users), -1),
        item_id=shop.item_ids[clicks.item],
        category=shop.category[clicks.item],
        timestamp=clicks.time,
        n_sessions=n_sessions,
    )


def _shelves(shop: ShopCatalog, weights: Float64Array) -> ItemSampler:
    running = np.concatenate([[0.0], np.cumsum(weights)])
    overall = np.add.reduceat(np.exp(shop.appeal), shop.bounds[:-1])
    return ItemSampler(
        category=shop.category.astype(np.int64) - 1,
        bounds=shop.bounds,
        familiar=np.concatenate([[0.0], np.cumsum(overall) / overall.sum()]),
        weights=weights,
        running=running,
        mass=running[shop.bounds],
        guide=guide_draws(shop.bounds, running),
    )


def _habits(config: SimulationConfig) -> VisitorHabits:
    return VisitorHabits(
        users=config.users,
        salt=int(np.random.default_rng([config.seed, VISITS]).integers(1 << 62)),
        log_length=math.log(config.length) - SPREAD**2 / 2,  # so that the mean is `length`
        purpose=config.purpose,
        similarity=config.similarity,
        dwell_signal=config.dwell_signal,
        reclick=config.reclick,
        taste=config.taste,
        anonymous=config.anonymous,
    )
