"""Single flipped bits in stored folders: each is refused with the file's name, or changes nothing.

A second test gives the damaged files valid digests: the range checks then keep the kernels from
reading foreign memory, which would end the process.
"""

import json
from collections import Counter

import numpy as np
import pytest

from nextclick import Store, train
from nextclick.artifact import Artifact
from nextclick.core.manifests import rewrite_manifest
from nextclick.core.session_batch import SessionBatch
from nextclick.errors import ArtifactError, NextclickError, StoreError
from small_shop import make_store
from stored_faults import flip, random_bits

BATCH = SessionBatch.from_lists([[1], [1, 2], [4, 3, 1, 1], [5], []])
MODELS = ["session-knn", "item-knn", "narm", "gru4rec", "tasrec"]
FOLDERS = [*MODELS, "store", "text-store", "sharded-store"]
WIDTHS = {
    "narm": {"embedding_width": 8, "hidden_width": 8},
    "gru4rec": {"hidden_width": 8},
    "tasrec": {"width": 8},
}
QUICK, FULL = 8, 150  # flips of each folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """An artifact of each model, and stores with integer ids, with text ids and with shards."""
    folder = tmp_path_factory.mktemp("shop")
    store = make_store(folder / "store")
    make_store(folder / "text-store", name=lambda item: f"é{item}")
    make_store(folder / "sharded-store", shard_clicks=20)
    for name in MODELS:
        neural = {} if name.endswith("knn") else {"epochs": 1, "threads": 1, "metric": "recall@3"}
        train(store, name, folder / name, config=neural | WIDTHS.get(name, {}))
    return folder


def read(folder):
    """Everything that can be read of a folder, as comparable values."""
    if folder.name in MODELS:
        artifact = Artifact.load(folder)
        scores = artifact.model.score(BATCH).tobytes()
        return scores, artifact.items.ids(), artifact.support.tolist(), artifact.trained
    store = Store.open(folder)
    arrays = []
    for part in ("train", "train_inner", "valid", "test"):
        sessions = store.part(part)
        arrays += [sessions.items, sessions.offsets, sessions.times, sessions.blocks]
    return store.manifest, store.items.ids(), [array.tolist() for array in arrays]


def flip_many(folder, count):
    """Flip single bits of the files of a folder; count the outcomes."""
    expected, found = read(folder), Counter()
    for path, bit in random_bits(folder, count, seed=5):
        intact = path.read_bytes()
        flip(path, bit)
        try:
            outcome = "harmless" if read(folder) == expected else "wrong answer"
        except (ArtifactError, StoreError) as error:
            named = path.relative_to(folder).as_posix() in str(error)
            outcome = "refused" if named else f"refused without {path.name}: {error}"
        found[outcome] += 1
        path.write_bytes(intact)
    assert read(folder) == expected
    return found


@pytest.mark.parametrize("name", FOLDERS)
def test_a_flipped_bit_is_refused_or_harmless(name, shop):
    found = flip_many(shop / name, QUICK)
    assert set(found) <= {"refused", "harmless"}, found
    assert found["refused"] >= QUICK // 2


@pytest.mark.slow
def test_a_thousand_flipped_bits_are_refused_or_harmless(shop, capsys):
    counts = {name: flip_many(shop / name, FULL) for name in FOLDERS}
    found = sum(counts.values(), Counter())
    with capsys.disabled():
        print(json.dumps(counts))  # noqa: T201
    assert set(found) <= {"refused", "harmless"}, found
    assert found.total() >= 1000


@pytest.mark.parametrize("name", FOLDERS)
def test_damaged_arrays_with_valid_digests_do_not_end_the_process(name, shop):
    outcomes = Counter()
    for path, bit in random_bits(shop / name, 10 * QUICK, seed=6):
        if path.name == "manifest.json":
            continue
        intact = path.read_bytes()
        flip(path, bit)
        rewrite_manifest(shop / name)
        try:
            with np.errstate(all="ignore"):
                read(shop / name)
            outcomes["read"] += 1
        except NextclickError:
            outcomes["refused"] += 1
        path.write_bytes(intact)
    rewrite_manifest(shop / name)
    assert outcomes["refused"] > 0
