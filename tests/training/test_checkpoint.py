"""Checkpoints of another run are refused with both fingerprints, broken ones with the fault."""

import json
from dataclasses import replace

import pytest
import torch

from nextclick.errors import ArtifactError
from nextclick.training import checkpoint
from nextclick.training.checkpoint import RunIdentity, TrainingPosition
from nextclick.training.trainer import Checkpoints, Trainer
from nextclick.training.training_config import TrainingConfig
from reference.tiny_model import circle, fresh

CONFIG = TrainingConfig(epochs=1, threads=1)
LOG = circle(30)
OURS = RunIdentity(model={"name": "tiny", "width": 4}, training={"seed": 0}, data={"store": "a1"})


def train(folder, *, config=CONFIG, model=None, seed=0, data="a1", resume=False):
    place = Checkpoints(folder, resume, {"store": data, "part": "train_inner"})
    Trainer(model or fresh(40), config, seed=seed, device="cpu").run(LOG, checkpoints=place)


@pytest.fixture
def folder(tmp_path):
    train(tmp_path)
    return tmp_path


def test_position_and_tensors_come_back(tmp_path):
    position = TrainingPosition(
        epoch=2, step=5, loss=1.5, history=[{"epoch": 1, "recall@20": 0.1 + 0.2}]
    )
    shared = torch.arange(6.0).reshape(2, 3)
    groups = {
        "weights": {"a": shared, "tied": shared, "turned": shared.T},
        "best": {},
        "optimizer": {"0.0.step": torch.tensor(3.0)},
        "random": {"cpu": torch.get_rng_state()},
    }
    for _ in range(2):  # the second takes the place of the first
        checkpoint.save(tmp_path, OURS, position, groups)
    found, read = checkpoint.load(tmp_path, OURS)
    assert found == position
    assert {g: list(t) for g, t in read.items()} == {g: sorted(t) for g, t in groups.items()}
    assert all(torch.equal(read[g][n], groups[g][n]) for g in groups for n in groups[g])
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": "b2"},
            (
                r"is of other data \(fingerprint \w{16}, asked for is \w{16}\): "
                r"store is 'a1' there and 'b2' here"
            ),
        ),
        ({"seed": 3}, r"is of other training \(.*\): seed is 0 there and 3 here"),
        (
            {"config": replace(CONFIG, learning_rate=0.5, epochs=2)},
            (
                r"is of other training \(.*\): epochs is 1 there and 2 here; epochs_of_run is 1 "
                r"there and 2 here; learning_rate is 0.001 there and 0.5 here; ask for the same"
            ),
        ),
        ({"model": fresh(40, width=8)}, r"is of other model \(.*\): width is 16 there and 8 here"),
        ({"model": fresh(41)}, r"is of other model \(.*\): items is 40 there and 41 here"),
    ],
    ids=["data", "seed", "config", "width", "items"],
)  # fmt: skip
def test_of_another_run(folder, changes, message):
    with pytest.raises(ArtifactError, match=message):
        train(folder, resume=True, **changes)


def test_threads_and_minutes_may_change(folder):
    train(folder, resume=True, config=replace(CONFIG, threads=0, checkpoint_minutes=1))


def test_none_to_go_on_from(tmp_path):
    with pytest.raises(ArtifactError, match="holds no checkpoint to go on from; start without"):
        train(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "nextclick.store"}, "is a nextclick.store, not a checkpoint"),
        ({"format_version": 9}, r"was written by nextclick \S+ \(checkpoint format 9\), this is"),
        ({"nextclick": "0.0.0"}, r"was written by nextclick 0.0.0 \(checkpoint format 1\), this"),
        ({"position": {"places": 3}}, "this checkpoint is broken: .*places"),
        ({"identity": {}}, "this checkpoint is broken: KeyError"),
        ({"kind": None, "format_version": None}, "not the manifest of a checkpoint"),
    ],
)
def test_manifests_that_do_not_fit(folder, change, message):
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
