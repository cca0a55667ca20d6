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
Differences in Recall@20 and MRR@20 have 95 % intervals by paired bootstrap over sessions, all seeds
together. Nothing is tuned, and the test split is ranked once per model. One GRU4Rec is shown as a
reference.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick import Store, prepare, train
from nextclick.data.options import PrepareOptions, SplitOptions
from nextclick.evaluation import evaluate
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Float64Array

K = 20
DRAWS = 2000
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
    question = QUESTIONS[name]
    options = PrepareOptions(split=SplitOptions(kind="fraction", fraction=0.2))
    path = folder / f"{name}.parquet"
    if not path.exists():
        simulate(question.shop, path)
    for form in FORMS:
        place = folder / f"{name}-{form}"
        if not place.exists():
            log = changed(pl.read_parquet(path), question.shuffled, form)
            prepare(log, place, options=options)
    return {form: Store.open(folder / f"{name}-{form}") for form in FORMS}


def ranked(store: Store, model: str, values: dict[str, Any], seed: int) -> dict[str, AnyArray]:
    """(P,) rank of each target of the test, and its session."""
    artifact = train(store, model, config=RECIPE | values, train_on="all", seed=seed)
    found = evaluate(artifact.model, store.part("test"), ks=[K], n_bootstrap=0)
    return {"ranks": found.ranks, "session": found.session}


def difference(pairs: list[tuple[Any, Any]]) -> dict[str, tuple[float, float, float]]:
    """Recall@20 and MRR@20 of the first less those of the second, with intervals."""
    told = {}
    session = pairs[0][0]["session"]
    n = int(session.max()) + 1
    counts = np.bincount(session, minlength=n)
    draws = np.random.default_rng(0).integers(n, size=(DRAWS, n))
    for metric in ("recall", "mrr"):
        each = np.mean([value(a, metric) - value(b, metric) for a, b in pairs], axis=0)
        sums = np.bincount(session, each, minlength=n)
        means = sums[draws].sum(1) / counts[draws].sum(1)
        low, high = np.quantile(means, [0.025, 0.975])
        told[metric] = (float(sums.sum() / counts.sum()), float(low), float(high))
    return told


def value(found: dict[str, AnyArray], metric: str) -> Float64Array:
    """(P,) what each prefix adds to a metric."""
    hit = found["ranks"] <= K
    return np.where(hit, 1.0 if metric == "recall" else 1.0 / found["ranks"], 0.0)


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
        print(f"| {name} | true | gru4rec | {means(level)} | | |", flush=True)
        for variant in QUESTIONS[name].variants:
            found = {
                form: [
                    ranked(store, "asars", {"variant": variant, "dropout": 0.25}, seed)
                    for seed in seeds
                ]
                for form, store in forms.items()
            }
            for form in FORMS:
                pairs = list(zip(found[form], found["flat"], strict=True))
                cells = [
                    f"{100 * mid:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
                    for mid, low, high in difference(pairs).values()
                ]
                told = " | ".join(["", ""] if form == "flat" else cells)
                print(
                    f"| {name} | {form} | {variant} | {means(found[form])} | {told} |", flush=True
                )


def means(found: list[dict[str, AnyArray]]) -> str:
    """Recall@20 and MRR@20 in percent, the mean over seeds."""
    each = (np.mean([value(one, metric).mean() for one in found]) for metric in ("recall", "mrr"))
    return " | ".join(f"{100 * one:.2f}" for one in each)


if __name__ == "__main__":
    main()
