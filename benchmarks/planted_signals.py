"""Test whether models that read times and users gain where these are informative, and only there.

    pip install 'nextclick[neural]'
    python benchmarks/planted_signals.py -o FOLDER

There are two simulated logs (see docs/simulator.md). In the first, dwell time indicates interest,
and visitors continue from items of interest. In the second, visitors have tastes and sessions no
purpose. Each log has three versions: unchanged; shuffled, with gaps permuted over the whole log or
visitors over the sessions; and flat, with every gap 10 s or every session of one visitor. Sessions
start three hours apart, so that all versions have the same sessions in the same order in training
and test.

Each variant on the unchanged and the shuffled log is compared with itself on the flat log.
Differences in Recall@20 and MRR@20 have 95 % intervals by a paired bootstrap over sessions and
seeds. Nothing is tuned, and the test split is ranked once per model. One GRU4Rec is shown as a
reference.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick import Store, prepare, train
from nextclick.data.options import PrepareOptions, SplitOptions
from nextclick.evaluation import evaluate
from nextclick.experiments.run_cache import RunCache
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from paired_difference import difference, mean_percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array
    from nextclick.evaluation import Evaluation

K = 20
METRICS = ("recall@20", "mrr@20")
RECIPE: dict[str, Any] = {
    "loss": "ce",
    "negatives": 0,
    "learning_rate": 0.01,
    "schedule": "cosine",
    "batch_size": 512,
    "epochs": 10,
    "keep": "last",
    "order": "sessions",
}
OWN: dict[str, Any] = {"dropout": 0.25, "history": "none"}  # of ASARS
GRU4REC: dict[str, Any] = {
    "embedding_dropout": 0.25,
    "sparse": False,
    "in_batch": False,
    "momentum": 0.0,
    "optimizer": "adam",
}
FORMS = ("flat", "true", "shuffled")
EPOCH, APART, GAP = 1_700_000_000_000, 3 * 3_600_000, 10_000  # ms


@dataclass(frozen=True)
class Question:
    """A shop, what is shuffled in it, and who is compared on it."""

    shop: SimulationConfig
    shuffled: str
    variants: tuple[str, ...]


QUESTIONS = {
    "dwell": Question(
        SimulationConfig(
            events=60_000, items=400, users=10_000, days=10, categories=10, length=8,
            purpose=0.0, taste=0.0, drift=0.0, new_items=0.0, reclick=0.7, similarity=1.0,
        ),
        "gaps",
        ("time_cat", "time_att"),
    ),
    "users": Question(
        SimulationConfig(
            events=60_000, items=800, users=300, days=10, categories=40, length=3,
            purpose=0.0, taste=1.0, drift=0.0, new_items=0.0, reclick=0.0, similarity=0.3,
            anonymous=0.0,
        ),
        "users",
        ("user_cat", "user_att"),
    ),
}  # fmt: skip


def changed(log: pl.DataFrame, what: str, form: str) -> pl.DataFrame:
    """A form of the log: its gaps, or its users, as they are, shuffled, or all the same."""
    if what == "users" and form == "flat":
        log = log.with_columns(pl.lit(1).alias("user_id"))
    if what == "users" and form == "shuffled":
        owners = log.group_by("session_id", maintain_order=True).agg(pl.col("user_id").first())
        owners = owners.with_columns(pl.col("user_id").shuffle(seed=0))
        log = log.drop("user_id").join(owners, on="session_id", maintain_order="left")
    log = log.with_columns(pl.col("timestamp").min().over("session_id").alias("start"))
    log = log.sort("start", "session_id", "timestamp", maintain_order=True)
    gaps = log.select(pl.col("timestamp").diff().over("session_id"))["timestamp"]
    inner, ms = gaps.is_not_null().to_numpy(), gaps.fill_null(0).to_numpy().copy()
    if what == "gaps" and form == "flat":
        ms[inner] = GAP
    if what == "gaps" and form == "shuffled":
        ms[inner] = np.random.default_rng(0).permutation(ms[inner])
    starts = EPOCH + APART * np.cumsum(~inner)
    log = log.with_columns(pl.Series("start", starts), pl.Series("ms", ms))
    since = pl.col("ms").cum_sum().over("session_id")
    return log.with_columns((pl.col("start") + since).alias("timestamp")).drop("start", "ms")


def stores(name: str, folder: Path) -> dict[str, Store]:
    """The three forms of a shop."""
    question, cache = QUESTIONS[name], RunCache(folder)
    options = PrepareOptions(split=SplitOptions(kind="fraction", fraction=0.2))
    shop = {"shop": repr(question.shop)}
    path = cache.run_folder(name, shop) / "log.parquet"
    if not path.exists():
        simulate(question.shop, path)
    found = {}
    for form in FORMS:
        inputs = shop | {"form": form, "shuffled": question.shuffled, "options": asdict(options)}
        place = cache.run_folder(f"{name}-{form}", inputs) / "store"
        if not place.exists():
            log = changed(pl.read_parquet(path), question.shuffled, form)
            prepare(log, place, options=options)
        found[form] = Store.open(place)
    return found


def ranked(store: Store, model: str, values: dict[str, Any], seed: int) -> Evaluation:
    """The test, with the rank of each target."""
    artifact = train(store, model, config=RECIPE | values, train_on="all", seed=seed)
    return evaluate(artifact.model, store.part("test"), ks=[K], n_bootstrap=0)


def main() -> None:
    """Train, compare, print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    RECIPE["threads"] = options.threads
    print("| signal | log | model | Recall@20 | MRR@20 | less the flat log, points: Recall | MRR |")
    print("|---|---|---|---|---|---|---|", flush=True)
    seeds = range(options.seeds)
    for name in options.questions:
        forms = stores(name, options.output)
        level = [ranked(forms["true"], "gru4rec", GRU4REC, seed=0)]
        row(name, "true", "gru4rec", [one.ranks for one in level], ["", ""])
        for variant in QUESTIONS[name].variants:
            found = {
                form: [ranked(store, "asars", {"variant": variant, **OWN}, seed) for seed in seeds]
                for form, store in forms.items()
            }
            flat = [one.ranks for one in found["flat"]]
            for form in FORMS:
                ranks, told = [one.ranks for one in found[form]], ["", ""]
                if form != "flat":
                    session = found[form][0].session
                    told = [difference(ranks, flat, session, m).points() for m in METRICS]
                row(name, form, variant, ranks, told)


def row(
    name: str, form: str, model: str, ranks: Sequence[Float64Array], differences: Sequence[str]
) -> None:
    """Print a line of the table."""
    means = [mean_percent(ranks, metric) for metric in METRICS]
    print(f"| {name} | {form} | {model} | {' | '.join([*means, *differences])} |", flush=True)


if __name__ == "__main__":
    main()
