"""Models tuned with the same budget on one store, and ranked once per seed on its test split.

A folder stores finished parts; rerun the same command to resume.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nextclick import evaluate, train
from nextclick.evaluation.results import Result
from nextclick.experiments.checkpoint_paths import has_checkpoint
from nextclick.experiments.run_cache import RunCache
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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
        self.cache = RunCache(self.folder)
        self.ks = ks
        self.values = values if contender.neural else {}

    def chosen(self) -> dict[str, Any]:
        """The values with the best metric on the validation, with that metric."""
        tried = [
            self.cache.values("tried", self._inputs(values, "inner", 0), self._validate(values))
            for values in self.contender.tried
        ]
        return max(tried, key=lambda one: float(one["validation"]))

    def results(self, seeds: int) -> dict[bool, list[Result]]:
        """The test, once for each seed; by whether the model took it in block by block."""
        values = dict(self.chosen()["values"])
        ways = (False, True) if self.contender.advances else (False,)
        results: dict[bool, list[Result]] = {way: [] for way in ways}
        for seed in range(seeds if self.contender.drawn else 1):
            inputs = self._inputs(values, "all", seed) | {"ks": list(self.ks)}
            tested = self.cache.values("test", inputs, self._test(values, seed, ways))
            if tested["neighbor_pairs"] is not None:
                (self.folder / "edges.json").write_text(
                    json.dumps(tested["neighbor_pairs"]), "utf-8"
                )
            for way, result in zip(ways, tested["results"], strict=True):
                results[way].append(Result.from_json(result))
        return results

    def _inputs(self, values: dict[str, Any], part: str, seed: int) -> dict[str, Any]:
        return {
            "label": self.name,
            "data_fingerprint": self.store.fingerprint,
            "model": self.contender.model,
            "parameters": self.contender.fixed | values | self.values,
            "advances": self.contender.advances,
            "part": part,
            "seed": seed,
        }

    def _validate(self, values: dict[str, Any]) -> Callable[[Path], dict[str, Any]]:
        def validate(folder: Path) -> dict[str, Any]:
            artifact = self._train(folder, values, "inner", seed=0)
            valid = evaluate(
                artifact,
                self.store,
                part="valid",
                ks=[20],
                n_bootstrap=0,
                prequential=self.contender.advances,
            )
            outcome = {
                "values": values,
                "validation": valid.metrics[CHOSEN_BY].value,
                "seconds": artifact.trained["seconds"],
            }
            print(f"{self.name}: {outcome}", file=sys.stderr, flush=True)
            return outcome

        return validate

    def _test(
        self, values: dict[str, Any], seed: int, ways: Sequence[bool]
    ) -> Callable[[Path], dict[str, Any]]:
        def test(folder: Path) -> dict[str, Any]:
            artifact = self._train(folder, values, "all", seed)
            results = [
                evaluate(artifact, self.store, ks=self.ks, label=self.name, prequential=way)
                for way in ways
            ]
            return {
                "results": [result.to_json() for result in results],
                "neighbor_pairs": artifact.trained.get("neighbor_pairs"),
            }

        return test

    def _train(self, folder: Path, values: dict[str, Any], train_on: str, seed: int) -> Artifact:
        checkpoints = folder / "training"
        options = NeuralOptions(checkpoints=checkpoints, resume=has_checkpoint(checkpoints))
        artifact = train(
            self.store,
            self.contender.model,
            config=self.contender.fixed | values | self.values,
            train_on=train_on,
            seed=seed,
            neural=options if self.contender.neural else None,
        )
        shutil.rmtree(checkpoints, ignore_errors=True)
        return artifact


def told(values: dict[str, Any]) -> str:
    """Parameters in one cell of a table."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def percent(metric: Estimate) -> str:
    """A value with its interval."""
    low, high = metric.low or 0.0, metric.high or 0.0
    return f"{100 * metric.value:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
