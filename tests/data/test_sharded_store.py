"""A store with shards is the store without: the same data, models and results."""

import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, Store, evaluate, prepare, train
from nextclick.core.manifests import rewrite_manifest
from nextclick.data.options import FilterOptions, ReadOptions, SplitOptions, StoreOptions
from nextclick.data.part_writer import shard_bounds
from nextclick.errors import ConfigError, StoreError
from nextclick.experiments.artifact_evaluation import evaluate_with_ranks
from nextclick.models.classical import inverted_index, session_index
from stored_faults import change_array, change_manifest

N_SESSIONS = 4000
COUNTING = ["pop", "s-pop", "markov", "rules", "item-knn", "session-knn"]


def log():
    """Sessions of 2 to 8 clicks on 300 items, with users, times and a kept column."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(2, 9, N_SESSIONS)
    session = np.repeat(np.arange(N_SESSIONS), lengths)
    start = 1_500_000_000 + 300 * np.arange(N_SESSIONS)
    time = np.repeat(start, lengths) + np.concatenate([17 * np.arange(n) for n in lengths])
    item = 1 + (session * 7 + rng.zipf(1.6, len(session))) % 300
    columns = {"session": session, "item": item, "time": time, "user": session % 400}
    return pl.DataFrame(columns | {"device": np.array(["a", "b", "c"])[session % 3]})


def make(folder, shard_clicks=10**9):
    options = PrepareOptions(
        read=ReadOptions(keep_columns=("device",)),
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.2, valid_fraction=0.1),
        store=StoreOptions(shard_clicks=shard_clicks),
    )
    return prepare(log(), folder, options=options).store


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same log with 1, 3 and 7 shards of the training part."""
    folder = tmp_path_factory.mktemp("stores")
    plain = make(folder / "1")
    n_clicks = plain.part("train").n_events
    made = {n: make(folder / str(n), -(-n_clicks // n)) for n in (3, 7)}
    return {1: plain} | {n: Store.open(store.path) for n, store in made.items()}


def arrays_of(sessions):
    names = ("items", "offsets", "times", "users", "blocks")
    return {name: getattr(sessions, name) for name in names}


def assert_equal(one, other):
    expected, found = arrays_of(one), arrays_of(other)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array), name


@pytest.mark.parametrize("n_shards", [3, 7])
def test_the_parts_are_those_of_a_store_without_shards(stores, n_shards):
    plain, sharded = stores[1], stores[n_shards]
    assert len(sharded.manifest["shards"]["train"]) == n_shards
    assert "shards" not in plain.manifest
    assert sharded.fingerprint == plain.fingerprint
    assert sharded.manifest["counts"] == plain.manifest["counts"]
    assert sharded.items.ids() == plain.items.ids()
    for part in ("train", "train_inner", "valid", "test"):
        assert_equal(plain.part(part), sharded.part(part))
        codes = plain.column(part, "device").codes
        assert np.array_equal(sharded.column(part, "device").codes, codes)


@pytest.mark.parametrize("n_shards", [1, 3, 7])
@pytest.mark.parametrize("part", ["train", "train_inner", "valid", "test"])
def test_the_shards_are_the_part_in_pieces(stores, n_shards, part):
    shards = list(stores[n_shards].shards(part))
    whole = stores[1].part(part)
    joined = shards[0].join(shards)
    assert_equal(whole, joined)
    for shard in shards:
        assert shard.offsets[0] == 0
        assert shard.earlier is not None


def test_the_log_is_neither_read_nor_copied(stores):
    train_part = stores[7].part("train")
    with pytest.raises(ValueError, match="read-only"):
        train_part.items[0] = 1
    assert not train_part.items.flags.owndata
    assert not train_part.times.flags.owndata


@pytest.mark.parametrize("model", COUNTING)
def test_counting_models_and_their_results_are_equal(stores, model, monkeypatch):
    expected = train(stores[1], model)
    result = evaluate(expected, stores[1], ks=[5, 20]).metrics
    monkeypatch.setattr(inverted_index, "MAX_ENTRIES", 1500)
    monkeypatch.setattr(session_index, "CHUNK_CLICKS", 2000)
    for n_shards in (1, 3, 7):
        artifact = train(stores[n_shards], model)
        state = artifact.model.state()
        for name, array in expected.model.state().items():
            assert state[name].dtype == array.dtype
            assert np.array_equal(state[name], array), name
        assert evaluate(artifact, stores[n_shards], ks=[5, 20]).metrics == result


def test_a_result_does_not_depend_on_the_shards_of_the_trained_store(stores):
    artifact = train(stores[3], "markov")
    results = [evaluate(artifact, store, ks=[20]).metrics for store in stores.values()]
    assert results[0] == results[1] == results[2]


def test_a_neural_model_takes_the_same_steps_and_ranks_alike(stores):
    config = {"embedding_width": 8, "hidden_width": 8, "epochs": 1, "threads": 1, "max_steps": 30}
    artifacts = {n: train(stores[n], "narm", config=config) for n in (1, 7)}
    weights = {n: artifact.model.state() for n, artifact in artifacts.items()}
    for name, array in weights[1].items():
        assert np.array_equal(weights[7][name], array), name
    ranks = [evaluate_with_ranks(artifacts[n], stores[n])[1].ranks for n in (1, 7)]
    assert np.array_equal(*ranks)


def test_the_last_shard_may_be_opened_without_the_others(stores, tmp_path):
    shutil.copytree(stores[7].path, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    for number in range(6):
        shutil.rmtree(store.path / "train" / f"shard-{number}")
    [valid] = store.shards("valid")
    assert np.array_equal(valid.items, stores[1].part("valid").items)
    with pytest.raises(StoreError, match=r"train/shard-0/\w+\.npy is missing; prepare the log"):
        next(store.shards("train"))


@pytest.fixture
def damaged(stores, tmp_path):
    shutil.copytree(stores[3].path, tmp_path / "store")
    return tmp_path / "store"


def test_a_missing_shard_is_named(damaged):
    shutil.rmtree(damaged / "train" / "shard-1")
    with pytest.raises(StoreError, match=r"train/shard-1/blocks\.npy is missing; prepare the log"):
        Store.open(damaged).part("train")
    rewrite_manifest(damaged)
    with pytest.raises(StoreError, match=r"train: its shards have different arrays; prepare"):
        Store.open(damaged).part("train")
    with pytest.raises(StoreError, match=r"shard-1: items\.npy or offsets\.npy is missing"):
        list(Store.open(damaged).shards("train"))


def test_a_flipped_bit_is_refused_by_the_name_of_the_shard(damaged):
    path = damaged / "train" / "shard-2" / "items.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    message = r"train/shard-2/items\.npy is damaged: its content differs from its digest; prepare"
    with pytest.raises(StoreError, match=message):
        Store.open(damaged).part("train")
    with pytest.raises(StoreError, match=message):
        list(Store.open(damaged).shards("train"))


def test_a_shard_of_another_store_is_refused(stores, damaged):
    shutil.rmtree(damaged / "train" / "shard-1")
    shutil.copytree(stores[7].path / "train" / "shard-1", damaged / "train" / "shard-1")
    with pytest.raises(StoreError, match=r"train/shard-1/\w+\.npy is damaged"):
        Store.open(damaged).part("train")
    rewrite_manifest(damaged)
    with pytest.raises(StoreError, match=r"shard-1: its arrays do not fit .* offsets must have"):
        Store.open(damaged).part("train")


def test_an_array_of_a_shard_out_of_range_is_refused(damaged):
    change_array(damaged, "train/shard-1/items.npy", lambda items: items + 10**6)
    with pytest.raises(StoreError, match=r"shard-1: its arrays do not fit together: items must be"):
        Store.open(damaged).part("train")


@pytest.mark.parametrize("shards", [3, {"train": 3}, {"train": [0]}, {"train": ["x"]}])
def test_an_invalid_list_of_shards_is_refused(damaged, shards):
    change_manifest(damaged, shards=shards)
    with pytest.raises(StoreError, match="shards must be numbers of sessions, got"):
        Store.open(damaged)


def test_an_unknown_part_has_no_shards(stores):
    with pytest.raises(ConfigError, match="part must be one of train, train_inner, valid, test"):
        next(stores[3].shards("tests"))


def test_shard_clicks_must_be_positive(tmp_path):
    with pytest.raises(ConfigError, match="shard_clicks"):
        make(tmp_path / "store", 0)


def test_a_session_longer_than_a_shard_is_not_divided():
    offsets = np.array([0, 2, 50, 52])
    assert shard_bounds(offsets, 10) == [0, 2, 3]
    assert shard_bounds(offsets[:2], 10) == [0, 1]
    assert shard_bounds(np.array([0, 0, 0]), 10) == [0, 2]


def test_a_changed_session_changes_the_fingerprint(tmp_path, stores):
    frame = log()
    changed = frame.with_columns(
        item=pl.when(pl.int_range(pl.len()) == 999).then(7).otherwise(frame["item"])
    )
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.2, valid_fraction=0.1),
    )
    sharded = replace(options, store=StoreOptions(shard_clicks=2000))
    found = [
        prepare(rows, tmp_path / f"{n}{m}", options=o).store.fingerprint
        for n, rows in enumerate((frame, changed))
        for m, o in enumerate((options, sharded))
    ]
    assert found[0] == found[1] != found[2] == found[3]
