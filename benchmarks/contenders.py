"""Models that are tuned alike on one store, and ranked on its test once for each seed.

What is done lies in a folder, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nextclick import evaluate, train
from nextclick.evaluation.results import Result
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextclick import Artifact, Store
    from nextclick.evaluation.intervals import Estimate

CHOSEN_BY = "recall@20"
SHARED: dict[str, Any] = {
    "loss": "ce",
    "negatives": 0,
    "optimizer": "adam",
    "order": "sessions",
    "schedule": "cosine",
    "epochs": 8,
    "keep": "last",
}
GRU4REC: dict[str, Any] = {
    "embedding": "tied",
    "embedding_dropout": 0.25,
    "sparse": False,
    "in_batch": False,
    "momentum": 0.0,
}  # what makes it take the shared loss
NEIGHBORS = [{"k": k} for k in (50, 100, 200, 500)]


@dataclass(frozen=True)
class ModelCandidate:
    """A model, what is fixed of it, and what is tried on the validation.

    Attributes:
        model: its name.
        fixed: parameters.
        tried: parameters on top of these.
        reads: what the log must have, "times" or "users".
        neural: whether its training has checkpoints.
        drawn: whether it begins at random, so that seeds differ.
        advances: whether it is also asked while it takes in the test, block by block.
    """

    model: str
    fixed: dict[str, Any] = field(default_factory=dict)
    tried: Sequence[dict[str, Any]] = ({},)
    reads: frozenset[str] = frozenset()
    neural: bool = False
    drawn: bool = True
    advances: bool = False


class Trial:
    """One contender on one store."""

    def __init__(
        self,
        name: str,
        contender: ModelCandidate,
        store: Store,
        folder: Path,
        *,
        ks: Sequence[int],
        values: dict[str, Any],
    ):
        """Prepare the folder.

        Args:
            name: the label of the results.
            contender: the model.
            store: with a validation part and a test.
            folder: of all contenders.
            ks: cut-offs of the test.
            values: parameters of every neural model.
        """
        self.name = name
        self.contender = contender
        self.store = store
        self.folder = folder / re.sub(r"\W+", "-", name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ks = ks
        self.values = values if contender.neural else {}

    def chosen(self) -> dict[str, Any]:
        """What validates best, with its figure."""
        found = [self._tried(values) for values in self.contender.tried]
        return max(found, key=lambda one: float(one["validation"]))

    def results(self, seeds: int) -> dict[bool, list[Result]]:
        """The test, once for each seed; by whether the model took it in block by block."""
        values = dict(self.chosen()["values"])
        ways = (False, True) if self.contender.advances else (False,)
        found: dict[bool, list[Result]] = {way: [] for way in ways}
        for seed in range(seeds if self.contender.drawn else 1):
            written = {
                way: self.folder / f"{_name('prequential' if way else 'test', values, seed)}.json"
                for way in ways
            }
            if not all(path.exists() for path in written.values()):
                artifact = self._train(_name("seed", values, seed), values, "all", seed)
                alive = artifact.trained.get("edges_alive")
                if alive is not None:
                    (self.folder / "edges.json").write_text(json.dumps(alive), "utf-8")
                for way, path in written.items():
                    result = evaluate(
                        artifact, self.store, ks=self.ks, label=self.name, prequential=way
                    )
                    result.write(path)
            for way, path in written.items():
                found[way].append(Result.read(path))
        return found

    def _tried(self, values: dict[str, Any]) -> dict[str, Any]:
        name = _name("tried", values)
        written = self.folder / f"{name}.json"
        if not written.exists():
            artifact = self._train(name, values, "inner", seed=0)
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

    def _train(self, name: str, values: dict[str, Any], train_on: str, seed: int) -> Artifact:
        checkpoints = self.folder / f"{name}.training"
        options = NeuralOptions(
            checkpoints=checkpoints, resume=(checkpoints / "checkpoint").exists()
        )
        return train(
            self.store,
            self.contender.model,
            config=self.contender.fixed | values | self.values,
            train_on=train_on,
            seed=seed,
            neural=options if self.contender.neural else None,
        )


def _name(kind: str, values: dict[str, Any], *more: object) -> str:
    """Of a file or folder, by what was trained: the same command with other values trains anew."""
    return "-".join(map(str, (kind, *values.values(), *more)))


def told(values: dict[str, Any]) -> str:
    """Parameters in one cell of a table."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def percent(metric: Estimate) -> str:
    """A value with its interval."""
    low, high = metric.low or 0.0, metric.high or 0.0
    return f"{100 * metric.value:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
