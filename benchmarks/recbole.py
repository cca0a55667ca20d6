r"""Compare NARM, GRU4Rec and SR-GNN with RecBole: training speed, and NARM's time to an accuracy.

    python -m venv recbole-env
    recbole-env/bin/pip install torch==2.13.0
    recbole-env/bin/pip install 'recbole==1.2.1' 'setuptools<81' 'numpy<2' 'pandas<2.3' \
        'scipy<1.14' 'scikit-learn<1.6'
    pip install 'nextclick[neural]'
    nextclick prepare FOLDER --format srgnn -o STORE
    python benchmarks/recbole.py STORE --recbole-python recbole-env/bin/python            # speed
    python benchmarks/recbole.py STORE --recbole-python recbole-env/bin/python --epochs 15

RecBole needs an older NumPy and runs in its own environment. Both sides train on the same prefixes
of the sessions before the test split, at most the latest `--max-length` clicks of each. Both use
Adam at `--learning-rate`, steps of `--batch-size` prefixes, the same widths and dropout rates and
`--threads` threads, on the CPU. The measured time is that of each side's usual training loop and
loader:

- RecBole: `Trainer._train_epoch`. Every prefix is one row, padded to the longest of the log; the
  loss is its default, the softmax over all items.
- full: nextclick with the same loss. A session is one row for all its prefixes (a longer one is
  several overlapping rows), and a step holds at most `--batch-size` prefixes.
- sampled: the same with a softmax over 2048 sampled items.
- quick (with `--forms`): the same at a rate of 0.004 that decays to 0 over `--epochs`, a recipe of
  nextclick.

"samples/s" are prefixes per second over `--steps` steps after a warm-up. "Matrix products" is the
share of a nextclick step that PyTorch spends in them (self time by `torch.profiler`, forward and
backward, over the time of the profiled steps): the part limited by the CPU, not by the code.

With `--epochs`, NARM is trained until Recall@20 on the test split reaches `--target`. The result is
a curve of quality over time, not a choice of a model: each epoch is ranked on the test split, which
only determines the end of the run. Ranks cover the whole catalog, ties count against the target.
The training time excludes ranking, reading the log and building the model.

The models are similar, not identical. RecBole's NARM has no softmax over its attention, its GRUs
have no bias, and initial weights differ. Its GRU4Rec maps the state (128) to the width of the
embedding (64) with a dense layer and decodes with the embedding, without item biases. nextclick's
(`embedding=separate`) decodes the state with a separate table (128) and a bias, which is twice the
product and a larger table to update. Its SR-GNN equals nextclick's in edges, layers and initial
weights, but builds graphs in its forward pass, as matrices, in Python.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.profiler import ProfilerActivity, profile

from nextclick import __version__
from nextclick.batches.prefixes import prefix_blocks
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.models.neural.gru4rec import GRU4Rec
from nextclick.models.neural.narm import NARM
from nextclick.models.neural.sr_gnn import SRGNN
from nextclick.models.ops.torch_threads import use_torch_threads
from nextclick.training.device import seeded
from nextclick.training.interrupt import Interrupt
from nextclick.training.loop import LoopSettings, TrainingLoop
from nextclick.training.training_config import build_configs
from recbole_side import RANKED, K, Stopwatch, recall, run_theirs, stretch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.batches.prefixes import PrefixBlock
    from nextclick.core.sessions import Sessions
    from nextclick.models.neural_model import NeuralModel
    from nextclick.training.loop import Validate

MODELS: dict[str, type[NeuralModel]] = {"NARM": NARM, "GRU4Rec": GRU4Rec, "SRGNN": SRGNN}
OURS: dict[str, dict[str, Any]] = {
    "NARM": {
        "embedding_width": 50,
        "hidden_width": 100,
        "embedding_dropout": 0.25,
        "output_dropout": 0.5,
    },
    "GRU4Rec": {
        "embedding": "separate",
        "embedding_width": 64,
        "hidden_width": 128,
        "embedding_dropout": 0.3,
        "hidden_dropout": 0.0,
    },
    "SRGNN": {"width": 100},
}
TRAINING: dict[str, Any] = {
    "order": "sessions",
    "optimizer": "adam",
    "momentum": 0.0,
    "sparse": False,
    "in_batch": False,
    "correct_target": False,
    "keep": "last",
}
FORMS: dict[str, dict[str, Any]] = {
    "full": {"loss": "ce", "negatives": 0},
    "sampled": {"loss": "sampled", "negatives": 2048},
    "quick": {
        "loss": "sampled",
        "negatives": 2048,
        "learning_rate": 0.004,
        "schedule": "cosine",
    },
}
PRODUCTS = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm", "aten::mv"}
SHOWN = 8  # operations listed for a profile

Curve = list[dict[str, float]]


@dataclass(frozen=True)
class Log:
    """What a store holds."""

    n_items: int
    train: Sessions
    test: Sessions


def known_blocks(sessions: Sessions, max_length: int | None) -> Iterator[PrefixBlock]:
    """The prefixes with a click on a known item whose target is known."""
    blocks = prefix_blocks(
        sessions, mode="all", max_length=max_length, max_cells=1 << 22, n_rows=RANKED
    )
    for block in blocks:
        yield block.select((block.targets != 0) & (block.batch.lengths != 0))


class Ours:
    """nextclick with the loop of its trainer."""

    def __init__(self, log: Log, options: argparse.Namespace):
        self.log = log
        self.options = options
        self.test = list(known_blocks(log.test, None))

    def run(self, model: str, loss: str, validate: Validate | None = None) -> TrainingLoop:
        """A run with fresh weights."""
        options, model_type = self.options, MODELS[model]
        values = OURS[model] | TRAINING | {"learning_rate": options.learning_rate} | FORMS[loss]
        values |= {"batch_size": options.batch_size, "max_length": options.max_length}
        values |= {"epochs": max(options.epochs, 1)}
        config, training = build_configs(
            model_type.name, model_type.Config, model_type.presets, "paper", values
        )
        with seeded(options.seed):
            made = model_type(config, self.log.n_items)
        settings = LoopSettings(training, options.seed, torch.device("cpu"))
        return TrainingLoop(
            made, self.log.train, settings,
            validate=validate, checkpoints=None, interrupt=Interrupt(),
        )  # fmt: skip

    def measured(self, model: str, loss: str, profiler: profile | None = None) -> Stopwatch:
        """Train for the warm-up and the requested steps."""
        options, run, watch = self.options, self.run(model, loss), Stopwatch()
        all_works = run.batch_source.steps

        def works(epoch: int, first: int) -> Iterator[Any]:
            with closing(all_works(epoch, first)) as each:
                steps = options.steps if profiler is None else options.profiled_steps
                yield from stretch(each, options.warm_up, steps, watch, profiler)

        run.batch_source.steps = works  # type: ignore[method-assign, assignment]
        with use_torch_threads(options.threads), seeded(options.seed):
            run.run(silent, ())
        return watch

    def speed(self, model: str, loss: str) -> float:
        """Prefixes per second."""
        watch = self.measured(model, loss)
        return watch.samples / watch.seconds

    def profile(self, model: str, loss: str) -> dict[str, float]:
        """Shares of the time of a step: all matrix products, and the operations that take most."""
        profiler = profile(activities=[ProfilerActivity.CPU], acc_events=True)
        seconds = self.measured(model, loss, profiler).seconds
        shares = {
            event.key: event.self_cpu_time_total / 1e6 / seconds
            for event in profiler.key_averages()
        }
        most = sorted(shares.items(), key=lambda pair: pair[1], reverse=True)[:SHOWN]
        products = sum(share for name, share in shares.items() if name in PRODUCTS)
        return {"matrix products": products} | dict(most)

    def curve(self, model: str, loss: str) -> Curve:
        """What each epoch took and gave, until one reaches the target or time is up."""
        told: Curve = []
        evaluation = Stopwatch()

        def validate(model_now: NeuralModel) -> dict[str, float]:
            with evaluation:
                value = recall(self.scores(model_now))
            epochs = run.position.history
            seconds = run.position.seconds + sum(epoch["seconds"] for epoch in epochs)
            told.append(
                {
                    "epoch": len(epochs) + 1,
                    "training_seconds": seconds,
                    "evaluation_seconds": evaluation.seconds,
                    f"recall@{K}": value,
                }
            )
            print(f"nextclick {loss} {model}: {told[-1]}", flush=True)
            if value >= self.options.target or seconds >= 60 * self.options.minutes:
                run.position.since_best = run.config.patience  # ends the run
            return {run.config.metric: value}

        run = self.run(model, loss, validate)
        with use_torch_threads(self.options.threads), seeded(self.options.seed):
            run.run(silent, ())
        return told

    def scores(self, model: NeuralModel) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(B, N + 1) scores and (B,) targets of each block of the test."""
        for block in self.test:
            scores = torch.from_numpy(model.score(block.batch))
            yield scores, torch.from_numpy(block.targets).long()


