"""Two processes at one folder: publishers, preparations, and a training beside its readers."""

import fcntl
import os
import threading

import numpy as np
import pytest

import nextclick.data.store_writer as store_writer
from nextclick import PrepareOptions, Store, prepare, train
from nextclick.artifact import Artifact, Registry
from nextclick.core import storage
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.errors import OutputError, StoreError
from small_shop import SESSIONS, frame_of, make_store

OPTIONS = PrepareOptions(
    filters=FilterOptions(min_item_support=1),
    split=SplitOptions(kind="fraction", fraction=0.2, valid_fraction=0.2),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    store = make_store(folder / "store")
    train(store, "pop", folder / "pop")
    train(store, "markov", folder / "markov")
    return folder


def test_a_second_publisher_waits_for_the_first(shop, tmp_path, monkeypatch):
    registry, second_asks = Registry.create(tmp_path / "registry"), threading.Event()
    first, second = (Artifact.load(shop / name) for name in ("pop", "markov"))
    flock, write, published = fcntl.flock, Artifact.write, []
    main = threading.get_ident()

    def asking(handle, mode):
        if threading.get_ident() != main and mode == fcntl.LOCK_EX:
            second_asks.set()
        flock(handle, mode)

    def publish(artifact):
        published.append(registry.publish(artifact).name)

    other = threading.Thread(target=publish, args=[second])

    def write_while_the_second_asks(artifact, folder):
        monkeypatch.setattr(Artifact, "write", write)
        other.start()
        assert second_asks.wait(60), "the second publisher never asked for the lock"
        write(artifact, folder)

    monkeypatch.setattr(fcntl, "flock", asking)
    monkeypatch.setattr(Artifact, "write", write_while_the_second_asks)
    publish(first)
    other.join(60)
    assert published == ["v1", "v2"]
    models = [Artifact.load(version.path).model.name for version in registry.versions()]
    assert models == ["pop", "markov"]
    assert registry.current().name == "v2"


def test_many_publishers_lose_no_version(shop, tmp_path):
    registry = Registry.create(tmp_path / "registry")
    artifact = Artifact.load(shop / "pop")
    threads = [
        threading.Thread(target=lambda: [registry.publish(artifact) for _ in range(3)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version.number for version in registry.versions()] == list(range(1, 13))
    assert registry.current().number == 12
    assert not list(registry.path.rglob("*.part"))


@pytest.mark.parametrize("existing", [False, True])
def test_a_second_preparation_into_one_output_is_refused(tmp_path, monkeypatch, existing):
    target = tmp_path / "store"
    if existing:
        prepare(frame_of(SESSIONS[:20]), target, options=OPTIONS)
    expected = make_store(tmp_path / "whole").fingerprint
    write = store_writer.write_manifest

    def prepare_within(*arguments):
        monkeypatch.setattr(store_writer, "write_manifest", write)
        with pytest.raises(OutputError, match="store is being written by another process; wait"):
            prepare(frame_of(SESSIONS[:20]), target, options=OPTIONS, overwrite=True)
        return write(*arguments)

    monkeypatch.setattr(store_writer, "write_manifest", prepare_within)
    prepare(frame_of(SESSIONS), target, options=OPTIONS, overwrite=existing)
    assert Store.open(target).fingerprint == expected
    assert {path.name for path in tmp_path.iterdir()} == {"store", "whole"}


def test_a_reader_beside_an_overwriting_training_finds_one_of_the_two(shop, tmp_path, monkeypatch):
    target, found = tmp_path / "model", []
    Artifact.load(shop / "pop").save(target)

    def reading(call):
        def wrapped(*arguments):
            found.append(Artifact.load(target).model.name)
            result = call(*arguments)
            found.append(Artifact.load(target).model.name)
            return result

        return wrapped

    def exchange(first, second):
        if not swap(first, second):
            pytest.skip("this file system cannot exchange folders")
        return True

    swap = storage.exchange_folders
    monkeypatch.setattr(os, "fsync", reading(os.fsync))
    monkeypatch.setattr(storage, "exchange_folders", reading(exchange))
    train(Store.open(shop / "store"), "markov", target, overwrite=True)
    n_old = found.count("pop")
    assert found == ["pop"] * n_old + ["markov"] * (len(found) - n_old)
    assert n_old > 10
    assert found[-1] == "markov"


def test_an_open_store_beside_an_overwriting_preparation(tmp_path):
    """Mapped arrays stay as they are; what is not mapped yet is refused, not mixed."""
    store = make_store(tmp_path / "store")
    items = store.part("train").items
    before = np.array(items)
    prepare(frame_of(SESSIONS[:20]), tmp_path / "store", overwrite=True, options=OPTIONS)
    assert np.array_equal(items, before)
    with pytest.raises(StoreError, match=r"test/.* is damaged: its content differs from its dig"):
        store.part("test")
    assert len(Store.open(tmp_path / "store").part("test")) == 4
