"""Model registry: versions are written atomically, and the current one can always be loaded."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from nextclick import train
from nextclick.artifact import Artifact, Registry
from nextclick.artifact.version_registry import artifact_folder, is_registry
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


def test_a_folder_that_is_no_registry(models, tmp_path):
    assert not is_registry(models / "a")
    with pytest.raises(ArtifactError, match=r"a is not a registry of versions; create one with"):
        Registry(models / "a")
    with pytest.raises(OutputError, match="already exists"):
        Registry.create(models / "a")
    registry = Registry.create(tmp_path / "shop")
    manifest = {"kind": "nextclick.registry", "format_version": 9}
    (registry.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="has registry format 9, but this version of"):
        Registry(registry.path)


def test_a_path_may_be_an_artifact_or_a_registry(models, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a")
    assert artifact_folder(models / "a") == models / "a"
    assert artifact_folder(registry.path) == registry.current().path


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
