"""A run that is interrupted at any step and resumed gives bit-identical weights."""

import json
import random
import signal
from dataclasses import replace

import pytest
import torch

from nextclick.core import storage
from nextclick.errors import InterruptedRunError
from nextclick.training import run_log as report
from nextclick.training.checkpoint import Checkpoints
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import TrainingConfig
from reference.tiny_model import circle, fresh, weights

LOG = circle(120)
SESSIONS = TrainingConfig(
    batch_size=32, learning_rate=0.02, epochs=6, patience=2, threads=1, checkpoint_minutes=0
)
LANES = replace(
    SESSIONS, order="lanes", batch_size=24, loss="sampled", negatives=9, in_batch=True, sparse=True,
    optimizer="adagrad", momentum=0.3, shuffle=False,
)  # fmt: skip
CONFIGS = {
    "adam": replace(SESSIONS, schedule="cosine", warm_up=20, clip=0.5),
    "sampled": replace(SESSIONS, loss="sampled", negatives=15, optimizer="adamw", weight_decay=0.1),
    "lanes": LANES,
    "lazy": replace(SESSIONS, loss="sampled", negatives=15, sparse=True),
    "sgd": replace(SESSIONS, optimizer="sgd", momentum=0.9, pretrain_epochs=2, recent=0.5),
    "last": replace(SESSIONS, keep="last", epochs=3),
    # six validations in 2.2 epochs, most of them within an epoch
    "steps": replace(SESSIONS, max_steps=30, validations=6, schedule="cosine", patience=6),
    "lane-steps": replace(LANES, max_steps=30, validations=6, shuffle=True, patience=6),
}


class KilledError(Exception):
    """Simulates a kill."""


@pytest.fixture(autouse=True)
def _report_every_step_without_sync(monkeypatch):
    monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(storage, "sync_tree", lambda folder: None)  # no power failure here


def run(config, folder, *, resume=False, kill_at=None):
    """Weights, metrics without times, best epoch, and number of progress calls.

    The run is killed at progress call `kill_at`.
    """
    n_calls = 0

    def progress(stage, done, total):
        nonlocal n_calls
        n_calls += 1
        if n_calls == kill_at:
            raise KilledError

    def validate(model):
        # lower from the fourth epoch on, so the run stops early
        epoch = len(validate.seen) + validate.before
        validate.seen.append(epoch)
        spread = float(model.encoder.mix.weight.detach().std())
        return {"recall@20": spread + (0.5 if epoch < 4 else 0.0) + 0.1 * epoch * (epoch < 3)}

    validate.seen, validate.before = [], epochs_done(folder) if resume else 0
    model = fresh(
        LOG.n_items, seed=99 if resume else 0
    )  # a resumed run must not use the initial weights
    training = Trainer(model, config, seed=5, device="cpu").run(
        LOG,
        validate=validate,
        checkpoints=Checkpoints(folder, resume, {"store": "abc"}),
        progress=progress,
    )
    timeless = [
        {n: v for n, v in epoch.items() if n not in ("seconds", "samples_per_second")}
        for epoch in training.history
    ]
    return weights(model), timeless, training.selected["epoch"], n_calls


def epochs_done(folder):
    position = json.loads((folder / "checkpoint/manifest.json").read_text())["position"]
    return len(position["history"])


@pytest.mark.parametrize("name", CONFIGS)
def test_killed_at_random_steps_and_resumed(name, tmp_path):
    config = CONFIGS[name]
    expected = run(config, tmp_path / "whole")
    if "steps" not in name:
        assert len(expected[1]) == (3 if name == "last" else 5 if expected[2] == 3 else 6)
    draw = random.Random(name)
    for number in range(3):
        folder = tmp_path / f"killed-{number}"
        # progress reports the first step before the first checkpoint
        with pytest.raises(KilledError):
            run(config, folder, kill_at=draw.randrange(2, expected[3] + 1))
        assert run(config, folder, resume=True)[:3] == expected[:3]


