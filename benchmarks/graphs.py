"""Measure the training speed of SR-GNN and the share spent on building graphs.

    pip install 'nextclick[neural]'
    python benchmarks/graphs.py STORE
    python benchmarks/graphs.py STORE --model lessr --set loss=ce --set negatives=0

The first run trains `--steps` steps as `nextclick train` does: the loader thread builds graphs
while the previous step computes. The second run measures the same batches without steps: padding,
and building graphs. Rates are wall time. The time of a step and its parts is CPU time, including
the loader thread, so that other load changes shares little. With a second idle core, graphs cost no
wall time.

For SR-GNN, "nodes" counts those of all prefixes separately; "states" counts those computed, because
prefixes share them.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nextclick.batches.session_order import SessionOrder
from nextclick.cli.parsing import parse_values
from nextclick.data.store import Store
from nextclick.models.model_registry import model_class
from nextclick.models.ops.lessr_graph import lessr_graphs
from nextclick.models.ops.session_graphs import SessionGraph
from nextclick.training.batch_source import SessionBatchSource
from nextclick.training.device import choose_device, seeded
from nextclick.training.optim import Optimizers
from nextclick.training.training_config import TrainingConfig, build_configs

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.models.neural_model import NeuralModel


def fresh(name: str, preset: str, values: dict[str, Any], n_items: int) -> Any:
    """A model with weights drawn from seed 0, and how it is to be trained."""
    found: Any = model_class(name)
    config, training = build_configs(name, found.Config, found.presets, preset, values)
    with seeded(0):
        return found(config, n_items), training


def stepped(
    model: NeuralModel, sessions: Sessions, config: TrainingConfig, steps: int
) -> tuple[float, float]:
    """Samples/s of training with the loader's thread, and processor time of a step in ms.

    The first ten steps are left out, and the task that some models have.
    """
    feed = SessionBatchSource(model, sessions, config, seed=0, device=choose_device("cpu"))
    optimizers = Optimizers(model.encoder, config)
    model.encoder.train()
    began, began_cpu, n_samples, n_steps = 0.0, 0.0, 0, 0
    for number, work in enumerate(islice(feed.steps(0, 0), steps + 10)):
        if number == 10:
            began, began_cpu = time.perf_counter(), time.process_time()
            n_samples, n_steps = 0, 0
        loss = feed.loss(work)
        optimizers.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizers.step(config.learning_rate)
        n_samples += len(work)
        n_steps += 1
    cpu = 1e3 * (time.process_time() - began_cpu) / n_steps
    return n_samples / (time.perf_counter() - began), cpu


def apart(
    model: NeuralModel, sessions: Sessions, config: TrainingConfig, steps: int
) -> dict[str, float]:
    """Milliseconds of processor time a step of each part, one after the other."""
    order = SessionOrder(
        sessions,
        batch_size=config.batch_for(sessions.n_prefixes),
        max_length=model.max_length,
        seed=0,
        shuffle=config.shuffle,
    )
    plan = order.plan(0)
    first = plan[0]
    model.prepare_prefixes(first.items, first.where, first.session)  # compiles, or loads the cache
    began = time.process_time()
    batches = [plan[step] for step in range(min(steps, len(plan)))]
    padded = time.process_time()
    graphs = [model.prepare_prefixes(batch.items, batch.where, batch.session) for batch in batches]
    made = time.process_time()
    n = len(batches)
    found = {"padding": 1e3 * (padded - began) / n, "graphs": 1e3 * (made - padded) / n}
    if model.name == "sr-gnn":
        n_nodes = [len(lessr_graphs(batch.items, batch.where).nodes) for batch in batches]
        n_states = [len(graph.steps[0].own) for graph in graphs if isinstance(graph, SessionGraph)]
        found["nodes"], found["states"] = float(np.mean(n_nodes)), float(np.mean(n_states))
    return found


def main() -> None:
    """Train, take apart, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", default="sr-gnn", help="a neural model")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    store = Store.open(options.store)
    sessions = replace(store.part("train_inner"), times=None, users=None)
    values = parse_values(options.set)
    torch.set_num_threads(options.threads)
    model, config = fresh(options.model, options.preset, values, len(store.items))
    rate, step = stepped(model, sessions, config, options.steps)
    parts = apart(model, sessions, config, options.steps)
    print(f"{options.model}, preset {options.preset}, threads of arithmetic: {options.threads}")
    print(f"samples/s   {rate:12,.0f}")
    batch_size = config.batch_for(sessions.n_prefixes)
    print(f"step        {step:12.3f} ms of processor time, for {batch_size} prefixes")
    for name in ("padding", "graphs"):
        share = 100 * parts[name] / step
        print(f"{name:11} {parts[name]:12.3f} ms, {share:.1f} % of the step")
    for name in ("nodes", "states"):
        if name in parts:
            print(f"{name:11} {parts[name]:12,.0f} in a batch")


if __name__ == "__main__":
    main()
