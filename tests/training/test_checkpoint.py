"""Checkpoints: round trip, and errors for checkpoints of other runs and for broken files."""

import json
from dataclasses import replace

import pytest
import torch

from nextclick.errors import ArtifactError
from nextclick.training import checkpoint
from nextclick.training.checkpoint import Checkpoints, RunIdentity, TrainingPosition
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import TrainingConfig
from reference.tiny_model import circle, fresh

CONFIG = TrainingConfig(epochs=1, threads=1)
LOG = circle(30)
IDENTITY = RunIdentity(
    model={"name": "tiny", "width": 4}, training={"seed": 0}, data={"store": "a1"}
)


def train(folder, *, config=CONFIG, model=None, seed=0, data="a1", resume=False):
    checkpoints = Checkpoints(folder, resume, {"store": data, "part": "train_inner"})
    Trainer(model or fresh(40), config, seed=seed, device="cpu").run(LOG, checkpoints=checkpoints)


@pytest.fixture
def folder(tmp_path):
    train(tmp_path)
    return tmp_path


def test_position_and_tensors_round_trip(tmp_path):
    position = TrainingPosition(
        epoch=2, step=5, loss=1.5, history=[{"epoch": 1, "recall@20": 0.1 + 0.2}]
    )
    shared = torch.arange(6.0).reshape(2, 3)
    groups = {
        "weights": {"a": shared, "tied": shared, "transposed": shared.T},
        "best": {},
        "optimizer": {"0.0.step": torch.tensor(3.0)},
        "random": {"cpu": torch.get_rng_state()},
    }
    for _ in range(2):  # the second replaces the first
        checkpoint.save(tmp_path, IDENTITY, position, groups)
    loaded_position, loaded = checkpoint.load(tmp_path, IDENTITY)
    assert loaded_position == position
    assert {g: list(t) for g, t in loaded.items()} == {g: sorted(t) for g, t in groups.items()}
    assert all(torch.equal(loaded[g][n], groups[g][n]) for g in groups for n in groups[g])
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": "b2"},
            (
                r"belongs to a run with other data \(fingerprint \w{16}, this run has \w{16}\): "
                r"store is 'a1' in the checkpoint and 'b2' in this run"
            ),
        ),
        ({"seed": 3}, r"with other training \(.*\): seed is 0 in the checkpoint and 3 in this run"),
        (
            {"config": replace(CONFIG, learning_rate=0.5, epochs=2)},
            (
                r"with other training \(.*\): epochs is 1 in the checkpoint and 2 in this run; "
                r"epochs_of_run is 1 in .* and 2 in .*; learning_rate is 0.001 in .* and 0.5 in "
                r"this run; use the same values, or pass --overwrite instead of --resume"
            ),
        ),
        ({"model": fresh(40, width=8)}, r"with other model \(.*\): width is 16 in .* and 8"),
        ({"model": fresh(41)}, r"with other model \(.*\): items is 40 in .* and 41 in this"),
    ],
    ids=["data", "seed", "config", "width", "items"],
)  # fmt: skip
def test_checkpoint_of_another_run(folder, changes, message):
    with pytest.raises(ArtifactError, match=message):
        train(folder, resume=True, **changes)


def test_threads_and_minutes_may_change(folder):
    train(folder, resume=True, config=replace(CONFIG, threads=0, checkpoint_minutes=1))


def test_no_checkpoint(tmp_path):
    with pytest.raises(ArtifactError, match="has no checkpoint to resume from; start without"):
        train(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "nextclick.store"}, "is a nextclick.store, not a checkpoint"),
        (
            {"format_version": 9},
            r"was written by nextclick \S+ \(checkpoint format 9\), but this is",
        ),
        ({"nextclick": "0.0.0"}, r"was written by nextclick 0.0.0 \(checkpoint format 2\), but"),
        ({"position": {"places": 3}}, "this checkpoint is broken: .*places"),
        ({"identity": {}}, "this checkpoint is broken: KeyError"),
        ({"kind": None, "format_version": None}, "not the manifest of a checkpoint"),
    ],
)
def test_invalid_manifest(folder, change, message):
    file = folder / "checkpoint/manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ArtifactError, match=message):
        train(folder, resume=True)


def test_broken_files(folder):
    (folder / "checkpoint/optimizer.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match="this checkpoint is broken"):
        train(folder, resume=True)
    (folder / "checkpoint/manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="not the manifest of a checkpoint"):
        train(folder, resume=True)
