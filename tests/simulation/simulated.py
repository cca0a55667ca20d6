"""Small simulated logs and their statistics, for the tests of the simulator."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from nextclick.core.sessions import MS_PER_DAY
from nextclick.simulation.catalog import build_catalog
from nextclick.simulation.simulate import SimulationConfig, simulate_frame

NO_STRUCTURE: dict[str, float] = {
    "purpose": 0,
    "similarity": 0,
    "dwell_signal": 0,
    "reclick": 0,
    "taste": 0,
    "drift": 0,
    "new_items": 0,
}


def small(**changes: Any) -> SimulationConfig:
    sizes = {"events": 60_000, "items": 600, "users": 3_000, "days": 12, "categories": 12}
    return SimulationConfig(**(sizes | changes))


class Log:
    """A simulated log sorted by session, with item indices."""

    def __init__(self, config: SimulationConfig):
        self.config = config
        self.shop = build_catalog(config)
        frame = simulate_frame(config).sort("session_id", "timestamp")
        self.frame = frame
        order = np.argsort(self.shop.item_ids)
        ids = frame["item_id"].to_numpy()
        self.items = order[np.searchsorted(self.shop.item_ids[order], ids)]
        self.category = self.shop.category[self.items]
        self.session = frame["session_id"].to_numpy()
        self.time = frame["timestamp"].to_numpy()
        self.first = np.diff(self.session, prepend=-1) != 0
        self.follows = np.flatnonzero(~self.first)  # clicks with a previous click in the session
        start = datetime.datetime.combine(config.start, datetime.time(), datetime.UTC)
        self.day = (self.time - int(start.timestamp() * 1000)) // MS_PER_DAY

    def distance(self) -> np.ndarray:
        """Distance on the ring between consecutive clicks; 10⁶ across categories."""
        now, then = self.items[self.follows - 1], self.items[self.follows]
        size = np.diff(self.shop.bounds)[self.shop.category[now] - 1]
        step = np.abs(now - then)
        return np.where(
            self.shop.category[now] == self.shop.category[then],
            np.minimum(step, size - step),
            10**6,
        )

    def gaps(self) -> np.ndarray:
        """Logarithm of the milliseconds between consecutive clicks."""
        return np.log(self.time[self.follows] - self.time[self.follows - 1])

    def clicks(self) -> np.ndarray:
        """(days, N), the number of clicks of each item on each day."""
        n_days, n_items = self.config.days, self.config.items
        day = np.minimum(self.day, n_days - 1)
        return np.bincount(day * n_items + self.items, minlength=n_days * n_items).reshape(
            n_days, n_items
        )
