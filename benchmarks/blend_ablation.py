"""Measure what the members and the features of a blend contribute.

    nextclick train STORE -m blend --train-on inner -o INNER
    nextclick train STORE -m blend -o ALL
    python benchmarks/blend_ablation.py STORE INNER ALL

Each row fits the weights of some features on the validation with the members of INNER, and ranks
the test with these weights and the members of ALL. The validation metrics are cross-fitted. The
first rows are the members, without weights. Seconds are processor time.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nextclick.artifact import Artifact
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.evaluation import evaluate
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.blend_weights import fit_weights
from nextclick.models.blended.blend import Blend

if TYPE_CHECKING:
    from nextclick.models.base import Model

K = 20


def of_blend(path: Path) -> Blend:
    """The model of an artifact."""
    model = Artifact.load(path).model
    if not isinstance(model, Blend):
        raise SystemExit(f"{path} is not a blend; train one with --model blend")
    return model


def subset(blend: Blend, members: list[int], features: str) -> Blend:
    """A blend of some members and features, without weights."""
    config = replace(
        blend.config,
        members=tuple(blend.config.members[m] for m in members),
        features=features,
    )
    return Blend(config, [blend.members[m] for m in members], blend.counts, np.zeros(0))


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="what `nextclick prepare` made")
    parser.add_argument("inner", type=Path, help="the blend trained with --train-on inner")
    parser.add_argument("all", type=Path, help="the blend trained on all sessions before the test")
    options = parser.parse_args()
    store = Store.open(options.store)
    inner, final = of_blend(options.inner), of_blend(options.all)
    protocol = store_protocol(store)
    valid = store.part("valid").mask_unseen_items(inner.counts.support)
    test = store.part("test").mask_unseen_items(final.counts.support)

    def tested(model: Model) -> str:
        metrics = evaluate(model, test, ks=[K], protocol=protocol, n_bootstrap=0).metrics
        return percent({name: metrics[f"{name}@{K}"].value for name in ("recall", "mrr")})

    everyone = list(range(len(inner.members)))
    cases = [(everyone, features) for features in ("members", "repeats", "all")]
    if len(everyone) > 1:
        cases += [([m], "all") for m in everyone]
    print("| model | features | validation | test | prefixes skipped | fit, s |")
    print("|---|---|---|---|---|---|", flush=True)
    for n, (members, features) in enumerate(cases):
        began = time.process_time()
        blend = subset(inner, members, features)
        fitted = fit_weights(blend, valid, protocol, progress=silent)
        seconds = time.process_time() - began
        if n == 0:
            for m, own in enumerate(fitted.record["member_validation"]):
                print(f"| {inner.labels[m]} | | {percent(own)} | {tested(final.members[m])} | | |")
        model = subset(final, members, features)
        model.weights = fitted.weights
        names = " + ".join(inner.labels[m] for m in members)
        validation = percent(fitted.record["validation"])
        skipped = f"{100 * fitted.record['skipped']:.1f} %"
        row = (names, features, validation, tested(model), skipped, f"{seconds:.1f}")
        print(f"| {' | '.join(row)} |", flush=True)


def percent(metrics: dict[str, float]) -> str:
    """Recall and MRR in percent."""
    return "/".join(f"{100 * value:.2f}" for value in metrics.values())


if __name__ == "__main__":
    main()
