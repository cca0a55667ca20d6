"""The memory estimate: by hand, against a measured run, and the error if it is too large."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nextclick.core import machine_memory as memory
from nextclick.errors import ConfigError
from nextclick.models.neural.lgsr import LGSR, LGSRConfig
from nextclick.training.memory_estimate import (
    MemoryEstimate,
    ModelSize,
    estimate,
    expected_size,
    free_memory,
)
from nextclick.training.training_config import TrainingConfig
from reference.tiny_model import Tiny, TinyConfig, circle, fresh

CONFIG = TrainingConfig(batch_size=100, keep="last")


def estimated(config=CONFIG, *, n_items=999):
    return estimate(expected_size(Tiny, TinyConfig(width=8), n_items), config)


WEIGHTS = 2 * 1000 * 8 + 1000 + 8 * 8 + 8  # two tables, a bias, a layer


def test_by_hand():
    found = estimated()
    assert found.weights == found.gradients == 4 * WEIGHTS
    assert found.optimizer == 2 * 4 * WEIGHTS
    assert found.best == 0
    assert found.loss == 4 * 100 * 999
    assert estimated(n_items=10**6).loss == 4 << 24  # one block of scores


@pytest.mark.parametrize(
    ("changes", "states"),
    [
        ({"optimizer": "adagrad"}, 1),
        ({"optimizer": "adagrad", "momentum": 0.1}, 2),
        ({"optimizer": "sgd"}, 0),
        ({"optimizer": "sgd", "momentum": 0.1}, 1),
    ],
)
def test_states_of_optimizers(changes, states):
    assert estimated(replace(CONFIG, **changes)).optimizer == states * 4 * WEIGHTS


def test_sampled_and_sparse_need_less():
    config = replace(CONFIG, loss="sampled", negatives=20, in_batch=True, sparse=True)
    assert estimated(config).gradients == 4 * 120 * 8
    assert estimated(config).loss == 4 * 6 * 100 * 120


def test_best_weights_count():
    assert estimated(replace(CONFIG, keep="best")).best == 4 * WEIGHTS


def test_sizes_equal_those_of_the_built_model():
    real = fresh(50, width=7).encoder
    found = expected_size(Tiny, TinyConfig(width=7), 50)
    assert found == ModelSize(sum(p.numel() for p in real.parameters()), 50, 7)
    assert (
        expected_size(Tiny, TinyConfig(width=7), 10**12).n_weights > 10**13
    )  # allocates no model of this size


def test_an_auxiliary_task_adds_weights_and_an_optimizer():
    config, sessions = LGSRConfig(width=4), circle(50)
    size = expected_size(LGSR, config, sessions.n_items)
    model = LGSR(config, sessions.n_items)
    task = model.task(sessions, 0)
    task_weights = {id(p): p.numel() for p in task.parameters()}
    shared = {id(p) for p in model.encoder.parameters()}
    assert size.n_task == sum(task_weights.values())
    assert size.n_task_only == sum(n for p, n in task_weights.items() if p not in shared)

    without = replace(size, n_task_only=0, n_task=0)
    found, less = (estimate(s, CONFIG) for s in (size, without))
    assert found.weights - less.weights == 4 * size.n_task_only
    assert found.optimizer - less.optimizer == 2 * 4 * size.n_task
    assert LGSR.task_weights(replace(config, variant="c"), sessions.n_items) == (0, 0)


def test_the_error_names_the_largest_use_and_what_to_change():
    gib = 1 << 30
    fits = MemoryEstimate(gib, gib, 2 * gib, gib, 0, 0)
    fits.check(5 * gib)
    fits.check(None)
    with pytest.raises(
        ConfigError,
        match=re.escape(
            "training needs about 5.00 GiB of memory and 4.00 GiB are free (optimizer 2.00, "
            "weights 1.00, gradients 1.00, best 1.00); set optimizer=adagrad, or lower the width"
        ),
    ):
        fits.check(4 * gib)
    with pytest.raises(ConfigError, match="lower batch_size or negatives"):
        MemoryEstimate(0, 0, 0, 0, 9, 0).check(1)


def test_free_memory_is_the_smaller_of_machine_and_container(tmp_path, monkeypatch):
    cpu = torch.device("cpu")
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 4000 kB\nMemAvailable: 3000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", meminfo)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert free_memory(cpu) == 3000 << 10
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(cpu) == 3000 << 10
    (tmp_path / "memory.max").write_text("2000000\n")
    (tmp_path / "memory.current").write_text("500000\n")
    assert free_memory(cpu) == 1_500_000
    meminfo.unlink()
    (tmp_path / "memory.max").unlink()
    assert free_memory(cpu) > 1 << 20


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from dataclasses import replace
from reference.tiny_model import Tiny, TinyConfig, circle, fresh
from nextclick.training.training_config import TrainingConfig
from nextclick.training.memory_estimate import estimate, expected_size
from nextclick.training.trainer import Trainer

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))

config = TrainingConfig(epochs=2, batch_size=100, threads=1)
valid = lambda model: {"recall@20": 0.5}
Trainer(fresh(40), config, device="cpu").run(circle(50), validate=valid)  # loads the code
open("/proc/self/clear_refs", "w").write("5")  # resets the peak
before = peak()
model = fresh(400_000, width=32)
Trainer(model, config, device="cpu").run(replace(circle(50), n_items=400_000), validate=valid)
size = expected_size(Tiny, TinyConfig(width=32), 400_000)
print((peak() - before) / estimate(size, config).total)
"""


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux, which can reset the peak"
)
def test_the_estimate_is_close_to_a_measured_run():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[1])],
        check=True,
        capture_output=True,
        text=True,
    )
    assert 0.6 < float(done.stdout) < 1.5
