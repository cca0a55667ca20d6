"""Train recipes on a store and rank its test split: the tables of docs/results/neural.md.

    python benchmarks/recipes.py STORE -o FOLDER recipes/narm.toml recipes/stamp.toml

Each recipe is trained without the validation split, which chooses the epoch, and the test split is
ranked once. With `--train-on all` it is retrained on all training sessions for as many epochs
before the test split is ranked. FOLDER stores finished parts; rerun the same command to resume.
Training time is that of the steps, without validation.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nextclick import Store, evaluate, train
from nextclick.artifact import Artifact
from nextclick.experiments.recipe import Recipe, read_recipe
from nextclick.experiments.run_cache import RunCache
from nextclick.training.training_config import NeuralOptions

K = 20


def trained(
    store: Store, name: str, recipe: Recipe, folder: Path, train_on: str, threads: int
) -> Artifact:
    """The artifact of a recipe in the folder of its run: trained, trained further or read."""
    place, checkpoints = folder / "artifact", folder / "training"
    if place.exists():
        return Artifact.load(place)
    options = NeuralOptions(
        recipe.preset,
        checkpoints=checkpoints,
        resume=(checkpoints / "checkpoint").exists(),
    )
    print(f"training {name}; see {checkpoints / 'metrics.jsonl'}", file=sys.stderr)
    return train(
        store,
        recipe.model,
        place,
        config=recipe.parameters | {"threads": threads},
        train_on=train_on,
        seed=recipe.seed or 0,
        neural=options,
    )


def row(store: Store, path: Path, folder: Path, train_on: str, threads: int) -> dict[str, Any]:
    """What a recipe came to."""
    recipe = read_recipe(path)
    inputs = {
        "data_fingerprint": store.fingerprint, "recipe": asdict(recipe), "train_on": train_on,
        "threads": threads, "k": K,
    }  # fmt: skip

    def measured(run: Path) -> dict[str, Any]:
        artifact = trained(store, path.stem, recipe, run, train_on, threads)
        done, found = artifact.trained, evaluate(artifact, store, ks=[K])
        return {
            "recipe": path.stem,
            **{
                name: f"{100 * m.value:.2f} [{100 * (m.low or 0):.2f}, {100 * (m.high or 0):.2f}]"
                for name, m in found.metrics.items()
                if name != "ndcg@20"
            },
            "validation": f"{100 * done['validation']:.2f}",
            "epoch": f"{done['best_epoch']} of {done['epochs']}",
            "seconds": f"{sum(epoch['seconds'] for epoch in done['history']):,.0f}",
            "prefixes/s": f"{done['samples_per_second']:,.0f}",
        }

    return RunCache(folder).values(path.stem, inputs, measured)


def main() -> None:
    """Train, rank, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--train-on", choices=("inner", "all"), default="inner")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as a step keeps busy")
    options = parser.parse_args()
    store = Store.open(options.store)
    options.output.mkdir(parents=True, exist_ok=True)
    rows = [
        row(store, path, options.output, options.train_on, options.threads)
        for path in options.recipes
    ]
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for each in rows:
        print("| " + " | ".join(each.values()) + " |")


if __name__ == "__main__":
    main()
