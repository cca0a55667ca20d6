"""Measure the repeat model: what it learns, and what it gains, on logs with and without repeats.

    pip install nextclick
    python benchmarks/repeats.py                                   # simulated logs
    python benchmarks/repeats.py --stores week yoochoose diginetica globo

Without `--stores`, logs with the given shares of repeats are simulated and split by the default
rules, once per seed. A row is the mean over the seeds. With `--stores`, each model is also trained
on the inner part and evaluated on the validation part.

"share" is the share of training clicks after the first that return to an item of the session. The
next three columns are the learned probability of a return to the last click, to the click before
it, and to an item that was clicked three times, in a session of three distinct items.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick import Store, prepare
from nextclick.core.config import build_config
from nextclick.core.types import silent
from nextclick.evaluation import RankingProtocol, evaluate
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.models.classical.repeat_model import REPEATS, return_probability
from nextclick.models.model_registry import model_class
from nextclick.simulation.simulate import SimulationConfig, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.sessions import Sessions

K = 20
CELLS = {"last": (0, 0, 2), "before": (1, 0, 2), "3 clicks": (1, 2, 2)}


def measure(
    name: str, repeats: str, train: Sessions, test: Sessions, protocol: RankingProtocol
) -> dict[str, float]:
    """Train one model and rank the next clicks of the test sessions, in percent."""
    cls = model_class(name)
    config = build_config(cls.Config, {"repeats": repeats}, name)
    model: Any = cls.fit(train, config, seed=0, progress=silent)
    test = test.mask_unseen_items(train.support())
    metrics = evaluate(model, test, ks=(K,), protocol=protocol, n_bootstrap=0).metrics
    row = {metric: 100 * metrics[f"{metric}@{K}"].value for metric in ("recall", "mrr")}
    counts = model.repeats.counts
    if counts is not None:
        p = return_probability(counts)
        row |= {"share": 100 * counts.share} | {k: 100 * p[cell] for k, cell in CELLS.items()}
    return row


def simulated(shares: list[float], seeds: int, events: int) -> Iterator[tuple[str, Store]]:
    """Yield simulated logs, with their label."""
    with tempfile.TemporaryDirectory() as folder:
        for share in shares:
            for seed in range(seeds):
                log, store = (Path(folder) / f"{share}-{seed}{end}" for end in (".parquet", ""))
                config = SimulationConfig(events=events, items=5000, repeats=share, seed=seed)
                simulate(config, log)
                yield f"{share:.0%}", prepare(log, store).store


def stored(paths: list[str]) -> Iterator[tuple[str, Store]]:
    """Yield stores, with their names."""
    for path in paths:
        yield Path(path).name, Store.open(path)


def main() -> None:
    """Print a row for each log, part, model and option."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--stores", nargs="*", default=[], help="stores to measure on")
    parser.add_argument("--models", nargs="*", default=["session-knn"])
    parser.add_argument("--shares", nargs="*", type=float, default=[0.0, 0.2, 0.45])
    parser.add_argument("--seeds", type=int, default=3, help="simulated logs of each share")
    parser.add_argument("--events", type=int, default=300_000, help="clicks of a simulated log")
    options = parser.parse_args()

    parts = {"valid": "train_inner", "test": "train"} if options.stores else {"test": "train"}
    logs = (
        stored(options.stores)
        if options.stores
        else simulated(options.shares, options.seeds, options.events)
    )
    table: dict[tuple[str, ...], list[dict[str, float]]] = defaultdict(list)
    for label, store in logs:
        for part, trained_on in parts.items():
            for name in options.models:
                for repeats in REPEATS:
                    sessions: tuple[Any, Any] = store.part(trained_on), store.part(part)
                    row = measure(name, repeats, *sessions, store_protocol(store))
                    table[label, part, name, repeats].append(row)
    print(f"| log | part | model | repeats | Recall@{K} / MRR@{K} | share | {' | '.join(CELLS)} |")
    print("|" + "---|" * (6 + len(CELLS)))
    for key, rows in table.items():
        mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        learned = [f"{mean[name]:.1f}" if name in mean else "" for name in ("share", *CELLS)]
        values = [*key, f"{mean['recall']:.2f} / {mean['mrr']:.2f}", *learned]
        print(f"| {' | '.join(values)} |")


if __name__ == "__main__":
    main()
