"""Measure the cost of ASARS: all prefixes in one pass or one by one, and against GRU4Rec.

    pip install 'nextclick[neural]'
    python benchmarks/asars_cost.py                  # the triangular attention
    python benchmarks/asars_cost.py --store STORE    # also training, on a log with times and users

Triangle: forward and backward pass of time_user over a batch of sessions of one length. "Once" is
the encoder unchanged. "Loop" runs the same encoder for every prefix alone and keeps the last row,
as models that only score whole sessions do. Both give the same queries, which is checked.

Training: samples/s over the steps of one epoch, including loading, and the peak of the resident
memory above its level before training. All models use widths of 100, 2,048 shared negatives, Adam
and steps of 512 prefixes. GRU4Rec has a separate embedding of ASARS's width and the same padded
sessions.

Each case runs in its own process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nextclick.data.store import Store
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.neural.asars import ASARS
from nextclick.models.neural.asars_config import ASARSConfig
from nextclick.models.neural.gru4rec import GRU4Rec
from nextclick.models.ops.gap_bins import GapBins
from nextclick.training.device import seeded
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import build_configs

if TYPE_CHECKING:
    from nextclick.models.neural_model import NeuralModel

MIB = 1 << 20
VARIANTS = ("user_att", "user_cat", "time_att", "time_cat", "time_user")
RECIPE = {
    "loss": "sampled",
    "negatives": 2048,
    "learning_rate": 0.002,
    "batch_size": 512,
    "epochs": 1,
    "keep": "last",
    "order": "sessions",
}

LIKE_ASARS = {
    "embedding": "separate",
    "embedding_width": 64,
    "embedding_dropout": 0.5,
    "hidden_width": 100,
    "hidden_dropout": 0.0,
    "max_length": 200,
}


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """Most bytes that it ever had there."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def queries(model: ASARS, clicks: dict[str, Tensor], how: str) -> Tensor:
    """(B, T, D) queries of all prefixes."""
    items, told = clicks["items"], {n: x for n, x in clicks.items() if n != "items"}
    if how == "once":
        whole: Tensor = model.encoder(items, **told)
        return whole
    rows = []
    for t in range(items.shape[1]):
        part = {name: x if x.ndim == 1 else x[:, : t + 1] for name, x in told.items()}
        rows.append(model.encoder(items[:, : t + 1], **part)[:, -1])
    return torch.stack(rows, dim=1)


def triangle(how: str, length: int, batch: int, repeats: int) -> dict[str, float]:
    """Milliseconds and memory of a step."""
    rng = np.random.default_rng(0)
    N, U = 10_000, 1_000
    facts = DatasetInfo(np.ones(U + 1, dtype=np.bool_), GapBins(5.0, 100))
    with seeded(0):
        model = ASARS(ASARSConfig(dropout=0.0, user_dropout=0.0, time_dropout=0.0), N, facts)
    clicks = {
        "items": torch.from_numpy(rng.integers(1, N + 1, (batch, length))),
        "gaps": torch.from_numpy(rng.uniform(0, 400, (batch, length)).astype(np.float32)),
        "waited": torch.zeros(batch, length),
        "users": torch.from_numpy(rng.integers(0, U + 1, batch)),
    }
    if how == "loop":
        with torch.no_grad():
            same = queries(model, clicks, "once")
            torch.testing.assert_close(queries(model, clicks, "loop"), same, atol=1e-4, rtol=1e-4)
    before, seconds = resident(), []
    for _ in range(repeats):
        began = time.perf_counter()
        queries(model, clicks, how).square().mean().backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - began)
    return {"ms": 1e3 * min(seconds), "mib": (peak() - before) / MIB}


def training(name: str, store: Store, threads: int) -> dict[str, float]:
    """Samples/s and memory of an epoch."""
    sessions = store.part("train_inner")
    model_type: type[NeuralModel] = GRU4Rec if name == "gru4rec" else ASARS
    own = LIKE_ASARS if name == "gru4rec" else {"variant": name}
    values = RECIPE | own | {"threads": threads}
    config, how = build_configs(model_type.name, model_type.Config, {}, None, values)
    facts = DatasetInfo.from_sessions(sessions, model_type.requires(config))
    with seeded(0):
        model = model_type(config, len(store.items), facts)
    before = resident()
    done = Trainer(model, how).run(sessions)
    return {"samples/s": done.samples_per_second, "mib": (peak() - before) / MIB}


def alone(threads: int, *arguments: object) -> dict[str, float]:
    """What a case prints that runs in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(threads), "--case"]
    command += map(str, arguments)
    answer: dict[str, float] = json.loads(subprocess.check_output(command))
    return answer


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--batch", type=int, default=8, help="sessions")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--store", type=Path, help="with times and users")
    parser.add_argument("--case", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.case:
        kind, *rest = options.case
        if kind == "training":
            found = training(rest[0], Store.open(rest[1]), options.threads)
        else:
            found = triangle(kind, *map(int, rest))
        print(json.dumps(found))
        return
    print(
        f"{'length':>6} {'once ms':>9} {'loop ms':>10} {'times':>6} {'once MiB':>9} {'loop MiB':>9}"
    )
    for length in options.lengths:
        once, loop = (
            alone(options.threads, how, length, options.batch, options.repeats)
            for how in ("once", "loop")
        )
        print(
            f"{length:6} {once['ms']:9.1f} {loop['ms']:10.1f} {loop['ms'] / once['ms']:6.1f} "
            f"{once['mib']:9.1f} {loop['mib']:9.1f}"
        )
    if options.store:
        print(f"\n{'model':10} {'samples/s':>10} {'of GRU4Rec':>10} {'MiB':>7}")
        base = 0.0
        for name in ("gru4rec", *VARIANTS):
            found = alone(options.threads, "training", name, options.store)
            base = base or found["samples/s"]
            print(
                f"{name:10} {found['samples/s']:10,.0f} {found['samples/s'] / base:10.2f} "
                f"{found['mib']:7.0f}"
            )


if __name__ == "__main__":
    main()
