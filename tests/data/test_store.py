import errno
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, Store, prepare
from nextclick.core import file_digests
from nextclick.core.manifests import rewrite_manifest
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.errors import ConfigError, OutputError, StoreError
from stored_faults import change_array, change_manifest


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
    change_manifest(store.path, **values)


def test_parts_are_views_of_one_log(store):
    train = store.part("train")
    inner, valid = store.part("train_inner"), store.part("valid")
    assert np.concatenate([inner.items, valid.items]).tolist() == train.items.tolist()
    assert (len(train), len(inner), len(valid), len(store.part("test"))) == (16, 14, 2, 4)
    assert isinstance(train.items.base, np.memmap) or isinstance(train.items, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        train.items[0] = 1


def test_opening_reads_the_manifest_only(store):
    for name in ("items", "train", "test"):
        shutil.rmtree(store.path / name)
    assert Store.open(store.path).manifest == store.manifest


def test_an_unknown_part_is_rejected(store):
    with pytest.raises(
        ConfigError, match="part must be one of train, train_inner, valid, test, got 'tests'"
    ):
        store.part("tests")


def test_a_part_without_a_session_is_rejected(tmp_path):
    message = "the valid part has no session; prepare the log again with another --valid-fraction"
    with pytest.raises(StoreError, match=message):
        make(tmp_path, valid_fraction=0.0).part("valid")


def test_a_folder_that_is_not_a_store_is_rejected(tmp_path):
    with pytest.raises(
        StoreError, match=r"is not a store .it has no manifest.json.; create one with"
    ):
        Store.open(tmp_path)
    with pytest.raises(StoreError, match="is not a store"):
        Store.open(tmp_path / "missing")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"kind": "nextclick.store", "format_version": "x"}', "\x00"]
)
def test_an_invalid_manifest_is_rejected(store, text):
    (store.path / "manifest.json").write_text(text)
    with pytest.raises(StoreError, match=r"manifest\.json: not the manifest of a store: "):
        Store.open(store.path)


@pytest.mark.parametrize("key", ["fingerprint", "n_train_inner_sessions", "protocol", "counts"])
def test_a_manifest_without_a_field_is_rejected(store, key):
    change(store, **{key: None})
    with pytest.raises(StoreError, match=f"not the manifest of a store: KeyError.'{key}'"):
        Store.open(store.path)


@pytest.mark.parametrize(
    ("version", "remedy"), [(2, "prepare the log again"), (5, "upgrade nextclick")]
)
def test_another_format_version_is_rejected(store, version, remedy):
    change(store, format_version=version, counts=None)
    message = (
        f"has store format {version}, but this version of nextclick reads formats 3 and 4: {remedy}"
    )
    with pytest.raises(StoreError, match=message):
        Store.open(store.path)


def test_another_kind_of_folder_is_rejected(store):
    change(store, kind="nextclick.artifact")
    with pytest.raises(
        StoreError, match=r"is a nextclick.artifact, not a store; pass the folder of"
    ):
        Store.open(store.path)


@pytest.mark.parametrize("name", ["items.npy", "offsets.npy", "times.npy", "blocks.npy"])
def test_a_missing_array_is_named(store, name):
    (store.path / "train" / name).unlink()
    with pytest.raises(StoreError, match=f"train/{name} is missing; prepare the log again"):
        Store.open(store.path).part("train")


@pytest.mark.parametrize("name", ["items.npy", "offsets.npy"])
def test_an_array_that_the_manifest_does_not_list(store, name):
    (store.path / "train" / name).unlink()
    rewrite_manifest(store.path)
    with pytest.raises(StoreError, match=r"train: items\.npy or offsets\.npy is missing"):
        Store.open(store.path).part("train")


def flip_last_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["items", "offsets", "times", "blocks"])
def test_a_flipped_bit_is_named(store, name):
    flip_last_bit(store.path / "train" / f"{name}.npy")
    message = rf"train/{name}\.npy is damaged: its content differs from its digest; prepare"
    for part in ("train", "train_inner", "valid"):
        with pytest.raises(StoreError, match=message):
            Store.open(store.path).part(part)
    Store.open(store.path).part("test")


def test_a_flipped_bit_in_the_ids_is_named(store):
    flip_last_bit(store.path / "items" / "ids.npy")
    with pytest.raises(StoreError, match=r"items/ids\.npy is damaged"):
        _ = Store.open(store.path).items


def test_a_verified_file_is_hashed_again_only_after_a_change(store, monkeypatch):
    hashed = []
    digest = file_digests._digest
    monkeypatch.setattr(file_digests, "_digest", lambda path: hashed.append(path) or digest(path))
    monkeypatch.setattr(file_digests, "_SETTLED_NS", -1)
    Store.open(store.path).part("test")
    n_files = len(hashed)
    Store.open(store.path).part("test")
    assert (n_files, len(hashed)) == (5, 5)  # four arrays and the ids
    flip_last_bit(store.path / "test" / "times.npy")
    with pytest.raises(StoreError, match=r"test/times\.npy is damaged"):
        Store.open(store.path).part("test")
    assert len(hashed) == 6


def test_a_file_that_was_just_written_is_not_taken_for_verified(store, monkeypatch):
    # two writes within the resolution of the clock leave the same times
    future = 2**62
    monkeypatch.setattr(file_digests, "identify", lambda path: (0, hash(path), 0, future, future))
    Store.open(store.path).part("test")
    flip_last_bit(store.path / "test" / "times.npy")
    with pytest.raises(StoreError, match=r"test/times\.npy is damaged"):
        Store.open(store.path).part("test")


