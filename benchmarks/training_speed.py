"""Training speed of two versions of the package, alternating, on one and on two threads.

    python benchmarks/training_speed.py STORE [--other CHECKOUT/src] [--models narm sasrec]
    python benchmarks/training_speed.py STORE --profile --models narm

A measurement trains `--steps` steps of the default preset with 2,048 negatives, also on a small
catalog, in a process of its own, after `--warm-up` steps. Both versions alternate `--repeats`
times; the table has the medians of prefixes per second of wall time and per second of processor
time, which an occupied machine changes less. With `--profile`, the table is the self time of the
operations of a step by `torch.profiler`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from nextclick.data.store import Store
from nextclick.models.model_registry import model_class
from nextclick.training.device import seeded
from nextclick.training.interrupt import Interrupt
from nextclick.training.loop import LoopSettings, TrainingLoop
from nextclick.training.loss_monitor import LossMonitor
from nextclick.training.memory_reuse import reuse_freed_memory
from nextclick.training.training_config import build_configs

MODELS = ("narm", "asars", "sasrec", "cosine-gru", "csrm")
GROUPS = {
    "products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "recurrence": ("_Recurrence", "sigmoid", "tanh", "aten::gru"),
    "loss without products": ("_SharedSoftmax", "aten::exp", "aten::nonzero", "aten::isin"),
    "attention energies": ("_AdditiveEnergy", "_RelativeEnergy", "_Energy"),
    "memory of CSRM": ("_Nearest", "_GroupSum"),
    "optimizer": ("Optimizer", "aten::_fused_adam"),
}


def main() -> None:
    """Measure one version and print JSON, or compare two versions."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads[0])
    if arguments.measure:
        print(json.dumps(measure(arguments.store, arguments.models[0], arguments)))
    elif arguments.profile:
        for name in arguments.models:
            print_profile(arguments.store, name, arguments)
    else:
        compare(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--other", type=Path, help="folder `src` of the version to compare with")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def training_loop(store: Path, name: str) -> TrainingLoop:
    """The training of the default preset with sampled negatives."""
    cls: Any = model_class(name)
    values = {"full_softmax_items": 0, "epochs": 1000}
    config, training = build_configs(name, cls.Config, cls.presets, None, values)
    sessions = Store.open(store).part("train_inner")
    model = cls(config, sessions.n_items, cls.dataset_info(config, sessions))
    model.setup(sessions)
    settings = LoopSettings(training, 0, torch.device("cpu"))
    loop = TrainingLoop(
        model, sessions, settings, validate=None, checkpoints=None, interrupt=Interrupt()
    )
    loop.monitor = LossMonitor(loop.optimizers.named, loop.position)
    return loop


def measure(store: Path, name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Prefixes per second of wall time and of processor time."""
    with seeded(0), reuse_freed_memory():
        loop = training_loop(store, name)
        with closing(loop.batch_source.steps(0, 0)) as steps:
            for _ in range(arguments.warm_up):
                loop._train_step(next(steps))
            n, wall, processor = 0, time.perf_counter(), time.process_time()
            for _ in range(arguments.steps):
                step = next(steps)
                loop._train_step(step)
                n += len(step)
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {"wall": n / wall, "processor": n / processor}


def print_profile(store: Path, name: str, arguments: argparse.Namespace) -> None:
    """Print the milliseconds of a step by group of operations."""
    with seeded(0), reuse_freed_memory():
        loop = training_loop(store, name)
        with closing(loop.batch_source.steps(0, 0)) as steps:
            for _ in range(arguments.warm_up):
                loop._train_step(next(steps))
            with profile(activities=[ProfilerActivity.CPU]) as profiled:
                for _ in range(arguments.steps):
                    loop._train_step(next(steps))
    times = dict.fromkeys([*GROUPS, "everything else"], 0.0)
    for event in profiled.key_averages():
        groups = [g for g, parts in GROUPS.items() if any(part in event.key for part in parts)]
        name_of_group = groups[0] if groups else "everything else"
        times[name_of_group] += event.self_cpu_time_total / arguments.steps / 1000
    print(f"| {name} | ms of a step | share |\n|---|---|---|")
    for group, milliseconds in times.items():
        print(f"| {group} | {milliseconds:.2f} | {milliseconds / sum(times.values()):.0%} |")


def compare(arguments: argparse.Namespace) -> None:
    """Print a table of all models and numbers of threads."""
    own = Path(__file__).resolve().parents[1] / "src"
    versions = [own] if arguments.other is None else [arguments.other.resolve(), own]
    print("| model | threads | prefixes/s | ratio | prefixes/processor s | ratio |")
    print("|---|---|---|---|---|---|")
    for name in arguments.models:
        for threads in arguments.threads:
            found: dict[Path, list[dict[str, float]]] = {version: [] for version in versions}
            for _ in range(arguments.repeats):
                for version in versions:
                    found[version].append(_in_process(version, name, threads, arguments))
            cells = []
            for clock in ("wall", "processor"):
                rates = [statistics.median(m[clock] for m in found[v]) for v in versions]
                cells.append(" → ".join(f"{rate:,.0f}" for rate in rates))
                cells.append(f"{rates[-1] / rates[0]:.2f}")
            print(f"| {name} | {threads} | " + " | ".join(cells) + " |", flush=True)


def _in_process(
    version: Path, name: str, threads: int, arguments: argparse.Namespace
) -> dict[str, float]:
    options = {"--models": name, "--threads": threads, "--steps": arguments.steps}
    command = [sys.executable, __file__, str(arguments.store), "--measure"]
    for option, value in (options | {"--warm-up": arguments.warm_up}).items():
        command += [option, str(value)]
    environment = os.environ | {"PYTHONPATH": str(version)}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    main()
