"""Do time and users help where they carry something, and only there?

    pip install 'nextclick[neural]'
    python benchmarks/planted_signals.py -o FOLDER

Two simulated shops (see docs/simulator.md). In the first, how long an item is looked at tells how
much it interests, and visitors go on from what interested them; in the second, visitors have tastes
of their own and sessions no purpose. Each is trained on as it is, and with the signal destroyed:
the gaps between clicks are dealt out anew over the whole log, or the visitors over the sessions.

A model with the signal stands beside a twin without it, on the same targets: the differences in
Recall@20 and MRR@20 have 95 % intervals by paired bootstrap over sessions, all seeds together. The
validation chooses the epoch of each, the test is ranked once.
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
from nextclick.data.simulate import simulate
from nextclick.data.simulation import SimulationConfig
from nextclick.evaluation import evaluate

if TYPE_CHECKING:
    from nextclick.types import AnyArray, Float64Array

K = 20
DRAWS = 2000
RECIPE: dict[str, Any] = {
    "loss": "ce",
    "negatives": 0,
    "learning_rate": 0.003,
    "batch_size": 512,
    "epochs": 12,
    "schedule": "cosine",
    "order": "sessions",
}
TIMELESS: dict[str, Any] = {
    "embedding": "tied",
    "embedding_dropout": 0.25,
    "sparse": False,
    "in_batch": False,
    "momentum": 0.0,
    "optimizer": "adam",
    "correct_target": False,
}


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
            purpose=0.0, taste=0.0, drift=0.0, new_items=0.0, reclick=0.3, similarity=1.0,
        ),
        "gaps",
        ("time_att", "time_cat"),
    ),
    "users": Question(
        SimulationConfig(
            events=60_000, items=400, users=300, days=10, categories=20, length=4,
            purpose=0.0, taste=1.0, drift=0.0, new_items=0.0, reclick=0.0, similarity=0.3,
            anonymous=0.0,
        ),
        "users",
        ("user_att", "user_cat"),
    ),
}  # fmt: skip


def shuffled(log: pl.DataFrame, what: str) -> pl.DataFrame:
    """The log with its gaps, or its users, dealt out anew."""
    rng = np.random.default_rng(0)
    if what == "users":
        owners = log.group_by("session_id", maintain_order=True).agg(pl.col("user_id").first())
        owners = owners.with_columns(pl.col("user_id").shuffle(seed=0))
        return log.drop("user_id").join(owners, on="session_id", maintain_order="left")
    log = log.sort("session_id", "timestamp", maintain_order=True)
    gaps = log.select(pl.col("timestamp").diff().over("session_id"))["timestamp"].to_numpy().copy()
    inner = ~np.isnan(gaps.astype(np.float64))
    gaps[inner] = rng.permutation(gaps[inner])
    start = pl.col("timestamp").first().over("session_id")
    since = pl.Series("gap", np.where(inner, gaps, 0).astype(np.int64))
    return log.with_columns(since).with_columns(
        (start + pl.col("gap").cum_sum().over("session_id")).alias("timestamp")
    ).drop("gap")  # fmt: skip


def stores(name: str, folder: Path) -> dict[str, Store]:
    """The shop as it is and with its signal destroyed."""
    question = QUESTIONS[name]
    found = {}
    options = PrepareOptions(split=SplitOptions(kind="fraction", fraction=0.2))
    path = folder / f"{name}.parquet"
    if not path.exists():
        simulate(question.shop, path)
    for form in ("true", "shuffled"):
        place = folder / f"{name}-{form}"
        if not place.exists():
            log = pl.read_parquet(path)
            log = log if form == "true" else shuffled(log, question.shuffled)
            prepare(log, place, options=options)
        found[form] = Store.open(place)
    return found


def ranked(store: Store, model: str, values: dict[str, Any], seed: int) -> dict[str, AnyArray]:
    """(P,) rank of each target of the test, and its session."""
    artifact = train(store, model, config=RECIPE | values, seed=seed)
    seen = artifact.support > 0
    assert seen[1:].all(), "the part that is learnt from lacks an item"
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
    print("| signal | log | model | less its twin | Recall@20, points | MRR@20, points |")
    print("|---|---|---|---|---|---|")
    for name in options.questions:
        for form, store in stores(name, options.output).items():
            seeds = range(options.seeds)
            twins = [ranked(store, "gru4rec", TIMELESS, seed) for seed in seeds]
            for variant in QUESTIONS[name].variants:
                own = [ranked(store, "asars", {"variant": variant}, seed) for seed in seeds]
                found = difference(list(zip(own, twins, strict=True)))
                cells = [
                    f"{100 * mid:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
                    for mid, low, high in found.values()
                ]
                print(
                    f"| {name} | {form} | {variant} | gru4rec | {' | '.join(cells)} |", flush=True
                )


if __name__ == "__main__":
    main()
