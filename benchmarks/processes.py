"""Trains five models by one process and by several, and compares losses, metrics and speed.

    python benchmarks/processes.py STORE -o FOLDER [--processes 2] [--seeds 3] [--epochs 3]

Without dropout the losses of all intervals are compared; with the dropout of the defaults the
metrics on the test, over seeds. Prints two tables in Markdown. Trained models in FOLDER are not
trained again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

# the values of NAME=VALUE without any noise in training
MODELS: dict[str, tuple[str, list[str], list[str]]] = {
    "narm": ("narm", [], ["embedding_dropout=0", "output_dropout=0"]),
    "asars time_user": (
        "asars",
        ["variant=time_user", "history=none"],
        ["dropout=0", "output_dropout=0", "user_dropout=0", "time_dropout=0"],
    ),
    "sr-gnn": ("sr-gnn", [], []),
    "gru4rec lanes": (
        "gru4rec",
        ["order=lanes", "optimizer=adagrad", "sparse=true", "learning_rate=0.1", "batch_size=64",
         "in_batch=true", "full_softmax_items=0"],
        ["hidden_dropout=0"],
    ),
    "cosine-gru": ("cosine-gru", ["choose_order=false"], ["dropout=0", "item_dropout=0"]),
}  # fmt: skip
METRICS = ("recall@20", "mrr@20")


def main() -> None:
    """Run all trainings and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    options = parser.parse_args()
    sizes = (1, options.processes)
    print(f"| model | processes | seeds | {' | '.join(METRICS)} | samples/s |")
    print("|---|---|---|---|---|---|", flush=True)
    differences = []
    for label in options.models.split(","):
        curves = [
            losses(trained(options, label, size, 0, noise=False)["history"]) for size in sizes
        ]
        largest = max(abs(a - b) / a for a, b in zip(*curves, strict=True))
        differences.append(f"| {label} | {len(curves[0])} | {largest:.1e} |")
        for size in sizes:
            runs = [trained(options, label, size, s, noise=True) for s in range(options.seeds)]
            cells = [spread([run["metrics"][name] for run in runs]) for name in METRICS]
            speed = statistics.median(run["samples_per_second"] for run in runs)
            print(
                f"| {label} | {size} | {len(runs)} | {' | '.join(cells)} | {speed:,.0f} |",
                flush=True,
            )
    print("\n| model | intervals | largest relative difference of the loss, without dropout |")
    print("|---|---|---|")
    print("\n".join(differences))


def losses(history: list[dict[str, Any]]) -> list[float]:
    """The loss of each interval."""
    return [float(interval["loss"]) for interval in history]


def spread(values: list[float]) -> str:
    """Mean and range in percent."""
    mean, low, high = (100 * f(values) for f in (statistics.fmean, min, max))
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


def trained(
    options: argparse.Namespace, label: str, size: int, seed: int, *, noise: bool
) -> dict[str, Any]:
    """The record of a training by `size` processes, and its metrics on the test."""
    name, values, without_noise = MODELS[label]
    folder = options.output / f"{label.replace(' ', '-')}-{size}-{seed}{'' if noise else '-exact'}"
    record = folder.with_suffix(".json")
    if not record.exists():
        settings = [*values, *([] if noise else without_noise), f"epochs={options.epochs}"]
        words = ["train", options.store, "-m", name, "-o", folder, "--train-on", "inner"]
        words += ["--seed", seed, "--overwrite", "--json"]
        found = run([*words, *(word for s in settings for word in ("--set", s))], size)
        result = run(["evaluate", folder, options.store, "--bootstrap", 0, "--json"], 1)
        metrics = result["result"]["evaluation"]["metrics"]
        found["metrics"] = {metric: metrics[metric]["value"] for metric in METRICS}
        record.write_text(json.dumps(found))
    document: dict[str, Any] = json.loads(record.read_text())
    return document


def run(words: list[Any], size: int) -> dict[str, Any]:
    """The JSON output of a command in `size` processes of one thread each."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "nextclick", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


if __name__ == "__main__":
    main()
