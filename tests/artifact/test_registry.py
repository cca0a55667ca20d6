"""Model registry: versions are written atomically, and the current one can always be loaded."""

import errno
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nextclick import evaluate, load, train
from nextclick.artifact import Artifact, Registry
from nextclick.artifact.registries import artifact_folder, is_registry
from nextclick.errors import ArtifactError, OutputError
from small_shop import make_store


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two different artifacts, `a` and `b`."""
    folder = tmp_path_factory.mktemp("models")
    store = make_store(folder / "store")
    train(store, "pop", folder / "a")
    train(store, "markov", folder / "b")
    return folder


def test_a_published_version_is_the_current_one(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    one = registry.publish(models / "a", metrics={"recall@20": 0.5}, note="from the store")
    assert (one.name, one.number, one.note) == ("v1", 1, "from the store")
    assert one.path == tmp_path / "shop" / "versions" / "v1"
    assert registry.current() == one == Registry(tmp_path / "shop").current()
    assert Artifact.load(one.path).model.name == "pop"
    two = registry.publish(Artifact.load(models / "b"))
    assert registry.current() == two
    assert [v.name for v in registry.versions()] == ["v1", "v2"]
    assert Artifact.load(two.path).model.name == "markov"
    assert one.created <= two.created


def test_activate_an_older_version(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a")
    registry.publish(models / "b")
    assert registry.activate("v1").name == "v1"
    assert registry.current().name == "v1"
    assert registry.publish(models / "b").name == "v3", "a name is never reused"
    with pytest.raises(ArtifactError, match=r"shop has no version 'v9'; published: v1, v2, v3"):
        registry.activate("v9")
    (registry.path / "versions" / "v2" / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="is not an artifact"):
        registry.activate("v2")
    assert registry.current().name == "v3"


def test_a_rejected_version_is_never_current(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a")
    rejected = registry.reject(models / "b", "recall@20 fell by 0.2", metrics={"difference": -0.2})
    assert rejected.name == "v2"
    assert rejected.path == tmp_path / "shop" / "rejected" / "v2"
    assert registry.current().name == "v1"
    assert [v.name for v in registry.versions()] == ["v1"]
    assert registry.rejected() == [rejected]
    assert registry.rejected()[0].reason == "recall@20 fell by 0.2"
    with pytest.raises(ArtifactError, match="has no version 'v2'"):
        registry.activate("v2")
    assert registry.publish(models / "b").name == "v3"


def test_publish_checks_the_current_version(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a")
    registry.publish(models / "b", follows="v1")
    with pytest.raises(
        ArtifactError, match="the current version is v2, but this one was made from v1; refresh v2"
    ):
        registry.publish(models / "b", follows="v1")
    assert [v.name for v in registry.versions()] == ["v1", "v2"]


def test_a_broken_artifact_is_not_published(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    with pytest.raises(ArtifactError, match=r"shop has no current version; publish one with"):
        registry.current()
    with pytest.raises(ArtifactError, match="is not an artifact"):
        registry.publish(tmp_path)
    assert registry.versions() == []


def test_a_folder_that_is_no_registry(models):
    assert not is_registry(models / "a")
    with pytest.raises(ArtifactError, match=r"a is not a registry of versions; create one with"):
        Registry(models / "a")
    with pytest.raises(OutputError, match="already exists"):
        Registry.create(models / "a")


def test_a_path_may_be_an_artifact_or_a_registry(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a")
    assert artifact_folder(models / "a") == models / "a"
    assert artifact_folder(registry.path) == registry.current().path


def test_one_publisher_at_a_time(models, tmp_path, monkeypatch):
    registry = Registry.create(tmp_path / "shop")
    flock, write = fcntl.flock, Artifact.write

    def publish_within(artifact, folder):
        monkeypatch.setattr(Artifact, "write", write)
        no_waiting = lambda handle, mode: flock(handle, mode | fcntl.LOCK_NB)  # noqa: E731
        monkeypatch.setattr(fcntl, "flock", no_waiting)
        with pytest.raises(BlockingIOError):
            registry.publish(models / "b")
        with pytest.raises(BlockingIOError):
            registry.activate("v1")
        monkeypatch.setattr(fcntl, "flock", flock)
        write(artifact, folder)

    monkeypatch.setattr(Artifact, "write", publish_within)
    assert registry.publish(Artifact.load(models / "a")).name == "v1"
    assert registry.publish(models / "b").name == "v2"


@pytest.mark.parametrize("name", ["items", "weights.safetensors", "notes.txt"])
def test_a_symbolic_link_is_not_followed(models, tmp_path, name):
    registry = Registry.create(tmp_path / "shop")
    shutil.copytree(models / "a", tmp_path / "model")
    if (tmp_path / "model" / name).exists():
        (tmp_path / "model" / name).rename(tmp_path / "elsewhere")
    else:
        (tmp_path / "elsewhere").write_text("secret")
    (tmp_path / "model" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match=f"model/{name} is a symbolic link, which is not foll"):
        registry.publish(tmp_path / "model")
    assert registry.versions() == []
    assert [path.name for path in (registry.path / "versions").iterdir()] == []


def test_only_the_files_of_an_artifact_are_copied(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    shutil.copytree(models / "a", tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("secret")
    version = registry.publish(tmp_path / "model")
    files = {path.name for path in version.path.rglob("*") if path.is_file()}
    assert "notes.txt" not in files
    assert files >= {"manifest.json", "version.json", "weights.safetensors"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["copyfile", "fsync", "replace"])
def test_a_full_disk_while_publishing(models, tmp_path, monkeypatch, code, call):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a")

    def full(*args, **options):
        raise OSError(code, os.strerror(code))

    module = shutil if call == "copyfile" else os
    with monkeypatch.context() as patch:
        patch.setattr(module, call, full)
        with pytest.raises(OutputError, match=r"cannot be written: .*; free some space"):
            registry.publish(models / "b")
    assert Artifact.load(registry.current().path).model.name == "pop"
    registry.publish(models / "b")
    assert Artifact.load(registry.current().path).model.name == "markov"
    assert not list(registry.path.rglob("*.part"))


def test_a_damaged_version_is_not_activated(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a")
    registry.publish(models / "b")
    weights = registry.path / "versions" / "v1" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    message = r"v1: this artifact is broken: weights\.safetensors is damaged: .*; activate another"
    with pytest.raises(ArtifactError, match=message):
        registry.activate("v1")
    assert registry.current().name == "v2"


def test_a_registry_is_never_replaced(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a")
    for folder in (registry.path, registry.current().path, registry.path / "versions"):
        with pytest.raises(OutputError, match="choose another path"):
            Artifact.load(models / "b").save(folder, overwrite=True)
    assert Artifact.load(registry.current().path).model.name == "pop"


def test_too_many_open_files_are_told_as_such(models, tmp_path, monkeypatch):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a")

    def exhausted(self, *args, **options):
        raise OSError(errno.EMFILE, "Too many open files", str(self))

    for method in ("read_text", "read_bytes"):
        monkeypatch.setattr(Path, method, exhausted)
    message = "cannot be read: Too many open files; close some files, or raise the limit with"
    for call in (registry.current, registry.versions, lambda: Registry(registry.path)):
        with pytest.raises(ArtifactError, match=message):
            call()
    with pytest.raises(ArtifactError, match=message):
        artifact_folder(registry.path)


_WRITER = """
import sys
from nextclick.artifact import Registry
registry = Registry(sys.argv[1])
print("ready", flush=True)
while True:
    registry.publish(sys.argv[2])
    registry.publish(sys.argv[3])
"""


def test_a_killed_writer_leaves_a_current_version(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a")
    draw, before = random.Random(3), 1
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, registry.path, models / "b", models / "a"],
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        until = time.monotonic() + draw.uniform(0, 0.3)
        while time.monotonic() < until:
            assert len(Artifact.load(registry.current().path).items) == 5
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert registry.current().number >= before
        before = registry.current().number
        Artifact.load(registry.current().path)
    assert registry.publish(models / "b").number == max(v.number for v in registry.versions())
    folder = tmp_path / "shop" / "versions"
    assert len(registry.versions()) >= before
    assert all(v.path.parent == folder for v in registry.versions())


def test_python_reads_the_current_version_of_a_registry(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    for name in ("a", "b"):
        registry.publish(models / name)
    expected = load(models / "b").recommend([[10]], k=2)[0]
    assert load(registry.path).recommend([[10]], k=2)[0].items == expected.items
    assert evaluate(registry.path, models / "store", ks=(2,)).model == "markov"
