"""Measure what TASRec's temporal item graph adds, against a control without edges.

    pip install 'nextclick[neural]'
    nextclick prepare LOG --protocol tasrec --block-days 1 -o STORE
    python benchmarks/tasrec_control.py STORE -o control.jsonl --seeds 3

Three forms are trained: `base` has no temporal layer, `empty` has the layer and a threshold that no
edge reaches, `full` has both. The gain of `full` over `base` is that of the layer and of the graph;
only the gain over `empty` is that of the graph. Each form is trained at every rate of the same
list, without the validation split, and keeps the rate of its best Recall@20 on validation. It is
then trained with each seed on all sessions before the test, which is ranked prequentially
(`base` does not depend on blocks). Differences have 95 % intervals over sessions and seeds.

The file has a JSON line for each finished training, and `FILE.ranks` the ranks of the test. The
same command resumes: it skips the trainings of the file with the same store and parameters. With
`--drift` the log of `drift.py` is prepared in STORE first, if the folder does not exist.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drift import OPTIONS, Ring
from nextclick import Store, evaluate, prepare, train
from nextclick.evaluation import evaluate as rank_and_measure
from nextclick.models.neural.tasrec import NO_EDGES
from paired_difference import difference, mean_percent

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.core.types import AnyArray

FORMS: dict[str, dict[str, Any]] = {
    "base": {"variant": "base"},
    "empty": {"variant": "full", "threshold": NO_EDGES},
    "full": {"variant": "full"},
}
METRICS = ("recall@20", "mrr@20")
RATES = (0.001, 0.003, 0.01)
TRAINING: dict[str, Any] = {
    "loss": "ce", "negatives": 0, "schedule": "cosine", "batch_size": 512, "keep": "last",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Control:
    """All trainings on one store.

    Attributes:
        store: with a validation split and a test.
        file: finished trainings, one JSON line each.
        values: parameters of all forms.
        rates: learning rates that are tried.
    """

    store: Store
    file: Path
    values: dict[str, Any]
    rates: tuple[float, ...]

    def rate(self, form: str) -> tuple[float, float]:
        """The rate with the best validation metric of a form, and that metric."""
        found = {rate: float(self._done(form, rate, None)["validation"]) for rate in self.rates}
        best = max(found, key=lambda rate: found[rate])
        return best, found[best]

    def ranks(self, form: str, seed: int) -> dict[str, AnyArray]:
        """(P,) rank of each target of the test, and its session."""
        line = self._done(form, self.rate(form)[0], seed)
        with np.load(self._ranks_file(line["key"])) as arrays:
            return dict(arrays)

    def _done(self, form: str, rate: float, seed: int | None) -> dict[str, Any]:
        """The line of a training, which is run if the file has none; no seed is a validation."""
        config = TRAINING | self.values | FORMS[form] | {"learning_rate": rate}
        inputs = {"data": self.store.fingerprint, "config": config, "seed": seed}
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
        for line in self._lines():
            if line["key"] == key and (seed is None or self._ranks_file(key).exists()):
                return line
        part = "inner" if seed is None else "all"
        artifact = train(self.store, "tasrec", config=config, train_on=part, seed=seed or 0)
        line = {"key": key, "form": form, "rate": rate, "seed": seed, **self._measure(artifact)}
        if seed is not None:
            self._rank_test(artifact, form, key)
        print(json.dumps(line), file=sys.stderr, flush=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(line))  # after a line that a killed run left incomplete
        return line

    def _measure(self, artifact: Artifact) -> dict[str, Any]:
        outcome: dict[str, Any] = {"seconds": artifact.trained["seconds"]}
        if artifact.trained["part"] == "train_inner":
            valid = evaluate(
                artifact, self.store, part="valid", ks=[20], n_bootstrap=0,
                prequential=artifact.model.capabilities.update == "by-block",
            )  # fmt: skip
            outcome["validation"] = valid.metrics["recall@20"].value
        return outcome

    def _rank_test(self, artifact: Artifact, form: str, key: str) -> None:
        history = None if form == "base" else self.store.part("train")
        tested = rank_and_measure(
            artifact.model, self.store.part("test"), ks=[20], history=history, n_bootstrap=0
        )
        path = self._ranks_file(key)
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, allow_pickle=False, ranks=tested.ranks, session=tested.session)
        unfinished.replace(path)

    def _ranks_file(self, key: str) -> Path:
        return self.file.with_name(self.file.name + ".ranks") / f"{key}.npz"

    def _lines(self) -> list[dict[str, Any]]:
        """The finished trainings; a line that a killed run left incomplete is ignored."""
        if not self.file.exists():
            return []
        lines = []
        for text in self.file.read_text("utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue
        return lines


def main() -> None:
    """Train what is missing and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--drift", action="store_true", help="simulate the log of drift.py")
    parser.add_argument("--events", type=int, default=Ring.events, help="of --drift")
    parser.add_argument("--items", type=int, default=Ring.items, help="of --drift")
    parser.add_argument("--days", type=int, default=Ring.days, help="of --drift")
    options = parser.parse_args()
    if options.drift and not options.store.exists():
        ring = Ring(events=options.events, items=options.items, days=options.days)
        prepare(ring.log(), options.store, options=OPTIONS)
    values = {name: getattr(options, name) for name in ("epochs", "width", "hops", "threads")}
    control = Control(Store.open(options.store), options.output, values, tuple(options.rates))
    show(control, options.seeds)


def show(control: Control, n_seeds: int) -> None:
    """Print a line for each form, with its differences to `base` and to `empty`."""
    differences = " | ".join(f"less {form}: Recall | MRR" for form in ("base", "empty"))
    print(f"| form | rate | validation | Recall@20 | MRR@20 | {differences} |")
    print("|" + "---|" * 9, flush=True)
    found = {form: [control.ranks(form, seed) for seed in range(n_seeds)] for form in FORMS}
    session = found["base"][0]["session"]
    ranks = {form: [one["ranks"] for one in runs] for form, runs in found.items()}
    for number, form in enumerate(FORMS):
        rate, validation = control.rate(form)
        cells = [form, f"{rate:g}", f"{100 * validation:.2f}"]
        cells += [mean_percent(ranks[form], metric) for metric in METRICS]
        for other in ("base", "empty"):
            is_later = number > list(FORMS).index(other)
            cells += [
                difference(ranks[form], ranks[other], session, metric).points() if is_later else ""
                for metric in METRICS
            ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