def changed(index, value):
    def change(array):
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("items", changed(0, 2**30), r"items must be in 0\.\.4, got 1\.\.1073741824"),
        ("items", changed(0, -1), r"items must be in 0\.\.4, got -1"),
        ("items", lambda a: a[:-1], "offsets must ascend from 0 to 31, got 0 to 32"),
        ("offsets", changed(3, 10**9), "offsets must ascend, but falls after entry 3"),
        ("offsets", changed(0, 1), "offsets must ascend from 0"),
        ("times", lambda a: a[:-1], "times must have 32 rows, got 31"),
        ("times", changed(0, -(2**62)), "times must be in"),
        ("blocks", lambda a: a[:-1], "blocks must have 16 rows, got 15"),
        ("blocks", changed(0, -7), "blocks must be in"),
    ],
)
def test_arrays_that_do_not_fit_together(store, name, change, message):
    change_array(store.path, f"train/{name}.npy", change)
    message = f"train: its arrays do not fit together: {message}"
    with pytest.raises(StoreError, match=message):
        Store.open(store.path).part("train")


def test_an_array_of_another_type(store):
    change_array(store.path, "train/items.npy", lambda a: a.astype(np.int64))
    message = r"train/items\.npy: must be int32 with one axis, got '<i8'"
    with pytest.raises(StoreError, match=message):
        Store.open(store.path).part("train")


def test_an_array_header_of_a_trillion_entries(store):
    header = {"descr": "<i4", "fortran_order": False, "shape": (10**12,)}
    with (store.path / "train" / "items.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    rewrite_manifest(store.path)
    message = r"train/items\.npy: the header says 1,000,000,000,000 entries, the file has 128 bytes"
    with pytest.raises(StoreError, match=message):
        Store.open(store.path).part("train")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_train_inner_sessions": 10**12}, "n_train_inner_sessions must be in 0..16"),
        ({"n_train_inner_sessions": -1}, "n_train_inner_sessions must be in 0..16"),
        ({"n_train_inner_sessions": "3"}, "n_train_inner_sessions must be int, got '3'"),
        ({"protocol": []}, "protocol must be dict, got"),
        ({"counts": 7}, "counts must be dict, got 7"),
    ],
)
def test_a_manifest_value_out_of_range(store, values, message):
    change(store, **values)
    with pytest.raises(StoreError, match=message):
        Store.open(store.path).part("train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"kind": "nextclick.store", "format_version": 1e400}', "must be an integer, got inf"),
        ('{"kind": "nextclick.store", "format_version": true}', "must be an integer, got True"),
    ],
)
def test_a_hostile_manifest(store, text, message):
    (store.path / "manifest.json").write_text(text)
    with pytest.raises(
        StoreError, match=rf"manifest\.json: not the manifest of a store: .*{message}"
    ):
        Store.open(store.path)


def test_a_flipped_bit_in_the_manifest(store):
    file = store.path / "manifest.json"
    text = file.read_text(encoding="utf-8").replace(
        '"min_item_support": 1', '"min_item_support": 3'
    )
    file.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=r"manifest\.json: .*it is damaged: its content differs"):
        Store.open(store.path)


def test_a_missing_vocabulary_is_rejected(store):
    (store.path / "items" / "ids.npy").unlink()
    with pytest.raises(StoreError, match=r"items/ids\.npy is missing"):
        _ = Store.open(store.path).items


def test_too_many_open_files_are_named(store, monkeypatch):
    def exhausted(self, *args, **options):
        raise OSError(errno.EMFILE, "Too many open files", str(self))

    opened = Store.open(store.path)
    monkeypatch.setattr(Path, "open", exhausted)
    message = "cannot be read: Too many open files; close some files, or raise the limit"
    with pytest.raises(StoreError, match=f"test: {message}"):
        opened.part("test")
    with pytest.raises(StoreError, match=f"manifest.json: {message}"):
        Store.open(store.path)


def test_only_a_store_is_overwritten_by_a_store(tmp_path):
    store = make(tmp_path)
    (store.path / "notes.txt").write_text("x")
    with pytest.raises(OutputError, match=r"contains notes\.txt, which nextclick did not write"):
        make(tmp_path)
    (store.path / "notes.txt").unlink()
    make(tmp_path)
    change(store, kind="nextclick.artifact")
    with pytest.raises(OutputError, match=r"store is a nextclick\.artifact and is not replaced"):
        make(tmp_path)


def test_a_folder_of_windows_is_replaced_and_names_its_stores(tmp_path):
    def windows():
        split = SplitOptions(kind="windows", windows=2, days=1)
        options = PrepareOptions(filters=FilterOptions(min_item_support=1), split=split)
        rows = [(s, 1 + s % 4, 1_500_000_000 + s * 5_000) for s in range(200)]
        rows += [(s, 1 + (s + 1) % 4, 1_500_000_001 + s * 5_000) for s in range(200)]
        frame = pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])
        return prepare(frame, tmp_path / "store", options=options, overwrite=True).stores

    windows()
    assert [store.path.name for store in windows()] == ["window-1", "window-2"]
    with pytest.raises(StoreError, match="it contains window-1, window-2: use one of them"):
        Store.open(tmp_path / "store")
    (tmp_path / "store" / "window-1" / "notes.txt").write_text("x")
    with pytest.raises(OutputError, match=r"contains window-1/notes\.txt"):
        windows()