def test_killed_repeatedly(tmp_path):
    config = CONFIGS["adam"]
    expected = run(config, tmp_path / "whole")
    kills, resume = 0, False
    while True:
        try:
            found = run(config, tmp_path / "killed", resume=resume, kill_at=11)
            break
        except KilledError:
            kills, resume = kills + 1, True
    assert kills > 5
    assert found[:3] == expected[:3]


def test_a_checkpoint_older_than_the_kill(tmp_path):
    config = replace(CONFIGS["adam"], checkpoint_minutes=60)  # at the end of each epoch only
    expected = run(config, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(config, tmp_path / "killed", kill_at=expected[3] // 2)
    assert run(config, tmp_path / "killed", resume=True)[:3] == expected[:3]
    lines = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "killed")
    ]
    ends = [[line["step"] for line in log if line["event"] == "interval"] for log in lines]
    assert ends[0] == ends[1]


def test_a_finished_run_does_nothing(tmp_path):
    expected = run(SESSIONS, tmp_path / "run")
    assert run(SESSIONS, tmp_path / "run", resume=True)[:3] == expected[:3]
    assert run(SESSIONS, tmp_path / "run", resume=True)[3] == 0


def test_ctrl_c_saves_a_checkpoint_and_states_how_to_resume(tmp_path):
    config = replace(CONFIGS["adam"], checkpoint_minutes=60)
    expected = run(config, tmp_path / "whole")
    steps = 0

    def progress(stage, done, total):
        nonlocal steps
        steps += 1
        if steps == 7:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    trainer = Trainer(fresh(LOG.n_items), config, seed=5, device="cpu")
    checkpoints = Checkpoints(tmp_path / "run", data={"store": "abc"})
    with pytest.raises(
        InterruptedRunError,
        match=r"interrupted at epoch 1, step 7; the checkpoint is in .*run: rerun .* --resume",
    ):
        trainer.run(
            LOG,
            validate=lambda model: {"recall@20": 1.0},
            checkpoints=checkpoints,
            progress=progress,
        )
    assert signal.getsignal(signal.SIGINT) is handler
    assert run(config, tmp_path / "run", resume=True)[:3] == expected[:3]


def test_ctrl_c_interrupts_a_validation_at_once(tmp_path):
    expected = run(SESSIONS, tmp_path / "whole")

    def validate(model):
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    trainer = Trainer(fresh(LOG.n_items), SESSIONS, seed=5, device="cpu")
    checkpoints = Checkpoints(tmp_path / "run", data={"store": "abc"})
    with pytest.raises(InterruptedRunError, match="interrupted after epoch 1; the checkpoint"):
        trainer.run(LOG, validate=validate, checkpoints=checkpoints)
    assert run(SESSIONS, tmp_path / "run", resume=True)[:3] == expected[:3]


def test_ctrl_c_without_a_checkpoint_folder():
    trainer = Trainer(fresh(LOG.n_items), SESSIONS, device="cpu")
    with pytest.raises(
        InterruptedRunError,
        match="step 1; nothing is saved, because the run has no checkpoint folder",
    ):
        trainer.run(LOG, progress=lambda *_: signal.raise_signal(signal.SIGINT))


def test_a_second_ctrl_c_interrupts_at_once(tmp_path):
    def progress(stage, done, total):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    trainer = Trainer(fresh(LOG.n_items), SESSIONS, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        trainer.run(LOG, checkpoints=Checkpoints(tmp_path), progress=progress)
    assert not (tmp_path / "checkpoint").exists()


def test_dropout_draws_random_numbers(tmp_path):
    """Without dropout, the tests above would not detect a lost random state."""
    config = CONFIGS["adam"]
    model = fresh(LOG.n_items)
    model.encoder.train()
    with torch.random.fork_rng():
        a, b = (model.encoder(torch.tensor([[1, 2, 3]])) for _ in range(2))
    assert not torch.equal(a, b)
    assert config.epochs == 6
