"""Train a preset for its published number of epochs before the test, and rank the test.

    python benchmarks/published_epochs.py STORE --model gru4rec --preset bpr-max -o FOLDER

Without a validation: for published settings that include the number of epochs, such as those that
the authors of GRU4Rec found for Diginetica (bpr-max, 512 units, 10 epochs). A run that was stopped
continues from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nextclick.cli.parsing import parse_values
from nextclick.cli.progress import progress_bar
from nextclick.data.store import Store
from nextclick.evaluation import evaluate
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.training_setup import TrainingSetup
from nextclick.models.model_registry import model_class
from nextclick.models.neural_model import NeuralModel
from nextclick.training.training_config import NeuralOptions
from nextclick.training.training_plan import TrainingPlan


def main() -> None:
    """Train, rank, and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", default="gru4rec")
    parser.add_argument("--preset", default="bpr-max")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    store = Store.open(options.store)
    checkpoints = options.output / f"seed-{options.seed}"
    neural = NeuralOptions(
        preset=options.preset,
        checkpoints=checkpoints,
        resume=(checkpoints / "checkpoint").exists(),
    )
    model_type = model_class(options.model)
    if not issubclass(model_type, NeuralModel):
        parser.error(f"--model {options.model} has no epochs; choose a neural model")
    setup = TrainingSetup(model_type, store, parse_values(options.set), neural, options.seed)
    plan = TrainingPlan.create(setup.config, store.part("train"))
    with progress_bar() as progress:
        model, summary = setup.train("train", setup.config, progress, plan=plan)
        result = evaluate(
            model, store.part("test"), ks=[20], protocol=store_protocol(store), items=store.items
        )
    print(
        json.dumps(
            {
                "model": options.model,
                "preset": options.preset,
                "seed": options.seed,
                "epochs": setup.config.epochs,
                "recall@20": result.metrics["recall@20"].value,
                "mrr@20": result.metrics["mrr@20"].value,
                "seconds": sum(entry["seconds"] for entry in summary.history),
            }
        )
    )


if __name__ == "__main__":
    main()
