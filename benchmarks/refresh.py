"""Measure the value of a daily refresh: stale, refreshed and retrained models, day by day.

    pip install 'nextclick[neural]'
    python benchmarks/refresh.py LOG --format globo -o FOLDER
    python benchmarks/refresh.py LOG --format globo -o FOLDER --models gru4rec --rate 0.5 --replay 1

A day holds the sessions that ended on it (UTC). For each of the last `--days` days e, each model is

- stale: trained on all sessions before the day that precedes the first e;
- refreshed: the same, refreshed in turn with the day before each e;
- retrained: trained from scratch on all sessions before e.

It is ranked on day e after every prefix, over its own catalog; an unknown target is a miss, so all
three rank the same prefixes. The time is that of the refresh with its check, or of the training. A
store is prepared for each day, with min_item_support 5 counted up to the end of that day, as
`prepare` does, while a refresh counts a new item within its own day. For counting models, refreshed
and retrained models differ in that alone. Days with less than a tenth of the busiest day's sessions
are left out. FOLDER stores finished parts; rerun the same command to resume.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cache_keys import artifact_key, clicks_key
from nextclick.artifact import Artifact
from nextclick.cli.parsing import parse_list, parse_values
from nextclick.core.sessions import MS_PER_DAY
from nextclick.core.storage import write_json
from nextclick.core.types import silent
from nextclick.data.options import FilterOptions, PrepareOptions, ReadOptions, SplitOptions
from nextclick.data.prepare_store import prepare
from nextclick.data.session_log import read_sessions
from nextclick.data.store import Store
from nextclick.evaluation import RankingProtocol
from nextclick.evaluation import evaluate as rank_and_measure
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.model_training import train
from nextclick.experiments.refresh_options import FineTuneOptions, PublishCheckOptions
from nextclick.experiments.reindex import sessions_for
from nextclick.experiments.run_cache import RunCache
from nextclick.models.model_registry import model_class

KS = (20,)
SHOWN = ("recall@20", "mrr@20")


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The folder of an artifact, and the seconds that it took to make."""

    path: Path
    seconds: float

    def load(self) -> Artifact:
        """The artifact."""
        return Artifact.load(self.path)


