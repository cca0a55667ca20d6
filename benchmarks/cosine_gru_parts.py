"""Ablation of cosine-gru: each part removed, on the validation of one store, over several seeds.

    python benchmarks/cosine_gru_parts.py STORE -o parts.json --seeds 3

Models are trained on `train_inner` and keep the weights that validate best; the table has the mean
of Recall@20 and MRR@20 on the validation over the seeds. Completed trainings are kept in the file.
--parts "all parts" "without repeats" measures some of them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nextclick.cli.progress import progress_bar
from nextclick.data.store import Store
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.training_setup import TrainingSetup, validation_callback
from nextclick.models.neural.cosine_gru import CosineGRU
from nextclick.training.device import seeded
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from nextclick.core.types import Progress
    from nextclick.models.neural.cosine_gru import CosineGRUEncoder

METRICS = ("recall@20", "mrr@20")
ALWAYS_OPEN = 20.0  # a gate of σ(20) = 1

# part to parameters, and to weights that are frozen at 0
PARTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "all parts": ({}, ()),
    "without neighbors": ({"neighbors": 0}, ()),
    "without item dropout": ({"item_dropout": 0.0}, ()),
    "without click dropout": ({"dropout": 0.0}, ()),
    "without distances": ({}, ("distances",)),
    "without repeats": ({}, ("repeats", "counts")),
    "without gate": ({}, ("gate.weight", "gate.bias")),
    "temperature 8": ({"temperature": 8.0}, ()),
    "temperature 20": ({"temperature": 20.0}, ()),
    "order of time": ({"shuffle": False}, ()),
    "float32 products": ({"precision": "float32"}, ()),
}


def remove(encoder: CosineGRUEncoder, frozen: tuple[str, ...]) -> None:
    """Freeze weights at 0; a gate is frozen open: the projected features alone are the query."""
    weights = dict(encoder.named_parameters())
    for name in frozen:
        with torch.no_grad():
            weights[name].fill_(ALWAYS_OPEN if name == "gate.bias" else 0.0)
        weights[name].requires_grad = False


def validated(store: Store, part: str, seed: int, progress: Progress) -> dict[str, float]:
    """The validation metrics of the best weights."""
    values, frozen = PARTS[part]
    setup = TrainingSetup(CosineGRU, store, values, NeuralOptions(), seed)
    with seeded(seed):
        model = CosineGRU(setup.model_config, setup.n_items)
    remove(model.encoder, frozen)
    fit = store.part("train_inner")
    valid = store.part("valid").mask_unseen_items(fit.support())
    validate = validation_callback(fit, valid, store_protocol(store), setup.k, store.items)
    summary = Trainer(model, setup.config, seed=seed).run(fit, validate=validate, progress=progress)
    return {name: summary.selected[name] for name in METRICS}


def main() -> None:
    """Run the ablation of one store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    options = parser.parse_args()
    done: dict[str, dict[str, float]] = {}
    if options.output.exists():
        done = json.loads(options.output.read_text(encoding="utf-8"))
    store = Store.open(options.store)
    with progress_bar() as progress:
        for seed in range(options.seeds):
            for part in options.parts:
                key = f"{part}, seed {seed}"
                if key not in done:
                    done[key] = validated(store, part, seed, progress)
                    options.output.write_text(json.dumps(done, indent=1), encoding="utf-8")
    print("| part | Recall@20 | MRR@20 |\n|---|---|---|")
    for part in options.parts:
        rows = [values for key, values in done.items() if key.startswith(f"{part}, seed")]
        means = [100 * np.mean([row[name] for row in rows]) for name in METRICS]
        spreads = [100 * np.ptp([row[name] for row in rows]) for name in METRICS]
        cells = (f"{m:.2f} ± {s / 2:.2f}" for m, s in zip(means, spreads, strict=True))
        print(f"| {part} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
