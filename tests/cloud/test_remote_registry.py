"""Registries in object storage: versions, two publishers, and requests that fail."""

import json
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from faulty_proxy import FAULTS
from nextclick.artifact import Artifact, Registry, create_registry, open_registry
from nextclick.artifact.registries import artifact_folder, is_registry
from nextclick.artifact.remote_registry import RemoteRegistry
from nextclick.core.object_storage import Bucket
from nextclick.errors import ArtifactError, NextclickWarning, OutputError, UnreachableError


def put(url, content):
    bucket = Bucket.connect(url)
    bucket.write(bucket.key, content)


def content_of(url):
    bucket = Bucket.connect(url)
    return json.loads(bucket.read(bucket.key)[0])


def test_a_published_version_is_the_current_one(models, address):
    registry = create_registry(f"{address}/")
    one = registry.publish(models / "a", metrics={"recall@20": 0.5}, note="from the store")
    assert (one.name, one.number, one.note) == ("v1", 1, "from the store")
    assert one.path == f"{address}/versions/v1"
    assert registry.current() == one == open_registry(address).current()
    assert Artifact.load(one.path).model.name == "pop"
    two = registry.publish(Artifact.load(models / "b"), follows="v1")
    rejected = registry.reject(models / "a", "worse", metrics={"x": 1})
    assert [v.name for v in registry.versions()] == ["v1", "v2"]
    assert registry.rejected() == [rejected]
    assert (rejected.name, registry.current()) == ("v3", two)
    assert registry.activate("v1") == one == registry.current()
    assert registry.publish(models / "b").name == "v4"
    with pytest.raises(ArtifactError, match="has no version 'v3'; published: v1, v2, v4"):
        registry.version("v3")
    assert is_registry(address)
    assert not is_registry(one.path)
    assert artifact_folder(address) == f"{address}/versions/v4"
    assert artifact_folder(one.path) == one.path
    message = "the current version is v4, but this one was made from v2; refresh v4 instead"
    with pytest.raises(ArtifactError, match=message):
        registry.publish(models / "a", follows="v2")


def test_an_unchanged_pointer_costs_one_request(models, address, proxy):
    registry = create_registry(address)
    registry.publish(models / "a")
    registry.current()
    proxy.requests.clear()
    registry.current()
    assert [request.split()[0] for request in proxy.requests] == ["HEAD"]
    create_registry(address).publish(models / "b")
    assert registry.current().name == "v2"


def test_a_local_registry_that_is_copied_is_a_registry(models, address, tmp_path):
    local = Registry.create(tmp_path / "shop")
    local.publish(models / "a")
    for path in local.path.rglob("*"):
        if path.is_file():
            put(f"{address}/{path.relative_to(local.path)}", path.read_bytes())
    registry = open_registry(address)
    assert registry.current().name == "v1"
    assert registry.publish(models / "b").name == "v2"


def test_file_addresses_are_folders(models, tmp_path):
    registry = create_registry(f"file://{tmp_path}/shop")
    assert registry.publish(f"file://{models}/a").path == tmp_path / "shop" / "versions" / "v1"
    assert isinstance(open_registry(f"file://{tmp_path}/shop"), Registry)


def test_an_empty_registry_and_other_objects_are_named(models, address):
    registry = create_registry(address)
    with pytest.raises(ArtifactError, match=r"has no current version; publish one with .*: none"):
        registry.current()
    with pytest.raises(ArtifactError, match=r"is not a registry of versions; create one with"):
        open_registry(f"{address}/none")
    put(f"{address}-x/other.txt", b"x")
    with pytest.raises(OutputError, match=r"contains s3://.*other.txt and is not a registry; ch"):
        create_registry(f"{address}-x")


