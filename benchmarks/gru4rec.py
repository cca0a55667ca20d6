"""Compare GRU4Rec with its authors' PyTorch port: same parameters, sessions, order and prefixes.

    git clone https://github.com/hidasib/GRU4Rec_PyTorch_Official official
    python -m venv official-env
    official-env/bin/pip install torch==2.13.0
    official-env/bin/pip install 'numpy<2' 'pandas<2.3'
    pip install 'nextclick[neural]'
    nextclick prepare FOLDER --format srgnn -o STORE
    python benchmarks/gru4rec.py STORE --official official --official-python official-env/bin/python

The port needs an older NumPy and runs in its own environment, where this file is executed too; its
top level therefore imports nothing of nextclick.

Both implementations train on all sessions before the test split for `--epochs` epochs, in the order
of the store (the port does not shuffle: shuffle=false). They rank the next click after every prefix
of the test split with a known target, among all items, ties against the target. Clicks on items
unseen in training are removed from the test split. Both read a test session from its first click.
`--set` changes a parameter of both; a parameter that the port lacks is changed for nextclick alone.

- The port is the authors' code except for the seed of the initial weights, which is always 42
  there; here it follows the seed, as in nextclick.
- "events/s" are targets per second over the epochs, as each side measures them, without reading the
  log. The port fills its store of negatives within an epoch too, except for the first fill, which
  is not counted. nextclick prepares the next steps in a second thread. "per CPU second" divides by
  the processor time of all threads instead. Both are medians over seeds in the last rows.
- "±" is the 95 % interval of the mean over seeds (Student's t).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray
    from nextclick.models.neural.gru4rec import GRU4RecConfig
    from nextclick.training.training_config import TrainingConfig

K = 20
RANKED = 512  # test sessions that the port reads side by side
LOSSES = {"sampled": "cross-entropy", "bpr-max": "bpr-max"}
T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262,
    2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101,
)  # fmt: skip
"""Student's t at 97.5 %, for 1 to 18 degrees of freedom."""
MOST_SEEDS = len(T_975) // 2 + 1


@dataclass
class Log:
    """What both sides are given; every item has a click in `train`, none of `test` is unknown."""

    train: Sessions
    test: Sessions


@dataclass
class Outcome:
    """One training of one side.

    Attributes:
        side: "nextclick" or "official".
        seed: of initial weights, dropout and negatives.
        recall, mrr: at K, in percent.
        seconds: of each epoch.
        events_per_second: targets over the time of all epochs.
        events_per_cpu_second: targets over the processor time of all epochs.
    """

    side: str
    seed: int
    recall: float
    mrr: float
    seconds: list[float]
    events_per_second: float
    events_per_cpu_second: float


@dataclass
class Timing:
    """Wall seconds of each epoch, and processor seconds of all."""

    seconds: list[float]
    cpu_seconds: float


def outcome(side: str, seed: int, ranks: AnyArray, timing: Timing, log: Log) -> Outcome:
    """The same figures for both sides."""
    hits = ranks <= K
    recall, mrr = 100 * hits.mean(), 100 * (hits / ranks).mean()
    events = log.train.n_prefixes * len(timing.seconds)
    rates = (events / sum(timing.seconds), events / timing.cpu_seconds)
    return Outcome(side, seed, float(recall), float(mrr), timing.seconds, *rates)


def load_log(folder: Path, n_sessions: int | None) -> Log:
    """All sessions before the test, or the latest of them, and the test on their items."""
    from nextclick.batches.session_order import drop_unknown_items
    from nextclick.core.sessions import Sessions
    from nextclick.data.store import Store

    store = Store.open(folder)
    train, test = store.part("train"), store.part("test")
    if n_sessions is not None:
        train = train.slice(max(len(train) - n_sessions, 0), len(train))
    seen = np.flatnonzero(train.support()[1:]) + 1
    number = np.zeros(train.n_items + 1, dtype=np.int32)
    number[seen] = np.arange(1, len(seen) + 1)

    def known(sessions: Sessions) -> Sessions:
        numbered = Sessions(number[sessions.items], np.asarray(sessions.offsets), len(seen))
        kept = drop_unknown_items(numbered)
        lists = [kept.session(s) for s in range(len(kept))]
        lists = [items for items in lists if len(items) >= 2]
        offsets = np.cumsum([0, *map(len, lists)])
        return Sessions(np.concatenate(lists), offsets, len(seen))

    return Log(known(train), known(test))


