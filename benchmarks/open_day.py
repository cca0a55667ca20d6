"""Measure TASRec after refreshes with logs that end within a day.

    pip install 'nextclick[neural]'
    python benchmarks/open_day.py

The log is that of `drift.py`, on the clock of a time zone: half of the items swap positions every
night, so the graph of the day before is informative. A model is trained on all days before the
last two, and refreshed with the first of these up to 1:00, 12:00 and 23:59 on that clock. Each
refresh only moves the graph (no epochs). The table has the number of neighbor pairs that sessions
read right after the end of the log, and Recall@20 and MRR@20 on the sessions of the next 12 hours,
each with the graph of its block. Rows:

- apart: the open day is kept apart, as `nextclick refresh` does;
- closed: the part of the day counts as a day, as it did in earlier versions;
- stale: without a refresh, as `nextclick serve` answers until then.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from drift import RECIPE, Ring
from nextclick import prepare, train
from nextclick.core.metrics import METRICS
from nextclick.core.sessions import Sessions
from nextclick.core.time_blocks import TimeBlocks
from nextclick.data.options import FilterOptions, PrepareOptions, SessionOptions, SplitOptions
from nextclick.evaluation import RankingProtocol
from nextclick.evaluation import evaluate as rank_and_measure
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.refresh_options import FineTuneOptions, PublishCheckOptions

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
K = 20
CUTS = ("01:00", "12:00", "23:59")
HOURS_AFTER = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One model after one refresh; metrics in percent."""

    cut: str
    model: str
    last_block: int
    pairs: int
    recall: float
    mrr: float

    def line(self) -> str:
        """A line of the table."""
        return (
            f"| {self.cut} | {self.model} | {self.last_block} | {self.pairs:,} "
            f"| {self.recall:.2f} | {self.mrr:.2f} |"
        )


@dataclass(frozen=True, slots=True)
class Drill:
    """A log on the clock of a time zone, and a model trained on all but its last two days.

    Attributes:
        log: session_id, item_id and timestamp, with `end`, the last click of the session.
        artifact: the trained model.
        blocks: the blocks of the store; block 0 is the first day.
        day: the day of the refreshes.
    """

    log: pl.DataFrame
    artifact: Artifact
    blocks: TimeBlocks
    day: int

    @classmethod
    def create(cls, ring: Ring, zone: str, values: dict[str, Any], folder: Path) -> Drill:
        """Simulate the log and train the model."""
        shown = pl.from_epoch("timestamp", time_unit="ms").dt.replace_time_zone(
            zone, ambiguous="earliest", non_existent="null"
        )
        log = ring.log().with_columns(timestamp=shown.dt.epoch("ms")).drop_nulls()
        log = log.with_columns(end=pl.col("timestamp").max().over("session_id"))
        blocks = TimeBlocks.from_first(int(log["timestamp"].min()), 1.0, timezone=zone)  # type: ignore[arg-type]
        day = ring.days - 2
        boundary = blocks.start_ms(day)
        options = PrepareOptions(
            sessions=SessionOptions(block_timezone=zone),
            filters=FilterOptions(min_item_support=1),
            split=SplitOptions(kind="boundary", boundary=str(boundary)),
        )
        store = prepare(log.drop("end"), folder / "store", options=options).store
        artifact = train(store, "tasrec", config=RECIPE | values, train_on="all")
        return cls(log, artifact, blocks, day)

    def rows(self, cut: str) -> list[Row]:
        """The three models after a refresh with the day up to a time of the clock."""
        until_ms = self._moment(cut)
        start_ms = self.blocks.start_ms(self.day)
        new = self.log.filter(pl.col("end").is_between(start_ms, until_ms)).drop("end")
        artifact = refresh(
            self.artifact, new, until=str(until_ms),
            publish_check=PublishCheckOptions(holdout=0), fine_tune=FineTuneOptions(epochs=0),
        ).artifact  # fmt: skip
        closed = replace(artifact, model=copy.deepcopy(artifact.model))
        if closed.model.last_block < self.day:
            closed.model.advance(_no_sessions(closed))
        models = {"apart": artifact, "closed": closed, "stale": self.artifact}
        return [self._row(cut, name, model, until_ms) for name, model in models.items()]

    def _moment(self, cut: str) -> int:
        assert self.blocks.timezone is not None
        zone, (hour, minute) = ZoneInfo(self.blocks.timezone), map(int, cut.split(":"))
        midnight = datetime.fromtimestamp(self.blocks.start_ms(self.day) / 1000, zone)
        return round((midnight + timedelta(hours=hour, minutes=minute)).timestamp() * 1000)

    def _row(self, cut: str, name: str, artifact: Artifact, until_ms: int) -> Row:
        stop_ms = until_ms + HOURS_AFTER * 3_600_000
        later = self.log.filter((pl.col("end") > until_ms) & (pl.col("end") <= stop_ms))
        ends = later["end"].to_numpy()
        ranks = []
        for block in np.unique(self.blocks.of(ends)).tolist():
            sessions = _sessions(artifact, later.filter(self.blocks.of(ends) == block))
            # a closed part of a day is read by the rest of that day, too
            model = artifact.model if name == "closed" else artifact.model.at_block(block)
            evaluation = rank_and_measure(
                model, sessions, ks=[K], protocol=RankingProtocol(unseen="miss"), n_bootstrap=0
            )
            ranks.append(evaluation.ranks)
        every = np.concatenate(ranks)
        recall, mrr = (
            100 * float(METRICS[metric](every, K).mean()) for metric in ("recall", "mrr")
        )
        last = artifact.model.last_block
        return Row(cut, name, last, artifact.model.neighbor_pairs[last + 1], recall, mrr)


def _sessions(artifact: Artifact, clicks: pl.DataFrame) -> Sessions:
    """The sessions of clicks in the items of a model; item 0 is unknown."""
    clicks = clicks.sort("end", "session_id", "timestamp", maintain_order=True)
    lists = clicks.group_by("session_id", maintain_order=True).agg("item_id")["item_id"]
    index = artifact.items.indices
    return Sessions.from_lists(
        [index(one).tolist() for one in lists.to_list()], len(artifact.items)
    )


def _no_sessions(artifact: Artifact) -> Sessions:
    return Sessions.from_lists([], len(artifact.items))


def main() -> None:
    """Run the drill and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--timezone", default="Europe/Berlin")
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=RECIPE["epochs"])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ring = Ring(events=options.events, items=options.items, days=options.days)
    values = {"epochs": options.epochs, "width": options.width, "threads": options.threads}
    with tempfile.TemporaryDirectory() as folder:
        drill = Drill.create(ring, options.timezone, values, Path(folder))
        before = drill.artifact.model
        print(f"{before.neighbor_pairs[before.last_block + 1]:,} pairs before day {drill.day}\n")
        print("| log until | the day | last whole day | pairs | Recall@20 | MRR@20 |")
        print("|---|---|---|---|---|---|", flush=True)
        for cut in CUTS:
            for row in drill.rows(cut):
                print(row.line(), flush=True)


if __name__ == "__main__":
    main()