def test_damaged_objects_are_named(models, address):
    registry = create_registry(address)
    registry.publish(models / "a")
    registry.publish(models / "b")
    manifest = content_of(f"{address}/manifest.json")
    details = content_of(f"{address}/versions/v2/version.json")
    put(f"{address}/versions/v2/version.json", json.dumps(details | {"note": "x"}).encode())
    message = r"version.json: it is damaged: .*; activate a version with .*intact: v1"
    with pytest.raises(ArtifactError, match=message):
        open_registry(address).current()
    assert list(registry.damaged()) == [f"{address}/versions/v2/version.json"]
    put(f"{address}/current.json", b"[]")
    with pytest.raises(ArtifactError, match=r"current.json: it is not a JSON object; activate a"):
        open_registry(address).current()
    assert registry.activate("v1") == open_registry(address).current()
    put(f"{address}/versions/v1/weights.safetensors", b"x")
    shutil.rmtree(os.environ["NEXTCLICK_CACHE"])
    with pytest.raises(ArtifactError, match=r"weights.safetensors is damaged: .*; train again"):
        registry.activate("v1")
    put(f"{address}/manifest.json", json.dumps(manifest | {"format_version": 9}).encode())
    with pytest.raises(ArtifactError, match="not the manifest of a registry"):
        open_registry(address)
    put(f"{address}/manifest.json", b"{")
    assert is_registry(address)


@pytest.mark.filterwarnings("ignore:.* was published at the same time")  # a slower publisher's
def test_two_publishers_lose_no_version(models, address):
    create_registry(address)
    start, errors = threading.Barrier(4), []

    def publish(n):
        try:
            registry = open_registry(address)
            start.wait()
            for _ in range(2):
                registry.publish(models / ("a" if n % 2 else "b"), note=f"of {n}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    registry = open_registry(address)
    assert sorted(v.note for v in registry.versions()) == [
        f"of {n}" for n in range(4) for _ in "12"
    ]
    assert [v.name for v in registry.versions()] == [f"v{n}" for n in range(1, 9)]
    for version in registry.versions():
        expected = "pop" if version.note in ("of 1", "of 3") else "markov"
        assert Artifact.load(version.path).model.name == expected
    assert registry.current().name == "v8"


def during_the_next_replace(monkeypatch, action):
    """Run an action when the pointer has been read and is about to be replaced."""
    replace = Bucket.replace

    def replace_later(self, key, data, tags):
        if key.endswith("current.json"):
            monkeypatch.setattr(Bucket, "replace", replace)
            action()
        replace(self, key, data, tags)

    monkeypatch.setattr(Bucket, "replace", replace_later)


def test_the_later_of_two_versions_stays_the_current_one(models, address, monkeypatch):
    registry = create_registry(address)
    during_the_next_replace(monkeypatch, lambda: create_registry(address).publish(models / "b"))
    with pytest.warns(NextclickWarning, match="v2 was published at the same time and is the curr"):
        registry.publish(models / "a")
    assert [v.name for v in registry.versions()] == ["v1", "v2"]
    assert registry.current().name == "v2"


def test_a_pointer_that_goes_back_is_replaced(models, address, monkeypatch):
    registry = create_registry(address)
    registry.publish(models / "a")
    registry.publish(models / "a")
    during_the_next_replace(monkeypatch, lambda: create_registry(address).activate("v1"))
    registry.publish(models / "b")
    assert registry.current().name == "v3"


def test_a_version_of_an_older_one_is_withdrawn(models, address, monkeypatch):
    registry = create_registry(address)
    registry.publish(models / "a")
    during_the_next_replace(monkeypatch, lambda: create_registry(address).publish(models / "b"))
    with pytest.raises(ArtifactError, match="the current version is v3, but this one was made fr"):
        registry.publish(models / "a", follows="v1")
    assert [v.name for v in registry.versions()] == ["v1", "v3"]


def test_a_pointer_that_always_changes_ends_the_publication(models, address, proxy):
    registry = create_registry(address)
    proxy.fail("412", "PUT", "current.json")
    message = "v1 is stored, but it could not be made the current one: other processes replace"
    with pytest.raises(OutputError, match=message):
        registry.publish(models / "a")
    proxy.heal()
    assert registry.activate("v1") == registry.current()
    proxy.fail("412", "PUT", "names/")
    with pytest.raises(OutputError, match="20 numbers of versions from v2 on are taken, although"):
        registry.publish(models / "a")


def test_a_listing_that_lags_hides_no_version(models, address, monkeypatch):
    registry = create_registry(address)
    registry.publish(models / "a")
    monkeypatch.setattr(Bucket, "sizes", lambda *_: iter(()))
    monkeypatch.setattr(Bucket, "folders", lambda *_: [])
    assert registry.publish(models / "b").name == "v2"
    assert open_registry(address).current().name == "v2"
    shutil.rmtree(os.environ["NEXTCLICK_CACHE"])
    assert Artifact.load(artifact_folder(address)).model.name == "markov"


PLACES = ("names/v2", "items/ids.npy", "version.json", "current.json")


QUICK = {("503", 1), ("412", 0), ("timeout", 2), ("cut", 1), ("lost", 3)}


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        pytest.param(fault, place, marks=() if (fault, n) in QUICK else pytest.mark.slow)
        for fault in FAULTS
        for n, place in enumerate(PLACES)
    ],
)
def test_after_a_failure_the_old_or_the_new_version_is_whole(models, address, proxy, fault, place):
    registry = create_registry(address)
    registry.publish(models / "a")
    proxy.fail(fault, "PUT", place)
    with suppress(OutputError):
        registry.publish(models / "b")
    assert proxy.n_faults > 0
    proxy.heal()
    time.sleep(0.1)
    shutil.rmtree(os.environ["NEXTCLICK_CACHE"])
    reader = open_registry(address)
    current = reader.current()
    assert current.name in ("v1", "v2", "v3")
    for version in reader.versions():
        expected = "pop" if version.name == "v1" else "markov"
        assert Artifact.load(version.path).model.name == expected
    following = reader.publish(models / "b")
    assert following.number > current.number
    assert reader.current() == following
    assert list(reader.damaged()) == []