def train_ours(
    log: Log, model_config: GRU4RecConfig, config: TrainingConfig, seed: int, threads: int
) -> Outcome:
    """Train and rank in this process."""
    from nextclick.evaluation import evaluate
    from nextclick.models.neural.gru4rec import GRU4Rec
    from nextclick.models.ops.torch_threads import use_torch_threads
    from nextclick.training.device import seeded
    from nextclick.training.trainer import Trainer

    with seeded(seed):
        model = GRU4Rec(model_config, log.train.n_items)
    began = time.process_time()
    training = Trainer(model, config, seed=seed, device="cpu").run(log.train)
    cpu_seconds = time.process_time() - began
    with use_torch_threads(threads):
        found = evaluate(model, log.test, ks=[K], n_bootstrap=0)
    seconds = [epoch["seconds"] for epoch in training.history]
    return outcome("nextclick", seed, found.ranks, Timing(seconds, cpu_seconds), log)


def their_parameters(model: GRU4RecConfig, training: TrainingConfig) -> dict[str, Any]:
    """What the port calls the same parameters."""
    if training.loss not in LOSSES or training.score_activation == "tanh":
        sys.exit("the port has the losses sampled and bpr-max, the latter with elu or without")
    if not training.in_batch or training.optimizer != "adagrad" or training.order != "lanes":
        sys.exit("the port knows nothing but in_batch=true, optimizer=adagrad and order=lanes")
    return {
        "layers": [model.hidden_width] * model.layers,
        "loss": LOSSES[training.loss],
        "batch_size": training.batch_size,
        "dropout_p_embed": model.embedding_dropout,
        "dropout_p_hidden": model.hidden_dropout,
        "learning_rate": training.learning_rate,
        "momentum": training.momentum,
        "n_sample": training.negatives,
        "sample_alpha": training.negative_alpha,
        "embedding": model.embedding_width if model.embedding == "separate" else 0,
        "constrained_embedding": model.embedding == "tied",
        "n_epochs": training.epochs,
        "bpreg": training.regularization,
        "elu_param": 1.0 if training.score_activation == "elu" else 0.0,
        "logq": float(training.log_q),
    }


def write_tsv(sessions: Sessions, file: Path) -> None:
    """As the port reads it: the time only says which click comes before which."""
    session = np.repeat(np.arange(len(sessions)), sessions.lengths())
    columns = np.column_stack([session, sessions.items, np.arange(len(session))])
    header = "SessionId\tItemId\tTime"
    np.savetxt(file, columns, fmt="%d", delimiter="\t", header=header, comments="")


