"""ASARS's five variants and the models that its paper compares them with, on a log of one's own.

    pip install 'nextclick[neural]'
    nextclick prepare LOG --protocol asars -o STORE
    python benchmarks/asars.py STORE -o FOLDER --seeds 3

All are tuned alike: each learning rate (or parameter of a counting model) of a short list is
trained without the validation part, and the one that validates best by Recall@20 is taken. It is
then trained on all sessions before the test, once for each seed, and the test is ranked once with
each. Neural models have the same loss, the softmax over all items, Adam, steps of 1,024 prefixes,
and 8 epochs in which the rate falls to 0; only "paper's loss" has ASARS's hinge, negatives and
Adagrad, for 20 epochs at one rate. Variants that read
what the log does not have are left out; those with gap=oracle leak the time of the target and are
labelled so.

What is done lies in FOLDER: the same command goes on where it was stopped. Intervals are the mean
over seeds with the intervals by session and the spread of the seeds.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick import Store, evaluate, train
from nextclick.evaluation.compare import Result, leaderboard
from nextclick.models.presets import ASARS_HINGE
from nextclick.training.config import NeuralOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.evaluation.intervals import Estimate

K = 20
SHARED: dict[str, Any] = {
    "loss": "ce",
    "negatives": 0,
    "optimizer": "adam",
    "batch_size": 1024,
    "order": "sessions",
    "schedule": "cosine",
    "epochs": 8,
    "keep": "last",
}

RATES: list[dict[str, Any]] = [{"learning_rate": rate} for rate in (0.003, 0.01, 0.03)]
HIGHER: list[dict[str, Any]] = [{"learning_rate": rate} for rate in (0.1, 0.2)]
HINGE: dict[str, Any] = ASARS_HINGE | {"batch_size": 1024, "epochs": 20, "schedule": "none"}


@dataclass(frozen=True)
class Contender:
    """A model, what is fixed of it, and what is tried on the validation."""

    model: str
    fixed: dict[str, Any] = field(default_factory=dict)
    tried: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    reads: frozenset[str] = frozenset()
    neural: bool = False


def neural(model: str, reads: str = "", **own: Any) -> Contender:
    """A neural model with the loss and the rates of all of them."""
    return Contender(model, SHARED | own, RATES, frozenset(reads.split()), neural=True)


CONTENDERS: dict[str, Contender] = {
    "s-pop": Contender("s-pop"),
    "session-knn": Contender("session-knn", {}, [{"k": k} for k in (50, 100, 200, 500)]),
    "bpr-mf": Contender("bpr-mf", {}, RATES + HIGHER),
    "fpmc": Contender("fpmc", {}, RATES + HIGHER),
    "fpmc users": Contender("fpmc", {"users": True}, RATES + HIGHER, frozenset({"users"})),
    "youtube-dnn": neural("youtube-dnn", dropout=0.2),
    "wavenet": neural("wavenet", dropout=0.2),
    "gru4rec": neural(
        "gru4rec", embedding="tied", embedding_dropout=0.25, sparse=False, in_batch=False,
        momentum=0.0,
    ),
    "narm": neural("narm"),
    "time_att": neural("asars", "times", variant="time_att"),
    "time_cat": neural("asars", "times", variant="time_cat"),
    "user_att": neural("asars", "users", variant="user_att"),
    "user_cat": neural("asars", "users", variant="user_cat"),
    "time_user": neural("asars", "times users", variant="time_user"),
    "time_att oracle": neural("asars", "times", variant="time_att", gap="oracle"),
    "time_cat oracle": neural("asars", "times", variant="time_cat", gap="oracle"),
    "time_user oracle": neural("asars", "times users", variant="time_user", gap="oracle"),
    "time_user, paper's loss": replace(
        neural("asars", "times users", variant="time_user", **HINGE), tried=HIGHER
    ),
}  # fmt: skip


class Trial:
    """One contender on one store."""

    def __init__(self, name: str, store: Store, folder: Path, threads: int):
        self.name = name
        self.contender = CONTENDERS[name]
        self.store = store
        self.folder = folder / re.sub(r"\W+", "-", name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.threads = {"threads": threads} if self.contender.neural else {}

    def chosen(self) -> dict[str, Any]:
        """What validates best, with its figure."""
        found = [self._tried(number, values) for number, values in enumerate(self.contender.tried)]
        return max(found, key=lambda one: float(one["validation"]))

    def _tried(self, number: int, values: dict[str, Any]) -> dict[str, Any]:
        written = self.folder / f"tried-{number}.json"
        if not written.exists():
            told: dict[str, Any] = {"values": values}
            place = self.folder / f"tried-{number}"
            artifact = self._train(place, values, "fit", seed=0)
            if self.contender.neural:
                told |= {"validation": artifact.trained["history"][-1][f"recall@{K}"]}
            else:
                valid = evaluate(artifact, self.store, part="valid", ks=[K], n_bootstrap=0)
                told |= {"validation": valid.metrics[f"recall@{K}"].value}
            told["seconds"] = artifact.trained["seconds"]
            written.write_text(json.dumps(told), "utf-8")
            print(f"{self.name}: {told}", file=sys.stderr, flush=True)
        found: dict[str, Any] = json.loads(written.read_text("utf-8"))
        return found

    def results(self, seeds: int) -> Iterator[Result]:
        """The test, once for each seed."""
        best = self.chosen()
        values = dict(best["values"])
        for seed in range(seeds if self.contender.neural or self.contender.tried != [{}] else 1):
            name = "-".join(str(x) for x in (*best["values"].values(), seed))
            written = self.folder / f"test-{name}.json"
            if not written.exists():
                artifact = self._train(self.folder / f"seed-{name}", values, "train", seed)
                result = evaluate(artifact, self.store, ks=[K], label=self.name)
                result.write(written)
            yield Result.read(written)

    def _train(self, place: Path, values: dict[str, Any], part: str, seed: int) -> Any:
        checkpoints = Path(f"{place}.training")
        options = NeuralOptions(
            checkpoints=checkpoints, resume=(checkpoints / "checkpoint").exists()
        )
        return train(
            self.store,
            self.contender.model,
            config=self.contender.fixed | values | self.threads,
            part=part,
            seed=seed,
            neural=options if self.contender.neural else None,
        )


def main() -> None:
    """Tune, train, rank, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as a step keeps busy")
    options = parser.parse_args()
    store = Store.open(options.store)
    seeds: int = options.seeds
    has = {what for what in ("times", "users") if getattr(store.part("train"), what) is not None}
    trials = [
        Trial(name, store, options.output, options.threads)
        for name in options.only
        if CONTENDERS[name].reads <= has
    ]
    found = [(leaderboard(list(trial.results(seeds)))[0], trial.chosen()) for trial in trials]
    print("| model | Recall@20 | MRR@20 | chosen | validation |\n|---|---|---|---|---|")
    for row, best in sorted(found, key=lambda one: -one[0].metrics[f"recall@{K}"].value):
        told = " | ".join(percent(row.metrics[f"{name}@{K}"]) for name in ("recall", "mrr"))
        values = ", ".join(f"{name} {value}" for name, value in best["values"].items())
        print(f"| {row.label} | {told} | {values} | {100 * best['validation']:.2f} |")


def percent(metric: Estimate) -> str:
    """A value with its interval."""
    low, high = metric.low or 0.0, metric.high or 0.0
    return f"{100 * metric.value:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


if __name__ == "__main__":
    main()
