"""The simulated shop on which the commands of docs/common-tasks.md run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

import nextclick
from nextclick import ItemRules, PrepareOptions, SimulationConfig, Store
from nextclick.data.options import FilterOptions, ItemOptions
from nextclick.simulation.simulate import simulate_items

SIZE = SimulationConfig(events=3000, items=80, users=250, days=6, categories=8)
NEW_ITEM = 9_000_001  # clicked in the newer log only
NO_CLICK = 9_000_002  # in the item table only
QUICK = {"embedding_width": 16, "hidden_width": 16, "epochs": 1}  # of a network


class Shop:
    """The logs, stores and models that the page names, in the working directory.

    Attributes:
        log: the clicks of clicks.csv.
        sessions: the clicked items of each session, by session id.
        store, model: the prepared log and a model of it, in folders of these names.
        ids: the item ids that the letters of the page stand for: A and B are the first clicks of a
            session, and C is the first other item that the model recommends after them.
    """

    def __init__(self) -> None:
        nextclick.simulate(SIZE, "clicks.csv")
        simulate_items(SIZE, "items.csv")
        with Path("items.csv").open("a") as file:
            file.write(f"{NO_CLICK},category-3,brand-1,9.99,Novelty\n")
        self.log = pl.read_csv("clicks.csv")
        grouped = self.log.group_by("session_id", maintain_order=True).agg("item_id")
        self.sessions: dict[int, list[int]] = dict(grouped.iter_rows())
        self.store = prepared("store")
        nextclick.train(self.store, "session-knn", "model", refreshable=True)
        a, b = next(items for items in self.sessions.values() if len(set(items[:2])) == 2)[:2]
        c = recommended("model", [a, b], rules=ItemRules(exclude_seen=True))[0]
        self.ids = {"A": a, "B": b, "C": c}

    @property
    def session(self) -> list[int]:
        """The session of A and B."""
        return [self.ids["A"], self.ids["B"]]

    def newer_log(self, path: str = "newer.csv") -> None:
        """Write ten sessions after the log, each of the new item and then A."""
        start = self.log["timestamp"].max() + 3_600_000  # type: ignore[operator]
        clicks = [
            (90_000_000 + session, item, start + session * 600_000 + n * 20_000)
            for session in range(10)
            for n, item in enumerate((NEW_ITEM, self.ids["A"]))
        ]
        columns = ["session_id", "item_id", "timestamp"]
        pl.DataFrame(clicks, schema=columns, orient="row").write_csv(path)


def prepared(name: str, **items: Any) -> Store:
    """A store of the log with its item table."""
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        item_table=ItemOptions(source="items.csv", **items),
    )
    return nextclick.prepare("clicks.csv", name, options=options).store


def recommended(model: str, session: list[int], k: int = 5, **more: Any) -> list[int]:
    """The items that the Python API recommends."""
    return list(nextclick.load(model).recommend([session], k=k, **more)[0].items)
