"""TASRec, its two ablations and the models that its paper compares it with, on a log of one's own.

    pip install 'nextclick[neural]'
    nextclick prepare LOG --protocol tasrec --block-days 1 -o STORE
    python benchmarks/tasrec.py STORE -o FOLDER --seeds 3

All are tuned alike: each learning rate of a short list (or k of the session neighbours) is trained
without the validation part, and the one that validates best by Recall@20 is taken. It is then
trained on all sessions before the test, once for each seed, and the test is ranked once with each:
with what the model knew when its training ended (frozen), and, where a model keeps a graph of days,
also with the graph of all blocks before each block of the test (prequential). Other models are not
given that. Neural models have the same loss, the softmax over all items, Adam, steps of 512
prefixes, and 8 epochs in which the rate falls to 0.

What is done lies in FOLDER: the same command goes on where it was stopped. Intervals are the mean
over seeds with the intervals by session and the spread of the seeds. A second table says how many
pairs of items are neighbours for the sessions of each block.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick import Store, evaluate, train
from nextclick.evaluation.compare import Result, leaderboard
from nextclick.training.config import NeuralOptions

if TYPE_CHECKING:
    from nextclick.evaluation.intervals import Estimate

CHOSEN_BY = "recall@20"
KS = (10, 20, 50, 100)
SHOWN = ("recall@10", "recall@20", "recall@50", "ndcg@100")
SHARED: dict[str, Any] = {
    "loss": "ce",
    "negatives": 0,
    "optimizer": "adam",
    "batch_size": 512,
    "order": "sessions",
    "schedule": "cosine",
    "epochs": 8,
    "keep": "last",
}
RATES = (0.001, 0.003, 0.01)


@dataclass(frozen=True)
class Contender:
    """A model, what is fixed of it, and what is tried on the validation."""

    model: str
    fixed: dict[str, Any] = field(default_factory=lambda: dict(SHARED))
    tried: list[dict[str, Any]] = field(default_factory=list)  # none: learning rates
    neural: bool = True
    advances: bool = False


def tasrec(**own: Any) -> Contender:
    """TASRec in one of its forms."""
    return Contender("tasrec", SHARED | own, advances=own["variant"] != "base")


CONTENDERS: dict[str, Contender] = {
    "tasrec": tasrec(variant="full"),
    "tasrec-temp": tasrec(variant="temp"),
    "tasrec-base": tasrec(variant="base"),
    "sr-gnn": Contender("sr-gnn"),
    "lessr": Contender("lessr"),
    "csrm": Contender("csrm"),
    "gru4rec": Contender(
        "gru4rec",
        SHARED
        | {
            "embedding": "tied",
            "embedding_dropout": 0.25,
            "sparse": False,
            "in_batch": False,
            "momentum": 0.0,
        },
    ),
    "session-knn": Contender(
        "session-knn", {}, [{"k": k} for k in (50, 100, 200, 500)], neural=False
    ),
}


class Trial:
    """One contender on one store."""

    def __init__(
        self, name: str, store: Store, folder: Path, values: dict[str, Any], rates: list[float]
    ):
        self.name = name
        self.contender = CONTENDERS[name]
        self.store = store
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.values = values if self.contender.neural else {}
        self.tried = self.contender.tried or [{"learning_rate": rate} for rate in rates]

    def chosen(self) -> dict[str, Any]:
        """What validates best, with its figure."""
        found = [self._tried(number, values) for number, values in enumerate(self.tried)]
        return max(found, key=lambda one: float(one["validation"]))

    def _tried(self, number: int, values: dict[str, Any]) -> dict[str, Any]:
        written = self.folder / f"tried-{number}.json"
        if not written.exists():
            artifact = self._train(self.folder / f"tried-{number}", values, "fit", seed=0)
            valid = evaluate(
                artifact,
                self.store,
                part="valid",
                ks=[20],
                n_bootstrap=0,
                prequential=self.contender.advances,
            )
            told = {
                "values": values,
                "validation": valid.metrics[CHOSEN_BY].value,
                "seconds": artifact.trained["seconds"],
            }
            written.write_text(json.dumps(told), "utf-8")
            print(f"{self.name}: {told}", file=sys.stderr, flush=True)
        found: dict[str, Any] = json.loads(written.read_text("utf-8"))
        return found

    def results(self, seeds: int) -> dict[bool, list[Result]]:
        """The test, once for each seed; by whether the model took it in block by block."""
        values = dict(self.chosen()["values"])
        ways = (False, True) if self.contender.advances else (False,)
        found: dict[bool, list[Result]] = {way: [] for way in ways}
        for seed in range(seeds if self.contender.neural else 1):
            name = "-".join(str(x) for x in (*values.values(), seed))
            written = {
                way: self.folder / f"{'prequential' if way else 'test'}-{name}.json" for way in ways
            }
            if not all(path.exists() for path in written.values()):
                artifact = self._train(self.folder / f"seed-{name}", values, "train", seed)
                alive = artifact.trained.get("edges_alive")
                if alive is not None:
                    (self.folder / "edges.json").write_text(json.dumps(alive), "utf-8")
                for way, path in written.items():
                    evaluate(artifact, self.store, ks=KS, label=self.name, prequential=way).write(
                        path
                    )
            for way, path in written.items():
                found[way].append(Result.read(path))
        return found

    def _train(self, place: Path, values: dict[str, Any], part: str, seed: int) -> Any:
        checkpoints = Path(f"{place}.training")
        options = NeuralOptions(
            checkpoints=checkpoints, resume=(checkpoints / "checkpoint").exists()
        )
        return train(
            self.store,
            self.contender.model,
            config=self.contender.fixed | values | self.values,
            part=part,
            seed=seed,
            neural=options if self.contender.neural else None,
        )


def main() -> None:
    """Tune, train, rank, print Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as a step keeps busy")
    parser.add_argument("--epochs", type=int, default=SHARED["epochs"])
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="that are tried")
    options = parser.parse_args()
    store = Store.open(options.store)
    values = {"threads": options.threads, "epochs": options.epochs}
    lines = []
    for name in options.only:
        trial = Trial(name, store, options.output, values, options.rates)
        best = trial.chosen()
        told = ", ".join(f"{key} {value}" for key, value in best["values"].items())
        for results in trial.results(options.seeds).values():
            row = leaderboard(results)[0]
            cells = [percent(row.metrics[metric]) for metric in SHOWN]
            shown = [row.label, *cells, told, f"{100 * best['validation']:.2f}"]
            lines.append((row.metrics[CHOSEN_BY].value, f"| {' | '.join(shown)} |"))
    print("| model | Recall@10 | Recall@20 | Recall@50 | NDCG@100 | chosen | validation |")
    print("|---|---|---|---|---|---|---|")
    for _, line in sorted(lines, reverse=True):
        print(line)
    show_edges(store, options.output / "tasrec")


def show_edges(store: Store, folder: Path) -> None:
    """Pairs that are neighbours for the sessions of each block, training and test."""
    if not (folder / "edges.json").exists():
        return
    alive = {
        row["block"]: row["edges_alive"] for row in json.loads((folder / "edges.json").read_text())
    }
    for path in folder.glob("prequential-*.json"):
        alive |= {
            row["block"]: row["edges_alive"] for row in Result.read(path).evaluation["blocks"]
        }
    first_of_test = int(store.part("test").blocks[0])  # type: ignore[index]
    print("\n| block | part | pairs of neighbours |\n|---|---|---|")
    for block, n in sorted(alive.items()):
        print(f"| {block} | {'test' if block >= first_of_test else 'training'} | {n:,} |")


def percent(metric: Estimate) -> str:
    """A value with its interval."""
    low, high = metric.low or 0.0, metric.high or 0.0
    return f"{100 * metric.value:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


if __name__ == "__main__":
    main()
