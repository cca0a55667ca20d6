"""Recall@20 and MRR@20 of every model's default on small logs.

Three logs with about 1,000, 2,500 and 10,000 training prefixes are cut from a week of Yoochoose
(`--week`, a folder with `train_full.txt` and `test.txt`): its latest sessions before the test and
the sessions of the test. Three more are simulated. Every model is trained with its default, on one
thread, and ranked on the test split once.

Rows that are in OUTPUT already are not measured again, so an interrupted run continues. `--preset
paper` measures the published settings instead.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick import evaluate, prepare, train
from nextclick.data.options import FilterOptions, PrepareOptions, SplitOptions
from nextclick.data.store import Store
from nextclick.models.model_registry import model_class, model_names
from nextclick.simulation.simulate import SimulationConfig, simulate
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIXES = (1_000, 2_500, 10_000)
EVERY_ITEM = FilterOptions(min_item_support=1)
CHANGES: dict[str, dict[str, Any]] = {"asars": {"variant": "time_cat"}}  # the week has no users


def week(folder: Path, n_prefixes: int) -> Iterator[pl.DataFrame]:
    """The latest sessions before the test with about `n_prefixes`, and those of the test."""
    training = pl.read_csv(folder / "train_full.txt", separator="\t")
    sessions = training.group_by("SessionId").agg(
        pl.col("Time").max(), (pl.len() - 1).alias("prefixes")
    )
    latest = sessions.sort("Time", "SessionId", descending=True).with_columns(
        pl.col("prefixes").cum_sum()
    )
    chosen = latest.filter(pl.col("prefixes") <= n_prefixes)["SessionId"]
    yield training.filter(pl.col("SessionId").is_in(chosen.implode()))
    yield pl.read_csv(folder / "test.txt", separator="\t")


def store_of(source: str, n_prefixes: int, week_folder: Path, folder: Path) -> Store:
    """The prepared log, written once."""
    path = folder / f"{source}-{n_prefixes}"
    if (path / "store").exists():
        return Store.open(path / "store")
    path.mkdir(parents=True, exist_ok=True)
    if source == "week":
        parts = list(week(week_folder, n_prefixes))
        for name, part in zip(("train", "test"), parts, strict=True):
            part.write_csv(path / f"{name}.csv")
        options = PrepareOptions(filters=EVERY_ITEM)
        return prepare(
            path / "train.csv", path / "store", test=[path / "test.csv"], options=options
        ).store
    # two thirds of the clicks are prefixes of the training split, the rest first clicks and test
    config = SimulationConfig(events=n_prefixes * 3 // 2, items=500, users=n_prefixes // 20)
    simulate(config, path / "log.parquet")
    split = SplitOptions(kind="fraction", fraction=0.1)
    options = PrepareOptions(filters=EVERY_ITEM, split=split)
    return prepare(path / "log.parquet", path / "store", options=options).store


def measured(store: Store, name: str, preset: str | None) -> dict[str, Any]:
    """Metrics and seconds of one training."""
    neural = model_class(name).default_capabilities.neural
    config = {**CHANGES.get(name, {}), **({"threads": 1} if neural else {})}
    start = time.perf_counter()
    artifact = train(
        store,
        name,
        config=config,
        train_on="all",
        neural=NeuralOptions(preset=preset) if neural else None,
    )
    seconds = time.perf_counter() - start
    metrics = evaluate(artifact, store, ks=[20], n_bootstrap=0).metrics
    return {
        "prefixes": store.part("train").n_prefixes,
        "items": len(store.items),
        "recall@20": metrics["recall@20"].value,
        "mrr@20": metrics["mrr@20"].value,
        "seconds": seconds,
        "validation": artifact.trained.get("validation"),
        "best_epoch": artifact.trained.get("best_epoch"),
    }


def main() -> None:
    """Measure what is missing in the output file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--week", type=Path, required=True, help="folder of the week")
    parser.add_argument("--output", "-o", type=Path, required=True, help="JSON lines, appended to")
    parser.add_argument("--folder", type=Path, required=True, help="prepared logs")
    parser.add_argument("--logs", default="week,simulated")
    parser.add_argument("--prefixes", default=",".join(map(str, PREFIXES)))
    parser.add_argument("--models", default=",".join(model_names()))
    parser.add_argument("--preset", default=None, help="of neural models")
    options = parser.parse_args()
    done = set()
    if options.output.exists():
        for line in options.output.read_text("utf-8").splitlines():
            row = json.loads(line)
            done.add((row["log"], row["n"], row["model"], row["preset"]))
    for source in options.logs.split(","):
        for n in map(int, options.prefixes.split(",")):
            store = store_of(source, n, options.week, options.folder)
            for name in options.models.split(","):
                if (source, n, name, options.preset) in done:
                    continue
                row = {"log": source, "n": n, "model": name, "preset": options.preset}
                row |= measured(store, name, options.preset)
                with options.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(
                    f"{source} {n} {name}: {100 * row['recall@20']:.2f} / "
                    f"{100 * row['mrr@20']:.2f}, {row['seconds']:.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
