"""Checkpoints: round trip, and errors for checkpoints of other runs and for broken files."""

import errno
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nextclick.core.manifests import rewrite_manifest
from nextclick.errors import ArtifactError
from nextclick.training import checkpoint
from nextclick.training.checkpoint import Checkpoints, RunIdentity, TrainingPosition
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import TrainingConfig
from nextclick.training.training_plan import TrainingPlan
from reference.tiny_model import circle, fresh
from stored_faults import change_manifest, flip, random_bits, truncate

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
        epoch=1, step=5, total_steps=9, loss=1.5, history=[{"epoch": 1, "recall@20": 0.1 + 0.2}]
    )
    shared = torch.arange(6.0).reshape(2, 3)
    groups = {
        "weights": {"a": shared, "tied": shared, "transposed": shared.T},
        "best": {},
        "optimizer": {"0.0.step": torch.tensor(3.0)},
        "batch_source": {},
        "random": {"cpu": torch.get_rng_state()},
    }
    for _ in range(2):  # the second replaces the first
        checkpoint.save(tmp_path, IDENTITY, position, groups)
    loaded_position, loaded = checkpoint.load(tmp_path, IDENTITY, TrainingPlan(3, 9, (1.0, 2.0)))
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
                r"epochs_of_run is 1.0 in .* and 2.0 in .*; learning_rate is 0.001 in .* and 0.5 "
                r"in this run; planned_epochs is 1 in .* and 2 in .*; use the same values, or pass "
                r"--overwrite instead of --resume"
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


def edited(**changes):
    """The position of the finished run of one epoch, with other values."""
    return lambda manifest: {"position": manifest["position"] | changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: {"kind": "nextclick.store"}, "is a nextclick.store, not a checkpoint"),
        (
            lambda _: {"format_version": 9},
            r"was written by nextclick \S+ \(checkpoint format 9\), but this is",
        ),
        (
            lambda _: {"nextclick": "0.0.0"},
            r"was written by nextclick 0.0.0 \(checkpoint format 4\), but",
        ),
        (lambda _: {"kind": None}, "manifest.json: not the manifest of a checkpoint: KeyError"),
        (lambda _: {"identity": {}}, "manifest.json: this checkpoint is broken: 'data' is missing"),
        (lambda _: {"identity": []}, "identity must consist of mappings"),
        (lambda _: {"position": 3}, "the position: the parameters must be a mapping, got 3"),
        (edited(places=3), "the position has no parameter 'places'"),
        (edited(epoch=-1), "epoch must be integer ≥ 0, got -1"),
        (edited(step="x"), "step must be integer ≥ 0, got 'x'"),
        (edited(epoch=2), "epoch must be at most 1, got 2"),
        (edited(epoch=0), "history must have 0 to 0 intervals, got 1"),
        (edited(history=[]), "history must have 1 to 1 intervals, got 0"),
        (edited(step=10**9), r"step must be at most \d+, got 1000000000"),
        (edited(interval_steps=99), r"interval_steps must be at most \d+, got 99"),
        (edited(best_interval=2), "best_interval must be at most 1, got 2"),
        (edited(loss=float("nan")), "loss must be number, got nan"),
        (edited(rate=float("inf")), "rate must be number, got inf"),
    ],
)
def test_a_manifest_with_wrong_values(folder, change, message):
    manifest = json.loads((folder / "checkpoint/manifest.json").read_text())
    change_manifest(folder / "checkpoint", **change(manifest))
    with pytest.raises(ArtifactError, match=message):
        train(folder, resume=True)


def changed(group, change):
    """Change the tensors of a group with valid digests."""

    def apply(folder):
        path = folder / "checkpoint" / f"{group}.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)
        rewrite_manifest(folder / "checkpoint")

    return apply


def spoil(name, value):
    return lambda tensors: tensors[name].view(-1)[0].fill_(value)


def shorten(name):
    return lambda tensors: tensors.update({name: tensors[name][..., :-1].contiguous()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            changed("weights", spoil("items.weight", float("nan"))),
            "weights.safetensors: this checkpoint is broken: items.weight has a value that is not",
        ),
        (
            changed("weights", shorten("items.weight")),
            r"weights.safetensors: .* items.weight must be torch.float32 of shape \(41, 16\), got",
        ),
        (
            changed("weights", lambda t: t.pop("mix.weight")),
            "weights.safetensors: .* 'mix.weight' is missing",
        ),
        (
            changed("best", lambda t: t.update(x=torch.ones(1))),
            "best.safetensors: .* 'x' is unknown",
        ),
        (
            changed("optimizer", spoil("0.0.exp_avg_sq", float("inf"))),
            "optimizer.safetensors: .* 0.0.exp_avg_sq has a value that is not finite",
        ),
        (
            changed("optimizer", shorten("0.0.exp_avg")),
            "optimizer.safetensors: .* 0.0.exp_avg must be torch.float32 of shape",
        ),
        (
            changed("optimizer", lambda t: t.update({"0.99.step": torch.ones(())})),
            "optimizer.safetensors: .* 0.99.step belongs to no parameter",
        ),
        (
            changed("optimizer", lambda t: t.update({"9.0.step": torch.ones(())})),
            "optimizer.safetensors: .* 9.0.step belongs to no optimizer",
        ),
        (
            changed("batch_source", lambda t: t.update(lanes=torch.ones(1))),
            "batch_source.safetensors: .* 'lanes' is unknown",
        ),
        (
            changed("random", shorten("cpu")),
            "random.safetensors: .* cpu must be torch.uint8 of shape",
        ),
    ],
)
def test_tensors_that_do_not_fit_the_run(folder, change, message):
    change(folder)
    with pytest.raises(ArtifactError, match=message + ".*; restore it from a copy, or pass --over"):
        train(folder, resume=True)


def test_a_flipped_bit_or_a_truncated_file_is_refused_by_name(folder):
    """No damage changes the weights of the resumed run."""
    train(folder, resume=True)
    for path, bit in random_bits(folder / "checkpoint", 60, seed=3):
        intact = path.read_bytes()
        for damage, position in ((flip, bit), (truncate, bit // 8)):
            damage(path, position)
            with pytest.raises(ArtifactError, match=re.escape(path.name)):
                train(folder, resume=True)
            path.write_bytes(intact)
    train(folder, resume=True)


def test_a_missing_or_unreadable_file(folder, monkeypatch):
    (folder / "checkpoint/optimizer.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"broken: optimizer\.safetensors is missing; restore"):
        train(folder, resume=True)

    open_file = Path.open
    for suffix, name in ((".json", r"/manifest\.json"), (".safetensors", "")):

        def exhausted(self, *args, suffix=suffix, **options):
            if self.suffix == suffix:
                raise OSError(errno.EMFILE, "Too many open files", str(self))
            return open_file(self, *args, **options)

        monkeypatch.setattr(Path, "open", exhausted)
        message = rf"checkpoint{name}: cannot be read: Too many open files; close some files"
        with pytest.raises(ArtifactError, match=message):
            train(folder, resume=True)


def test_a_pickle_in_a_checkpoint_is_not_executed(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    torch.save({"items.weight": Trap()}, folder / "checkpoint/weights.safetensors")
    rewrite_manifest(folder / "checkpoint")
    with pytest.raises(ArtifactError, match=r"weights\.safetensors: this checkpoint is broken"):
        train(folder, resume=True)
    assert not (tmp_path / "executed").exists()
