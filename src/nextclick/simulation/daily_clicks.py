"""Generation of the simulated log in chunks of bounded size, day by day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextclick.core.sessions import MS_PER_DAY
from nextclick.simulation.catalog import build_catalog, popularity, ring_items, scramble
from nextclick.simulation.item_sampling import ItemSampler, guide_table
from nextclick.simulation.simulation_config import validate_config
from nextclick.simulation.visitor_behavior import (
    LOG_LENGTH_SIGMA,
    VisitorHabits,
    simulate_sessions,
    time_of_day,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import Float64Array, Int32Array, Int64Array
    from nextclick.simulation.catalog import ShopCatalog
    from nextclick.simulation.simulation_config import SimulationConfig

CHUNK_EVENTS = 1_000_000
WEEK = (1.0, 0.97, 0.98, 1.0, 1.02, 1.1, 1.2)  # relative clicks per weekday, Monday first
EPOCH = date(1970, 1, 1).toordinal()
FIRST_SESSION = 10_000_001
SESSIONS = 2  # random stream, in addition to those of `catalog`


@dataclass(frozen=True, slots=True, eq=False)
class LogChunk:
    """Clicks sorted by time, none earlier than the clicks of the previous chunk.

    Attributes:
        session_id: (E,) int64.
        user_id: (E,) int64, -1 for an anonymous session.
        item_id: (E,) int64.
        category: (E,) int32 in 1..C, of the item.
        timestamp: (E,) int64, milliseconds since the epoch.
        n_sessions: number of sessions that started in this chunk or before.
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
    """Per click (E,): session from 0, user from 0 or -1, item index, milliseconds since epoch."""

    session: Int64Array
    user: Int64Array
    item: Int64Array
    time: Int64Array

    def take(self, indices: Int64Array) -> Clicks:
        """The clicks at (n,) indices."""
        return Clicks(*(column[indices] for column in self))


def simulate_chunks(config: SimulationConfig) -> Iterator[LogChunk]:
    """Yield the log in chunks of at most one day and about a million clicks.

    Raises:
        ConfigError: a parameter is out of range.
    """
    config = validate_config(config)
    return _chunks(config, build_catalog(config))


def _chunks(config: SimulationConfig, shop: ShopCatalog) -> Iterator[LogChunk]:
    habits = _habits(config)
    pending: list[Clicks] = []  # clicks after the end of the chunk in which they were generated
    n_sessions = 0
    midnight = (config.start.toordinal() - EPOCH) * MS_PER_DAY
    for day, (quota, weights, items) in enumerate(
        zip(daily_quotas(config), popularity(shop, config), ring_items(shop, config), strict=True)
    ):
        sampler = _item_sampler(shop, weights[items])
        n_parts = math.ceil(quota / CHUNK_EVENTS)
        for part, size in enumerate(_split_evenly(int(quota), n_parts)):
            rng = np.random.default_rng([config.seed, SESSIONS, day, part])
            hours = (part / n_parts, (part + 1) / n_parts)
            session, user, position, time, n_started = simulate_sessions(
                rng, sampler, habits, size, hours
            )
            pending.append(Clicks(session + n_sessions, user, items[position], time + midnight))
            n_sessions += n_started
            complete, later = _split_by_time(pending, midnight + time_of_day(hours[1]))
            pending = [later]
            yield _chunk(shop, config, complete, n_sessions)
        midnight += MS_PER_DAY
    complete, _ = _split_by_time(pending, None)
    if len(complete.time):
        yield _chunk(shop, config, complete, n_sessions)


def daily_quotas(config: SimulationConfig) -> Int64Array:
    """(days,) int64, clicks of the sessions that start on each day; they sum to `events`."""
    first = config.start.weekday()
    weights = np.array([WEEK[(first + day) % 7] for day in range(config.days)])
    ends = np.rint(np.cumsum(weights) / weights.sum() * config.events).astype(np.int64)
    quotas: Int64Array = np.diff(ends, prepend=0)
    return quotas


def _split_evenly(quota: int, n_parts: int) -> list[int]:
    """Split `quota` into parts that differ by at most one."""
    return [(k + 1) * quota // n_parts - k * quota // n_parts for k in range(n_parts)]


def _split_by_time(pending: list[Clicks], end: int | None) -> tuple[Clicks, Clicks]:
    """The clicks before `end`, sorted by time, and the later clicks."""
    clicks = Clicks(*(np.concatenate(columns) for columns in zip(*pending, strict=True)))
    order = np.argsort(clicks.time, kind="stable")
    n_before = len(order)
    if end is not None:
        n_before = int(np.searchsorted(clicks.time, end, sorter=order))
    return clicks.take(order[:n_before]), clicks.take(order[n_before:])


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


def _item_sampler(shop: ShopCatalog, weights: Float64Array) -> ItemSampler:
    """The sampling tables for the popularity (N,) by position on the rings."""
    running = np.concatenate([[0.0], np.cumsum(weights)])
    overall = np.add.reduceat(np.exp(shop.appeal), shop.bounds[:-1])
    return ItemSampler(
        category=shop.category.astype(np.int64) - 1,
        bounds=shop.bounds,
        familiar=np.concatenate([[0.0], np.cumsum(overall) / overall.sum()]),
        weights=weights,
        running=running,
        mass=running[shop.bounds],
        guide=guide_table(shop.bounds, running),
    )


def _habits(config: SimulationConfig) -> VisitorHabits:
    return VisitorHabits(
        users=config.users,
        salt=int(np.random.default_rng([config.seed, SESSIONS]).integers(1 << 62)),
        log_length=math.log(config.length) - LOG_LENGTH_SIGMA**2 / 2,  # the mean is `length`
        purpose=config.purpose,
        similarity=config.similarity,
        dwell_signal=config.dwell_signal,
        reclick=config.reclick,
        repeats=-1.0 if config.repeats is None else config.repeats,
        taste=config.taste,
        anonymous=config.anonymous,
    )
