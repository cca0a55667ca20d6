import json
import time

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, Store, prepare
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.errors import ConfigError, StoreError


def make(folder, valid_fraction=0.1):
    rows = [(s, 1 + (s + n) % 4, 1_500_000_000 + s * 50_000 + n) for s in range(20) for n in (0, 1)]
    frame = pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])
    split = SplitOptions(kind="fraction", fraction=0.2, valid_fraction=valid_fraction)
    options = PrepareOptions(filters=FilterOptions(min_item_support=1), split=split)
    return prepare(frame, folder / "store", options=options, overwrite=True).store


@pytest.fixture
def store(tmp_path):
    return make(tmp_path)


def change(store, **values):
    file = store.path / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8")) | values
    kept = {key: value for key, value in manifest.items() if value is not None}
    file.write_text(json.dumps(kept), encoding="utf-8")


def test_parts_are_views_of_one_log(store):
    train = store.part("train")
    fit, valid = store.part("train_inner"), store.part("valid")
    assert np.concatenate([fit.items, valid.items]).tolist() == train.items.tolist()
    assert (len(train), len(fit), len(valid), len(store.part("test"))) == (16, 14, 2, 4)
    assert isinstance(train.items.base, np.memmap) or isinstance(train.items, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        train.items[0] = 1


def test_opening_costs_milliseconds(store):
    began = time.perf_counter()
    Store.open(store.path)
    assert time.perf_counter() - began < 0.05


def test_an_unknown_part_is_refused(store):
    with pytest.raises(
        ConfigError, match="part must be one of train, train_inner, valid, test, got 'tests'"
    ):
        store.part("tests")


def test_a_part_without_a_session_is_refused(tmp_path):
    message = "the valid part has no session; prepare the log again with another --valid-fraction"
    with pytest.raises(StoreError, match=message):
        make(tmp_path, valid_fraction=0.0).part("valid")


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(
        StoreError, match=r"is not a store .it has no manifest.json.; make one with"
    ):
        Store.open(tmp_path)
    with pytest.raises(StoreError, match="is not a store"):
        Store.open(tmp_path / "missing")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"kind": "nextclick.store", "format_version": "x"}', "\x00"]
)
def test_a_manifest_that_is_none_is_refused(store, text):
    (store.path / "manifest.json").write_text(text)
    with pytest.raises(StoreError, match=r"manifest\.json: not the manifest of a store: "):
        Store.open(store.path)


@pytest.mark.parametrize("key", ["fingerprint", "n_train_inner_sessions", "protocol", "counts"])
def test_a_manifest_that_lacks_something_is_refused(store, key):
    change(store, **{key: None})
    with pytest.raises(StoreError, match=f"not the manifest of a store: KeyError.'{key}'"):
        Store.open(store.path)


@pytest.mark.parametrize(
    ("version", "remedy"), [(1, "prepare the log again"), (3, "upgrade nextclick")]
)
def test_another_format_is_refused(store, version, remedy):
    change(store, format_version=version, counts=None)
    message = f"has store format {version}, but this version of nextclick reads format 2: {remedy}"
    with pytest.raises(StoreError, match=message):
        Store.open(store.path)


def test_another_kind_of_folder_is_refused(store):
    change(store, kind="nextclick.artifact")
    with pytest.raises(
        StoreError, match=r"is a nextclick.artifact, not a store; name the folder of"
    ):
        Store.open(store.path)


@pytest.mark.parametrize("name", ["items.npy", "offsets.npy"])
def test_a_missing_array_is_named(store, name):
    (store.path / "train" / name).unlink()
    with pytest.raises(StoreError, match=r"train: items\.npy or offsets\.npy is missing"):
        Store.open(store.path).part("train")


def test_a_broken_array_is_refused(store):
    (store.path / "test" / "items.npy").write_bytes(b"broken")
    with pytest.raises(StoreError, match="test: cannot be read: "):
        Store.open(store.path).part("test")
    np.save(store.path / "train" / "items.npy", np.ones(3, dtype=np.int32))
    with pytest.raises(StoreError, match=r"train: items.npy and offsets.npy do not fit together"):
        Store.open(store.path).part("train")


def test_a_missing_vocabulary_is_refused(store):
    (store.path / "items" / "ids.npy").unlink()
    with pytest.raises(StoreError, match="cannot read the vocabulary in"):
        _ = Store.open(store.path).items