def clicks_of(log: str, form: str, share: float) -> pl.DataFrame:
    """All clicks: session, item, time in ms, and the day on which the session ended."""
    options = PrepareOptions(read=ReadOptions(format=form, on_bad_row="skip"))
    found = read_sessions([log], None, options, silent)
    table = found.memory_table
    ends = table.ends()
    assert ends is not None and table.times is not None
    every = np.arange(len(found.items), dtype=np.int32)
    vocabulary, place = found.items.vocabulary(every)
    raw = np.array(vocabulary.ids())
    session = np.repeat(np.arange(len(table)), np.diff(table.offsets))
    frame = pl.DataFrame(
        {
            "session": session,
            "item": raw[place[table.items] - 1],
            "time": table.times,
            "day": (ends // MS_PER_DAY)[session],
        }
    )
    kept = np.random.default_rng(0).random(len(table)) < share
    return frame.filter(pl.Series(kept[session]))


def last_days(clicks: pl.DataFrame, n: int) -> list[int]:
    """The last n days that are no small remainder."""
    sizes = clicks.group_by("day").agg(pl.col("session").n_unique()).sort("day")
    busiest = sizes["session"].max()
    return sizes.filter(pl.col("session") * 10 >= busiest)["day"].to_list()[-n:]


def store_of(clicks: pl.DataFrame, day: int, cache: RunCache) -> Store:
    """Training on all before a day, test on that day."""
    options = PrepareOptions(
        read=ReadOptions(unit="ms"),
        filters=FilterOptions(min_item_support=5),
        split=SplitOptions(kind="boundary", boundary=str(day * MS_PER_DAY), unseen="miss"),
    )
    log = clicks.filter(pl.col("day") <= day).drop("day")
    inputs = {"clicks": clicks_key(log), "options": asdict(options)}
    place = cache.run_folder(f"store-{day}", inputs) / "store"
    if not place.exists():
        prepare(log, place, options=options)
    return Store.open(place)


def trained(name: str, store: Store, values: dict[str, str], cache: RunCache) -> TrainedModel:
    """A model of all before the test."""
    inputs = {"data_fingerprint": store.fingerprint, "model": name, "values": values}
    folder = cache.run_folder(f"{name}-trained", inputs)
    place = folder / "artifact"
    if not (folder / "seconds.json").exists():
        began = time.perf_counter()
        train(store, name, place, config=values, train_on="all", refreshable=True, overwrite=True)
        write_json(folder / "seconds.json", {"seconds": time.perf_counter() - began})
    seconds = float(json.loads((folder / "seconds.json").read_text())["seconds"])
    return TrainedModel(place, seconds)


def refreshed(
    before: TrainedModel,
    log: pl.DataFrame,
    store: Store | None,
    options: argparse.Namespace,
    cache: RunCache,
) -> TrainedModel:
    """A model refreshed with a log; `store` is that of the first training, for replay."""
    fine_tune = FineTuneOptions(epochs=options.epochs, rate=options.rate, replay=options.replay)
    check = PublishCheckOptions(holdout=options.holdout, tolerance=1.0)
    inputs = {
        "before": artifact_key(before.path), "clicks": clicks_key(log),
        "fine_tune": asdict(fine_tune), "check": asdict(check),
        "store": None if store is None else store.fingerprint,
    }  # fmt: skip
    place = cache.run_folder(options.label, inputs) / "artifact"
    if not place.exists():
        began = time.perf_counter()
        made = refresh(
            before.load(), log, options=refresh_options(), publish_check=check,
            fine_tune=fine_tune, store=store,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        made.artifact.trained["refreshes"][-1]["whole_seconds"] = seconds
        made.artifact.save(place)
    after = Artifact.load(place)
    return TrainedModel(place, float(after.trained["refreshes"][-1]["whole_seconds"]))


def measured(artifact: Artifact, store: Store, seconds: float) -> dict[str, Any]:
    """Accuracy on the test day."""
    sessions = sessions_for(artifact, store, "test").mask_unseen_items(artifact.support)
    found = rank_and_measure(
        artifact.model, sessions, ks=KS, protocol=RankingProtocol(unseen="miss")
    )
    return {
        "metrics": {name: found.to_json()["metrics"][name] for name in SHOWN},
        "prefixes": found.counts.prefixes,
        "unknown_targets": found.counts.unseen_targets,
        "items": len(artifact.items),
        "seconds": seconds,
    }


def compare(name: str, clicks: pl.DataFrame, options: argparse.Namespace) -> None:
    """One model on all days."""
    values = parse_values(options.set) if model_class(name).default_capabilities.neural else {}
    days, cache = last_days(clicks, options.days), RunCache(options.output)
    base_store = store_of(clicks, days[0] - 1, cache)
    stale = current = trained(name, base_store, values, cache)
    for day in days:
        store = store_of(clicks, day, cache)
        log = clicks.filter(pl.col("day") == day - 1).drop("day")
        replayed = base_store if options.replay else None
        current = refreshed(current, log, replayed, options, cache)
        anew = trained(name, store, values, cache)
        for label, model in (("stale", stale), (options.label, current), ("retrained", anew)):
            show(name, day, label, cached_measurement(f"{name}-{label}", model, store, cache))
        decision = current.load().trained["refreshes"][-1]["decision"]
        if decision is not None:
            print(f"{'':12} check: {decision['current']:.4f} to {decision['refreshed']:.4f}")


def cached_measurement(
    name: str, model: TrainedModel, store: Store, cache: RunCache
) -> dict[str, Any]:
    """The accuracy of a model on the test day of a store."""
    inputs = {
        "artifact": artifact_key(model.path), "data_fingerprint": store.fingerprint, "ks": KS,
        "seconds": model.seconds,
    }  # fmt: skip
    return cache.values(
        f"{name}-result", inputs, lambda _: measured(model.load(), store, model.seconds)
    )


def refresh_options() -> PrepareOptions:
    """As the stores were prepared."""
    return PrepareOptions(
        read=ReadOptions(unit="ms"), filters=replace(FilterOptions(), min_item_support=5)
    )


def show(name: str, day: int, label: str, found: dict[str, Any]) -> None:
    """A line for people."""
    cells = []
    for metric in SHOWN:
        at = found["metrics"][metric]
        cells.append(
            f"{metric} {100 * at['value']:.2f} [{100 * at['low']:.2f}, {100 * at['high']:.2f}]"
        )
    print(
        f"{name:12} day {day} {label:10} {'  '.join(cells)}  "
        f"{found['seconds']:9.2f} s  {found['prefixes']:,} prefixes, "
        f"{found['unknown_targets']:,} unknown targets, {found['items']:,} items",
        flush=True,
    )


def main() -> None:
    """All models on all days."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log")
    parser.add_argument("--format", default="table", help="as of `nextclick prepare`")
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--models", default="session-knn,item-knn,gru4rec")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the sessions, drawn at random")
    parser.add_argument(
        "--holdout", type=float, default=0.1, help="of the publish check; 0 for none"
    )
    parser.add_argument("--epochs", type=int, default=1, help="of a neural refresh; 0: none")
    parser.add_argument("--rate", type=float, default=0.5, help="of a neural refresh")
    parser.add_argument("--replay", type=float, default=0.0, help="of a neural refresh")
    parser.add_argument("--label", default="refreshed", help="a name for these settings")
    options = parser.parse_args()
    clicks = clicks_of(options.log, options.format, options.share)
    for name in parse_list(options.models):
        compare(name, clicks, options)


if __name__ == "__main__":
    main()
