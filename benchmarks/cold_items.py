"""Targets that no training session clicks, with and without features of items.

    pip install 'nextclick[neural]'
    python benchmarks/cold_items.py FOLDER -o cold.json

The log is a simulated shop (docs/simulator.md) with its item table. A tenth of the items is cold:
their clicks before the last tenth of the sessions are removed. The store has them as known items
(`--items-only all`). Each model is trained once on the sessions before the test, for a fixed number
of steps, and ranks the test among all items that it can rank. Prefixes are counted apart by their
target: a cold item, or another one. Without features a cold target is a miss.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick import PrepareOptions, SimulationConfig, Store, prepare, simulate_frame, train
from nextclick.batches.prefixes import prefix_blocks
from nextclick.data.options import ItemOptions, SplitOptions
from nextclick.simulation.item_features import item_frame
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from nextclick.artifact import Artifact

K = 20
COLD_SHARE = 0.1
TEST_SHARE = 0.1
MODELS = ("narm", "cosine-gru")
FEATURES = ("", "category", "category,brand", "category,brand,price,title")


def cold_store(folder: Path, config: SimulationConfig) -> Store:
    """The store of a log whose cold items are clicked in the test only."""
    if not (folder / "store").exists():
        log, items = simulate_frame(config), item_frame(config)
        rng = np.random.default_rng([config.seed, 0])
        cold = items["item_id"].sample(fraction=COLD_SHARE, seed=int(rng.integers(1 << 31)))
        ends = log.group_by("session_id").agg(pl.col("timestamp").max()).sort("timestamp")
        boundary = ends["timestamp"][int(len(ends) * (1 - TEST_SHARE))]
        in_test = pl.col("timestamp").max().over("session_id") >= boundary
        log = log.filter(in_test | ~pl.col("item_id").is_in(cold.implode()))
        options = PrepareOptions(
            split=SplitOptions(kind="boundary", boundary=str(boundary)),
            item_table=ItemOptions(source=items, catalog="all"),
        )
        prepare(log, folder / "store", options=options)
    return Store.open(folder / "store")


def measure(artifact: Artifact, store: Store) -> dict[str, dict[str, float]]:
    """Recall@K and MRR@K by target, in percent."""
    sessions = store.part("test").mask_unseen_items(artifact.known_items)
    raw, support = store.part("test"), artifact.support
    candidates = artifact.known_items
    hits: dict[str, list[np.ndarray[Any, Any]]] = {"cold": [], "other": []}
    blocks = (
        prefix_blocks(part, mode="all", max_length=None, max_cells=1 << 16, n_rows=512)
        for part in (sessions, raw)
    )
    for block, original in zip(*blocks, strict=True):
        scores = artifact.model.score(block.batch)
        scores[:, ~candidates] = -np.inf
        own = scores[np.arange(len(block)), block.targets][:, None]
        rank = (scores >= own).sum(1).astype(np.float64)  # ties count against the target
        rank[block.targets == 0] = np.inf
        is_cold = support[original.targets] == 0
        for name, chosen in (("cold", is_cold), ("other", ~is_cold)):
            hits[name].append(rank[chosen])
    found = {}
    for name, parts in hits.items():
        ranks = np.concatenate(parts)
        found[name] = {
            "prefixes": len(ranks),
            f"recall@{K}": round(100 * float((ranks <= K).mean()), 2),
            f"mrr@{K}": round(100 * float(np.where(ranks <= K, 1 / ranks, 0).mean()), 2),
        }
    return found


def main() -> None:
    """Train, rank, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--items", type=int, default=4_000)
    parser.add_argument("--steps", type=int, default=1_600)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--features", nargs="+", default=FEATURES)
    parser.add_argument("--id-dropout", type=float, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = SimulationConfig(
        events=options.events, items=options.items, users=options.events // 20, seed=options.seed
    )
    store = cold_store(options.folder, config)
    steps = {"keep": "last", "min_steps": options.steps, "max_steps": options.steps}
    found: dict[str, Any] = {}
    columns = (f"cold: Recall@{K}", f"MRR@{K}", f"other: Recall@{K}", f"MRR@{K}")
    print(f"| model | features | {' | '.join(columns)} |\n|---|---|---|---|---|---|", flush=True)
    for model in options.models:
        for features in options.features:
            values = steps | {"features": features}
            if options.id_dropout is not None:
                values["id_dropout"] = options.id_dropout
            artifact = train(
                store, model, config=values, seed=options.seed, neural=NeuralOptions(device="cpu")
            )
            result = measure(artifact, store)
            found[f"{model} {features}".strip()] = result
            cells = [f"{row[name]:.2f}" for row in result.values() for name in list(row)[1:]]
            print(f"| {model} | {features or 'none'} | {' | '.join(cells)} |", flush=True)
    print({name: row["prefixes"] for name, row in result.items()})
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