def train_theirs(
    log: Log, folder: Path, options: argparse.Namespace, parameters: dict[str, Any], seed: int
) -> Outcome:
    """Let this file run in the environment of the port."""
    job = {
        "official": str(options.official.resolve()),
        "parameters": parameters,
        "seed": seed,
        "threads": options.threads,
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    threads = str(options.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    quiet = ["-W", "ignore::FutureWarning"]  # pandas' on their code
    command = [str(options.official_python), *quiet, str(Path(__file__).resolve())]
    done = subprocess.run([*command, "--as-official", str(folder)], env=environment, check=False)
    if done.returncode:
        sys.exit(f"the port ended with status {done.returncode}")
    told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    return outcome("official", seed, np.load(folder / "ranks.npy"), Timing(**told), log)


def run_official(folder: Path) -> None:
    """In the environment of the port: train and rank as `job.json` says, and write down how."""
    import pandas as pd

    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    sys.path.insert(0, job["official"])
    module = import_module("gru4rec_pytorch")
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    seed_numpy = np.random.seed  # `fit` calls it with 42 before it draws the initial weights
    np.random.__dict__["seed"] = lambda _: seed_numpy(job["seed"])

    def read(part: str) -> Any:
        types = {"SessionId": "int32", "ItemId": "str"}
        return pd.read_csv(folder / f"{part}.tsv", sep="\t", dtype=types)

    clocks = []  # the port reads the time at the start and end of each epoch

    def read_time() -> float:
        clocks.append(time.process_time())
        return time.time()

    module.__dict__["time"] = SimpleNamespace(time=read_time)
    port = module.GRU4Rec(**job["parameters"], device=torch.device("cpu"))
    with redirect_stdout(io.StringIO()) as told:
        port.fit(read("train"))
    if port.error_during_train:
        sys.exit(f"the port could not train: {told.getvalue()}")
    epochs = re.findall(r"^Epoch\d+ .*?\(([\d.]+)s\)", told.getvalue(), re.MULTILINE)
    seconds = [float(epoch) for epoch in epochs]
    timing = Timing(seconds, clocks[-1] - clocks[-2 * len(seconds)])
    (folder / "told.json").write_text(json.dumps(asdict(timing)), encoding="utf-8")
    np.save(folder / "ranks.npy", official_ranks(port, read("test")))


@torch.no_grad()
def official_ranks(port: Any, test: Any) -> AnyArray:
    """(P,) ranks by the port's own model, session by session, shortest prefix first.

    Args:
        port: trained.
        test: clicks on known items in the order of their sessions, at least two of each.
    """
    items = port.data_iterator.itemidmap[test["ItemId"].to_numpy()].to_numpy().astype(np.int64)
    lengths = test.groupby("SessionId", sort=False).size().to_numpy()  # (S,)
    begin = np.cumsum(lengths) - lengths  # (S,)
    ranks = np.empty(len(items) - len(lengths), dtype=np.float64)
    by_length = np.argsort(-lengths, kind="stable")
    for start in range(0, len(lengths), RANKED):
        block = by_length[start : start + RANKED]  # longest first: what has ended is the tail
        state = [torch.zeros(len(block), width) for width in port.layers]
        for step in range(lengths[block[0]] - 1):
            block = block[lengths[block] > step + 1]
            state = [h[: len(block)] for h in state]
            clicks = torch.from_numpy(items[begin[block] + step])
            targets = torch.from_numpy(items[begin[block] + step + 1])
            scores = port.model(clicks, state, None, training=False)  # (B, N); replaces the state
            if not torch.isfinite(scores).all():
                sys.exit("a score of the port is not finite")
            own = scores.gather(1, targets[:, None])  # (B, 1)
            ranks[begin[block] - block + step] = (scores >= own).sum(1).numpy()
    return ranks


def mean_and_half(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half of its 95 % interval, None for one value."""
    n = len(values)
    if n == 1:
        return values[0], None
    return float(np.mean(values)), float(T_975[n - 2] * np.std(values, ddof=1) / np.sqrt(n))


def difference(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float | None]:
    """Of two means over as many seeds each, with half of its 95 % interval (pooled variance)."""
    n, gap = len(ours), float(np.mean(ours) - np.mean(theirs))
    if n == 1:
        return gap, None
    error = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / n)
    return gap, float(T_975[2 * n - 3] * error)


def shown(value: float, half: float | None) -> str:
    """As in a cell of the table."""
    return f"{value:.2f}" if half is None else f"{value:.2f} ± {half:.2f}"


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Means over seeds, differences, and the ratio of events/s."""
    sides = {
        side: [run for run in outcomes if run.side == side] for side in ("official", "nextclick")
    }
    told: dict[str, Any] = {}
    for side, runs in sides.items():
        told[side] = {
            "recall": mean_and_half([run.recall for run in runs]),
            "mrr": mean_and_half([run.mrr for run in runs]),
            "events_per_second": float(np.median([run.events_per_second for run in runs])),
            "events_per_cpu_second": float(np.median([run.events_per_cpu_second for run in runs])),
        }
    for name in ("recall", "mrr"):
        ours, theirs = (
            [getattr(run, name) for run in sides[side]] for side in ("nextclick", "official")
        )
        told[f"{name}_difference"] = difference(ours, theirs)
    for name, ratio in (("events_per_second", "ratio"), ("events_per_cpu_second", "cpu_ratio")):
        told[ratio] = told["nextclick"][name] / told["official"][name]
    return told


def print_table(outcomes: Sequence[Outcome], found: Mapping[str, Any]) -> None:
    """Every run, the means, the median rates and their ratios."""
    rates = ("events_per_second", "events_per_cpu_second")
    titles = f"{'events/s':>10} {'per CPU second':>15}"
    print(f"{'':10} {'seed':>5} {'Recall@20':>14} {'MRR@20':>14} {titles}")
    for run in sorted(outcomes, key=lambda run: run.side, reverse=True):
        wall, cpu = (getattr(run, name) for name in rates)
        figures = f"{run.recall:14.2f} {run.mrr:14.2f} {wall:10,.0f} {cpu:15,.0f}"
        print(f"{run.side:10} {run.seed:5} {figures}")
    for side in ("official", "nextclick"):
        recall, mrr = (shown(*found[side][name]) for name in ("recall", "mrr"))
        wall, cpu = (found[side][name] for name in rates)
        print(f"{side:10} {'':>5} {recall:>14} {mrr:>14} {wall:10,.0f} {cpu:15,.0f}")
    recall, mrr = (shown(*found[f"{name}_difference"]) for name in ("recall", "mrr"))
    ratios = f"{found['ratio']:9.2f}x {found['cpu_ratio']:14.2f}x"
    print(f"{'ours less theirs':16} {recall:>14} {mrr:>14} {ratios}")


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--official", type=Path, required=True, help="a checkout of the port")
    parser.add_argument("--official-python", type=Path, required=True, help="its interpreter")
    parser.add_argument("--preset", default="paper", help="of our gru4rec")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3, help=f"how many, at most {MOST_SEEDS}")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of each side's arithmetic")
    parser.add_argument("--sessions", type=int, help="learn from that many alone, the latest")
    parser.add_argument("-o", "--output", type=Path, help="write everything as JSON")
    options = parser.parse_args(arguments)
    if not 1 <= options.seeds <= MOST_SEEDS:
        parser.error(f"--seeds must be in 1..{MOST_SEEDS}, got {options.seeds}")
    if not (options.official / "gru4rec_pytorch.py").is_file():
        parser.error(f"--official: {options.official} is no checkout of the port")
    return options


def build(options: argparse.Namespace, longest: int) -> tuple[GRU4RecConfig, TrainingConfig]:
    """Our parameters, read from the first click on however long a test session is."""
    from nextclick.models.neural.gru4rec import GRU4Rec, GRU4RecConfig
    from nextclick.training.training_config import build_configs

    values = {
        "epochs": options.epochs,
        "keep": "last",
        "shuffle": False,
        "threads": options.threads,
        "max_length": longest,
        **dict(pair.split("=", 1) for pair in options.set),
    }
    return build_configs("gru4rec", GRU4RecConfig, GRU4Rec.presets, options.preset, values)


def main(arguments: Sequence[str]) -> None:
    """Run both for every seed, print the table, and write it down."""
    options = parse_options(arguments)
    log = load_log(options.store, options.sessions)
    model_config, config = build(options, int(log.test.lengths().max()))
    parameters = their_parameters(model_config, config)
    print(f"{model_config}\n{config}\n{parameters}")
    print(
        f"{len(log.train)} sessions with {log.train.n_prefixes} targets, {log.train.n_items} "
        f"items; {log.test.n_prefixes} test prefixes; {config.epochs} epochs on "
        f"{options.threads} threads"
    )
    warm = Log(log.train.slice(0, 2 * config.batch_size), log.test.slice(0, 8))
    train_ours(warm, model_config, config, 0, options.threads)  # compiles
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tsv(log.train, folder / "train.tsv")
        write_tsv(log.test, folder / "test.tsv")
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            for run in (
                train_theirs(log, folder, options, parameters, seed),
                train_ours(log, model_config, config, seed, options.threads),
            ):
                print(f"seed {seed}: {run}", file=sys.stderr)
                outcomes.append(run)
    found = summary(outcomes)
    print_table(outcomes, found)
    if options.output:
        told = {
            "ours": {"model": asdict(model_config), "training": asdict(config)},
            "theirs": parameters,
            "log": {"targets": log.train.n_prefixes, "items": log.train.n_items},
            "test_prefixes": log.test.n_prefixes,
            "threads": options.threads,
            "runs": [asdict(run) for run in outcomes],
            "summary": found,
        }
        options.output.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-official"]:
        run_official(Path(sys.argv[2]))
    else:
        main(sys.argv[1:])
