"""Test whether TASRec's graph of the previous day helps if transitions drift.

    pip install 'nextclick[neural]'
    python benchmarks/drift.py -o FOLDER

In a simulated log, items lie on a ring and visitors move along it by one or two positions per
click. Half of the items swap positions every night: transitions are partly those of the previous
day, and not those of a week ago. Two versions of the log are controls. "days shuffled" permutes
whole days, so that the previous day is any day. "sessions dealt" assigns sessions to random days,
so that all days are alike.

On all versions, TASRec is compared with its base variant, which has no temporal item graph, with
the same loss, rate and epochs, trained on the first three quarters of the days. The test split is
the rest, evaluated with the graph of all earlier days (prequential) and with the graph of training
(frozen). There is one round of messages, because two rounds reach most of so small a catalog.
Differences to the base variant in Recall@20 and MRR@20 have 95 % intervals by a paired bootstrap
over sessions and seeds.

FOLDER stores finished parts; rerun the same command to resume.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick import Store, prepare, train
from nextclick.core.sessions import MS_PER_DAY
from nextclick.data.options import PrepareOptions, SessionOptions, SplitOptions
from nextclick.evaluation import evaluate
from nextclick.experiments.checkpoint_paths import has_checkpoint
from nextclick.experiments.run_cache import RunCache
from nextclick.training.training_config import NeuralOptions
from paired_difference import difference, mean_percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import AnyArray

K = 20
METRICS = ("recall@20", "mrr@20")
TEST = 0.25  # of the days
FORMS = ("true", "days-shuffled", "sessions-dealt")
RECIPE: dict[str, Any] = {
    "loss": "ce",
    "negatives": 0,
    "learning_rate": 0.005,
    "schedule": "cosine",
    "batch_size": 256,
    "epochs": 8,
    "hops": 1,
    "keep": "last",
}
OPTIONS = PrepareOptions(
    sessions=SessionOptions(block_days=1.0), split=SplitOptions(kind="blocks", fraction=TEST)
)
FIRST_DAY = 20_000 * MS_PER_DAY
CLICK_MS = 30_000
ASKED = {"full": ("prequential", "frozen"), "base": ("frozen",)}


@dataclass(frozen=True)
class Ring:
    """A log of visitors who go along a ring of items.

    Attributes:
        events: clicks, about.
        items: on the ring.
        days: of the log.
        moves: share of the items that change places every night.
        follows: share of the clicks that go on along the ring; the others go anywhere.
        reach: largest number of places between a click and the next.
        length: clicks of a session, on average; at least 2.
    """

    events: int = 240_000
    items: int = 500
    days: int = 60
    moves: float = 0.5
    follows: float = 0.8
    reach: int = 2
    length: float = 6.0

    def log(self, seed: int = 0) -> pl.DataFrame:
        """Clicks with session_id, item_id and timestamp, in the order of time."""
        rng = np.random.default_rng(seed)
        ring = rng.permutation(self.items)
        n = int(self.events / self.days / self.length)  # sessions a day
        clicks = []
        for day in range(self.days):
            moved = rng.choice(self.items, int(self.moves * self.items), replace=False)
            ring[moved] = ring[rng.permutation(moved)]
            lengths = 2 + rng.poisson(self.length - 2, n)
            place = rng.integers(self.items, size=n)
            begun = FIRST_DAY + day * MS_PER_DAY + rng.integers(MS_PER_DAY * 9 // 10, size=n)
            for t in range(lengths.max()):
                on = np.flatnonzero(lengths > t)
                session = day * n + on
                clicks.append(np.stack([session, ring[place[on]], begun[on] + t * CLICK_MS]))
                along = place + rng.integers(1, self.reach + 1, size=n)
                anywhere = rng.integers(self.items, size=n)
                place = np.where(rng.random(n) < self.follows, along % self.items, anywhere)
        columns = np.concatenate(clicks, axis=1)
        named = zip(("session_id", "item_id", "timestamp"), columns, strict=True)
        return pl.DataFrame(dict(named)).sort("timestamp")


def changed(log: pl.DataFrame, form: str) -> pl.DataFrame:
    """The same sessions on the days of a form of the log, at their time of day."""
    if form == "true":
        return log
    starts = log.group_by("session_id", maintain_order=True).agg(pl.col("timestamp").min())
    day = starts["timestamp"] // MS_PER_DAY
    if form == "sessions-dealt":
        other = day.shuffle(seed=0)
    else:
        days = day.unique().sort()
        other = day.replace_strict(days, days.shuffle(seed=0))
    apart = (other - day).alias("apart")
    moved = log.join(starts.select("session_id", apart), on="session_id", maintain_order="left")
    shifted = pl.col("timestamp") + pl.col("apart") * MS_PER_DAY
    return moved.with_columns(shifted.alias("timestamp")).drop("apart").sort("timestamp")


def stores(ring: Ring, folder: Path) -> dict[str, Store]:
    """All forms of the log."""
    cache, found = RunCache(folder / "stores"), {}
    for form in FORMS:
        inputs = {"ring": asdict(ring), "form": form, "options": asdict(OPTIONS)}
        place = cache.run_folder(form, inputs) / "store"
        if not place.exists():
            prepare(changed(ring.log(), form), place, options=OPTIONS)
        found[form] = Store.open(place)
    return found


def ranked(
    store: Store, name: str, seed: int, values: dict[str, Any], folder: Path
) -> dict[str, AnyArray]:
    """(P,) session of each target of the test, and its rank in each way of asking.

    Args:
        store: a form of the log.
        name: the form and the variant, as in `true-full`.
        seed: of the training.
        values: parameters that differ from the recipe.
        folder: of the cache.
    """
    variant = name.rpartition("-")[2]
    config = RECIPE | values | {"variant": variant}
    inputs = {"data_fingerprint": store.fingerprint, "model": "tasrec", "parameters": config}
    cache = RunCache(folder / "runs")
    run = cache.run_folder(f"{name}-{seed}", inputs | {"seed": seed})
    file = run / "ranks.npz"
    if not file.exists():
        checkpoints = run / "training"
        options = NeuralOptions(checkpoints=checkpoints, resume=has_checkpoint(checkpoints))
        artifact = train(store, "tasrec", config=config, train_on="all", seed=seed, neural=options)
        ranks: dict[str, AnyArray] = {}
        for way in ASKED[variant]:
            history = store.part("train") if way == "prequential" else None
            evaluation = evaluate(
                artifact.model, store.part("test"), ks=[K], history=history, n_bootstrap=0
            )
            ranks |= {way: evaluation.ranks, "session": evaluation.session}
        np.savez(run / "partial.npz", allow_pickle=False, **ranks)
        (run / "partial.npz").replace(file)
    with np.load(file) as stored:
        return dict(stored)


def main() -> None:
    """Train, compare, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS[:2])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--events", type=int, default=Ring.events)
    parser.add_argument("--items", type=int, default=Ring.items)
    parser.add_argument("--days", type=int, default=Ring.days)
    parser.add_argument("--epochs", type=int, default=RECIPE["epochs"])
    parser.add_argument("--rate", type=float, default=RECIPE["learning_rate"])
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    ring = Ring(events=options.events, items=options.items, days=options.days)
    values = {"threads": options.threads, "epochs": options.epochs, "width": options.width}
    values |= {"learning_rate": options.rate}
    print("| days | model | Recall@20 | MRR@20 | less the base form, points: Recall | MRR |")
    print("|---|---|---|---|---|---|", flush=True)
    every = stores(ring, options.output)
    for form, store in ((form, every[form]) for form in options.forms):
        found = {
            variant: [
                ranked(store, f"{form}-{variant}", seed, values, options.output)
                for seed in range(options.seeds)
            ]
            for variant in ASKED
        }
        base = [one["frozen"] for one in found["base"]]
        session = found["base"][0]["session"]
        row(form, "base", base, ["", ""])
        for way in ASKED["full"]:
            full = [one[way] for one in found["full"]]
            told = [difference(full, base, session, metric).points() for metric in METRICS]
            row(form, f"full, {way}", full, told)


def row(form: str, model: str, ranks: Sequence[AnyArray], differences: Sequence[str]) -> None:
    """Print a line of the table."""
    means = [mean_percent(ranks, metric) for metric in METRICS]
    print(f"| {form} | {model} | {' | '.join([*means, *differences])} |", flush=True)


if __name__ == "__main__":
    main()