def ask_theirs(log: Log, options: argparse.Namespace) -> dict[str, Any]:
    """Measure RecBole."""
    length = options.max_length
    parts = {"train": known_blocks(log.train, length), "test": known_blocks(log.test, length)}
    asked = ("models", "batch_size", "max_length", "threads", "seed", "warm_up", "steps", "epochs")
    task = {name: getattr(options, name) for name in (*asked, "learning_rate", "target", "minutes")}
    task["n_items"] = log.n_items
    return run_theirs(options.recbole_python, task, parts)


def run_ours(log: Log, options: argparse.Namespace) -> dict[str, Any]:
    """Measure nextclick."""
    ours = Ours(log, options)
    found: dict[str, Any] = {"version": __version__, "speed": {}, "profile": {}, "curve": {}}
    for model in options.models:
        for loss in options.forms if options.steps else ():
            name = f"{model} {loss}"
            found["speed"][name] = ours.speed(model, loss)
            print(f"nextclick {name}: {found['speed'][name]:,.0f} samples/s", flush=True)
            found["profile"][name] = ours.profile(model, loss)
    for loss in options.forms:
        if options.epochs and "NARM" in options.models:
            found["curve"][f"NARM {loss}"] = ours.curve("NARM", loss)
    return found


def print_speeds(options: argparse.Namespace, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """The table of samples/s, and what bounds ours."""
    print(
        f"\n{'samples/s':16} {'RecBole':>8} {'nextclick':>10} {'ratio':>6} {'matrix products':>16}"
    )
    for model in options.models:
        peer = theirs.get("speed", {}).get(model)
        for loss in options.forms:
            name = f"{model} {loss}"
            own = ours.get("speed", {}).get(name)
            share = ours.get("profile", {}).get(name, {}).get("matrix products")
            print(
                f"{name:16} {shown(peer, ',.0f'):>8} {shown(own, ',.0f'):>10} "
                f"{shown(own and peer and own / peer, '.1f'):>6} {shown(share, '.0%'):>16}"
            )
    for name, shares in ours.get("profile", {}).items():
        most = ", ".join(f"{key} {share:.0%}" for key, share in list(shares.items())[1:])
        print(f"{name}: {most}")


def print_curves(curves: dict[str, Curve], target: float) -> None:
    """The table of what it took to reach the target."""
    recall_at = f"recall@{K}"
    titles = f"{'epochs':>7} {'training s':>11} {'ranking s':>10} {recall_at:>10}"
    print(f"\n{f'until {target:.0%}':16} {titles}")
    for name, curve in curves.items():
        last = curve[-1]
        print(
            f"{name:16} {last['epoch']:7} {last['training_seconds']:11.1f} "
            f"{last['evaluation_seconds']:10.1f} {last[recall_at]:10.2%}"
            + ("" if last[recall_at] >= target else "  not reached")
        )


def shown(value: float | None, form: str) -> str:
    """A number in a table, a dash where there is none."""
    return "-" if value is None else format(value, form)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("store", type=Path, help="what `nextclick prepare` made")
    parser.add_argument("--recbole-python", help="the Python that has RecBole")
    parser.add_argument("--only", choices=("ours", "theirs"))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=["full", "sampled"])
    parser.add_argument(
        "--steps", type=int, default=200, help="steps behind samples/s; 0: no samples/s of ours"
    )
    parser.add_argument("--warm-up", type=int, default=10, help="steps before them")
    parser.add_argument("--profiled-steps", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=0, help="most epochs of a curve; 0: none")
    parser.add_argument("--target", type=float, default=0.48, help=f"Recall@{K} that ends a curve")
    parser.add_argument("--minutes", type=float, default=90, help="of training that end a curve")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--max-length", type=int, default=50, help="clicks; RecBole's default")
    parser.add_argument("--learning-rate", type=float, default=0.001, help="RecBole's default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="JSON")
    options = parser.parse_args()
    if options.only != "ours" and not options.recbole_python:
        parser.error("--recbole-python: name it, or say --only ours")
    return options


def main() -> None:
    """Run both sides and print the tables."""
    options = parsed()
    store = Store.open(options.store)
    log = Log(len(store.items), store.part("train"), store.part("test"))
    theirs = {} if options.only == "ours" else ask_theirs(log, options)
    ours = {} if options.only == "theirs" else run_ours(log, options)
    print_speeds(options, ours, theirs)
    curves = {f"{name} of RecBole": curve for name, curve in theirs.get("curve", {}).items()}
    curves |= ours.get("curve", {})
    if curves:
        print_curves(curves, options.target)
    if options.output:
        told = {name: value for name, value in vars(options).items() if name != "output"}
        found = {"options": told, "torch": torch.__version__, "recbole": theirs, "nextclick": ours}
        options.output.write_text(json.dumps(found, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
