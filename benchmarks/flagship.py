"""Accuracy of cosine-gru, session-knn and the default blend on one store, over several seeds.

1. On `train_inner`, seed 0 selects the number of passes, and the validation fits the weights of the
   blend. Nothing is chosen on the test.
2. For each seed, cosine-gru is retrained on everything before the test, for as many passes.
3. cosine-gru, session-knn and the blend with the fitted weights are ranked on the test once.

    python benchmarks/flagship.py STORE -o FOLDER --seeds 3

A run that was stopped continues from its last checkpoint. `results.json` has the metrics and their
intervals over sessions; the table has means over seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.artifact import Artifact
from nextclick.cli.parsing import parse_values
from nextclick.cli.progress import progress_bar
from nextclick.core.config import build_config
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.evaluation import evaluate
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.blend_weights import fit_weights
from nextclick.experiments.neural_training import train_neural
from nextclick.models.blended.blend import Blend, BlendConfig
from nextclick.models.blended.item_counts import ItemCounts
from nextclick.models.blended.members import resolve_members
from nextclick.models.classical.markov import Markov, MarkovConfig
from nextclick.models.classical.session_knn import SessionKNN, SessionKNNConfig
from nextclick.models.neural.cosine_gru import CosineGRU
from nextclick.training.training_config import NeuralOptions
from nextclick.training.training_plan import TrainingPlan

if TYPE_CHECKING:
    from nextclick.core.types import Progress
    from nextclick.models.base import Model

METRICS = ("recall@20", "mrr@20")


class Measurement:
    """The trainings and results of one store, in a folder."""

    def __init__(self, store: Store, folder: Path, values: dict[str, Any], progress: Progress):
        self.store, self.folder, self.values, self.progress = store, folder, values, progress
        self.results_file = folder / "results.json"
        self.results: dict[str, Any] = {}
        if self.results_file.exists():
            self.results = json.loads(self.results_file.read_text(encoding="utf-8"))
        self.knn_config = SessionKNNConfig()

    def select(self) -> None:
        """Train on `train_inner`; select the plan, and fit the weights of the blend."""
        if "plan" in self.results:
            return
        started = time.perf_counter()
        model, plan, record = self._train("train_inner", 0, None)
        self.results |= {
            "parameters": self.values,
            "plan": asdict(plan),
            **self._fit(model),
            "history": record["history"],
            "seconds": time.perf_counter() - started,
            "test": {},
        }
        self._save()

    def fit_again(self) -> None:
        """Fit the weights of the blend again, with the trained models, and rank it again."""
        self.results |= self._fit(self._trained("train_inner", 0))
        for seed, test in self.results["test"].items():
            blend = self._blend(
                self._trained("train", int(seed)), "train", np.array(self.results["weights"])
            )
            test["blend"] = self._rank(blend)
            if "session-knn" in test:
                test["session-knn"] = self._rank(blend.members[0])
        self._save()

    def _trained(self, part: str, seed: int) -> Model:
        return Artifact.load(self.folder / f"model-{part}-{seed}").model

    def _fit(self, model: Model) -> dict[str, Any]:
        """The weights of the blend of an inner model, and their validation."""
        blend = self._blend(model, "train_inner", np.zeros(0))
        valid = self.store.part("valid").mask_unseen_items(blend.counts.support)
        fitted = fit_weights(blend, valid, store_protocol(self.store), progress=self.progress)
        return {"weights": fitted.weights.tolist(), "validation": fitted.record}

    def measure(self, seed: int) -> None:
        """Train on everything before the test with a seed, and rank the test."""
        if str(seed) in self.results["test"]:
            return
        started = time.perf_counter()
        plan = TrainingPlan(**{**self.results["plan"], "ends": tuple(self.results["plan"]["ends"])})
        model, _, record = self._train("train", seed, plan)
        blend = self._blend(model, "train", np.array(self.results["weights"]))
        test = {"cosine-gru": self._rank(model), "blend": self._rank(blend)}
        if not self.results["test"]:
            test["session-knn"] = self._rank(blend.members[0])
        test["seconds"] = {
            "training": sum(entry["seconds"] for entry in record["history"]),
            "all": time.perf_counter() - started,
        }
        self.results["test"][str(seed)] = test
        self._save()

    def _train(
        self, part: str, seed: int, plan: TrainingPlan | None
    ) -> tuple[Model, TrainingPlan, dict[str, Any]]:
        checkpoints = self.folder / f"{part}-{seed}"
        result = train_neural(
            CosineGRU,
            self.store,
            self.values,
            NeuralOptions(checkpoints=checkpoints, resume=(checkpoints / "checkpoint").exists()),
            part=part,
            seed=seed,
            overwrite=True,
            progress=self.progress,
            plan=plan,
        )
        sessions = self.store.part(part)
        trained = {"part": part, "seed": seed, "counts": self.store.manifest["counts"][part]}
        trained |= {"data_fingerprint": self.store.fingerprint, "seconds": 0.0}
        artifact = Artifact(result.model, self.store.items, sessions.support(), trained, None, None)
        artifact.save(self.folder / f"model-{part}-{seed}", overwrite=True)
        return result.model, result.plan, result.record

    def _blend(self, model: Model, part: str, weights: Any) -> Blend:
        sessions = self.store.part(part)
        knn = SessionKNN.fit(sessions, self.knn_config, seed=0, progress=silent)
        markov = Markov.fit(sessions, MarkovConfig(), seed=0, progress=silent)
        settings = "+".join(f"{name}={value}" for name, value in self.values.items())
        label = f"cosine-gru@{settings}" if settings else "cosine-gru"
        config = build_config(BlendConfig, {"members": ("session-knn", label, "markov")}, "blend")
        config = replace(config, members=resolve_members(config.members))
        return Blend(config, [knn, model, markov], ItemCounts.from_sessions(sessions), weights)

    def _rank(self, model: Model) -> dict[str, Any]:
        evaluation = evaluate(
            model,
            self.store.part("test"),
            ks=[20],
            protocol=store_protocol(self.store),
            items=self.store.items,
            progress=self.progress,
        )
        return {name: asdict(evaluation.metrics[name]) for name in METRICS}

    def _save(self) -> None:
        self.results_file.write_text(json.dumps(self.results, indent=1), encoding="utf-8")


def table(results: dict[str, Any]) -> list[str]:
    """Lines of a table: the mean over seeds, and the spread of the seeds."""
    lines = ["| model | Recall@20 | MRR@20 | validation |", "|---|---|---|---|"]
    labels = ["session-knn", "cosine-gru", "blend"]
    of_members = results["validation"]["member_validation"]
    validated = [*of_members[:2], results["validation"]["validation"]]
    for label, own in zip(labels, validated, strict=True):
        runs = [run[label] for run in results["test"].values() if label in run]
        cells = []
        for name in METRICS:
            values = [100 * run[name]["value"] for run in runs]
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f}-{max(values):.2f})")
        shown = " / ".join(f"{100 * own[name]:.2f}" for name in METRICS) if own else ""
        lines.append(f"| {label} | {cells[0]} | {cells[1]} | {shown} |")
    return lines


def main() -> None:
    """Run the measurement of one store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--fit-again", action="store_true", help="fit the blend again, with the trained models"
    )
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE of cosine-gru")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    store = Store.open(options.store)
    with progress_bar() as progress:
        measurement = Measurement(store, options.output, parse_values(options.set), progress)
        measurement.select()
        if options.fit_again:
            measurement.fit_again()
        for seed in range(options.seeds):
            measurement.measure(seed)
    print("\n".join(table(measurement.results)))


if __name__ == "__main__":
    main()