MESSAGES = {
    "503": "the server responds with 503, also after retries: 503 made up; try it later",
    "403": "403 made up; check the address, and the credentials in the environment",
    "timeout": "no answer within 1s; check the network, or try it later",
}


@pytest.mark.parametrize("fault", MESSAGES)
def test_failures_are_sentences(models, address, proxy, fault):
    registry = create_registry(address)
    registry.publish(models / "a")
    proxy.fail(fault, "GET", "current.json")
    with pytest.raises(UnreachableError, match=MESSAGES[fault]):
        RemoteRegistry(address).current()
    proxy.fail(fault, "PUT", "names")
    with pytest.raises(OutputError, match=f"{address}: cannot be written: {MESSAGES[fault]}"):
        registry.publish(models / "a")


def test_a_server_that_is_not_there_is_named(models, address, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    message = "the server cannot be reached; check the network and AWS_ENDPOINT_URL"
    with pytest.raises(UnreachableError, match=message):
        open_registry(address)
    with pytest.raises(OutputError, match=message):
        create_registry(address)


def test_a_missing_bucket_is_named(models, proxy, tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTCLICK_CACHE", str(tmp_path))
    message = "The specified bucket does not exist; check the address, or create the bucket"
    with pytest.raises(UnreachableError, match=message):
        is_registry("s3://none/shop")
    with pytest.raises(OutputError, match=message):
        create_registry("s3://none/shop")


def test_missing_credentials_are_named(monkeypatch, proxy):
    reason = "Error performing PUT http://169.254.169.254/latest/api/token in 1ms"

    def fail(*_):
        raise OSError(reason)

    with monkeypatch.context() as patch:
        patch.setattr("obstore.get", fail)
        with pytest.raises(UnreachableError, match="no credentials were found; check the address"):
            open_registry("s3://shop/x")


def test_a_secret_is_not_printed(monkeypatch, proxy):
    def fail(*_):
        raise OSError("Error performing GET https://host/key?sig=abc123 in 1ms")

    with monkeypatch.context() as patch:
        patch.setattr("obstore.get", fail)
        with pytest.raises(UnreachableError, match="GET https://host/key in 1ms") as caught:
            open_registry("s3://shop/x")
    assert "abc123" not in str(caught.value)


def test_copies_that_nobody_uses_are_deleted(models, address):
    registry = create_registry(address)
    copies = Path(os.environ["NEXTCLICK_CACHE"]) / "artifacts"
    Artifact.load(registry.publish(models / "a").path)
    (old,) = copies.iterdir()
    Artifact.load(registry.publish(models / "b").path)
    assert len(list(copies.iterdir())) == 2
    week = time.time() - 8 * 86_400
    os.utime(old, (week, week))
    shutil.rmtree(next(folder for folder in copies.iterdir() if folder != old))
    Artifact.load(registry.current().path)
    assert old not in list(copies.iterdir())
    assert len(list(copies.iterdir())) == 1
