import errno
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import nextclick.artifact.artifact as module
from installed import COUNTING
from nextclick import PrepareOptions, prepare, train
from nextclick.artifact import Artifact
from nextclick.core.manifests import rewrite_manifest
from nextclick.core.session_batch import SessionBatch
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.errors import ArtifactError, OutputError
from serving_cases import neural_artifact
from small_shop import SESSIONS, frame_of, make_store
from stored_faults import change_array, change_manifest, change_weights

BATCH = SessionBatch.from_lists([[1], [1, 2], [4, 3, 1, 1], [5], []])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture
def artifact(store, tmp_path):
    train(store, "item-knn", tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("name", COUNTING)
def test_a_saved_model_scores_the_same(store, tmp_path, name):
    trained = train(store, name, tmp_path / "model")
    loaded = Artifact.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.model.score(BATCH), trained.model.score(BATCH))
    assert loaded.model.config == trained.model.config
    assert loaded.model.name == name
    assert loaded.trained == json.loads(json.dumps(trained.trained))
    assert loaded.support.tolist() == trained.support.tolist()
    assert [loaded.items.raw(i) for i in range(1, 6)] == [10, 20, 30, 40, 50]


def test_text_ids_round_trip(tmp_path):
    store = make_store(tmp_path / "store", name=lambda i: f"é{i}")
    train(store, "pop", tmp_path / "model")
    assert Artifact.load(tmp_path / "model").items.raw(1) == "é10"


def test_a_folder_that_is_no_artifact(tmp_path, store):
    with pytest.raises(
        ArtifactError, match=r"is not an artifact \(it has no manifest\.json\); make"
    ):
        Artifact.load(tmp_path)
    with pytest.raises(
        ArtifactError, match=r"is a nextclick.store, not an artifact; name the folder"
    ):
        Artifact.load(store.path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "nextclick.artifact"}', "\x00"])
def test_an_invalid_manifest(artifact, text):
    (artifact / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json: not the manifest of an artifact: "):
        Artifact.load(artifact)


@pytest.mark.parametrize(
    ("version", "remedy"), [(1, "train again"), (2, "train again"), (4, "upgrade nextclick")]
)
def test_another_format_is_refused(artifact, version, remedy):
    change_manifest(artifact, format_version=version, model=None)
    message = f"has artifact format {version}, but this version of nextclick reads format 3: "
    with pytest.raises(ArtifactError, match=f"{message}{remedy}$"):
        Artifact.load(artifact)


def test_an_artifact_that_calls_the_part_fit_is_refused(artifact):
    """Format 1 called the part `train_inner` "fit"; the message names version and remedy."""
    trained = Artifact.load(artifact).trained | {"part": "fit"}
    change_manifest(artifact, format_version=1, trained=trained)
    with pytest.raises(ArtifactError, match=r"has artifact format 1, but .* 3: train again$"):
        Artifact.load(artifact)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "item-knm"}, "there is no model 'item-knm': did you mean item-knn"),
        ({"model": None}, "'model' is missing; train again"),
        ({"model": ["x"]}, "train again"),
        ({"config": {"shrinkage": -1}}, "shrinkage must be number ≥ 0"),
        ({"config": {"magic": 1}}, "item-knn has no parameter 'magic'"),
        ({"config": None}, "'config' is missing; train again"),
        ({"config": 7}, "config must be a mapping, got 7; train again"),
        ({"config": []}, r"config must be a mapping, got \[\]; train again"),
        ({"n_items": 10**12}, "the manifest names 1000000000000 items, the vocabulary has 5, the"),
        ({"n_items": "5"}, "the manifest names 5 items"),
        ({"trained": None}, "'trained' is missing; train again"),
        ({"trained": {}}, "'part' is missing; train again"),
        ({"trained": 7}, "trained must be a mapping, got 7; train again"),
    ],
)
def test_a_manifest_with_wrong_values(artifact, values, message):
    change_manifest(artifact, **values)
    with pytest.raises(ArtifactError, match=f"this artifact is broken: .*{message}"):
        Artifact.load(artifact)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("weights.safetensors", None),
        ("weights.safetensors", b""),
        ("weights.safetensors", b"x" * 100),
        ("items/ids.npy", None),
        ("items/ids.npy", b"x"),
        ("items/support.npy", None),
        ("items/support.npy", b"\x93NUMPY"),
    ],
)
def test_files_that_are_missing_or_broken(artifact, name, content):
    (artifact / name).unlink()
    if content is not None:
        (artifact / name).write_bytes(content)
    with pytest.raises(ArtifactError, match="this artifact is broken: "):
        Artifact.load(artifact)


def test_a_truncated_weights_file(artifact):
    path = artifact / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ArtifactError, match="this artifact is broken: "):
        Artifact.load(artifact)


@pytest.mark.parametrize("name", COUNTING)
def test_weights_without_an_array(store, tmp_path, name):
    train(store, name, tmp_path / "model")
    path = tmp_path / "model" / "weights.safetensors"
    arrays = load_file(path)
    for missing in arrays:
        save_file({k: v for k, v in arrays.items() if k != missing} or {"x": np.ones(1)}, path)
        rewrite_manifest(tmp_path / "model")
        message = rf"weights\.safetensors: this artifact is broken: '{missing}' is missing"
        with pytest.raises(ArtifactError, match=message):
            Artifact.load(tmp_path / "model")


def test_an_object_array_is_not_unpickled(artifact, tmp_path):
    np.save(artifact / "items" / "support.npy", np.array([{}], dtype=object), allow_pickle=True)
    rewrite_manifest(artifact)
    message = r"items/support\.npy: this artifact is broken: must be int64 with one axis"
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(artifact)


def test_files_of_two_artifacts(artifact):
    change_array(artifact, "items/support.npy", lambda _: np.ones(4, dtype=np.int64))
    message = "the manifest names 5 items, the vocabulary has 5, the support 3; train again"
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(artifact)


@pytest.mark.parametrize("name", ["weights.safetensors", "items/ids.npy", "items/support.npy"])
def test_a_flipped_bit_is_named(artifact, name):
    content = bytearray((artifact / name).read_bytes())
    content[-1] ^= 1
    (artifact / name).write_bytes(content)
    message = (
        f"model: this artifact is broken: {name} is damaged: .*; restore it from a copy, or tr"
    )
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(artifact)


def test_a_flipped_bit_in_the_manifest(artifact):
    file = artifact / "manifest.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"neighbors": 100', '"neighbors": 101'), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"manifest\.json: .*it is damaged"):
        Artifact.load(artifact)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"kind": "nextclick.artifact", "format_version": 1e400}', "must be an integer, got inf"),
        ('{"kind": "nextclick.artifact", "format_version": 3}', "'files' must map"),
        (
            '{"kind": "nextclick.artifact", "format_version": 3, "files": {"../../x": "00"}}',
            "'files' must map",
        ),
    ],
)
def test_a_hostile_manifest(artifact, text, message):
    (artifact / "manifest.json").write_text(text)
    with pytest.raises(
        ArtifactError, match=rf"manifest\.json: not the manifest of an artifact: .*{message}"
    ):
        Artifact.load(artifact)


def test_an_array_header_of_a_trillion_entries(artifact):
    path = artifact / "items" / "support.npy"
    header = {"descr": "<i8", "fortran_order": False, "shape": (10**12,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    rewrite_manifest(artifact)
    with pytest.raises(ArtifactError, match="the header says 1,000,000,000,000 entries, the file"):
        Artifact.load(artifact)


def changed(index, value):
    def change(array):
        array.reshape(-1)[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("model", "name", "change", "message"),
    [
        ("item-knn", "items", changed(0, 2**30), r"items must be in 1\.\.5, got 1\.\.1073741824"),
        ("item-knn", "items", changed(0, -1), r"items must be in 1\.\.5, got -1"),
        ("item-knn", "items", lambda a: a.astype(np.int64), "items must be int32"),
        ("item-knn", "offsets", changed(-1, 2**40), "offsets must ascend from 0 to"),
        ("item-knn", "offsets", changed(2, 10**9), "offsets must ascend, but falls after entry 2"),
        ("item-knn", "offsets", lambda a: np.append(a, a[-1]), "offsets must have 7 rows, got 8"),
        ("item-knn", "values", changed(0, np.nan), "values has a value that is not finite"),
        ("session-knn", "item_sessions", changed(0, 2**30), r"item_sessions must be in 0\.\."),
        ("session-knn", "item_offsets", changed(1, -5), "item_offsets must ascend"),
        ("session-knn", "session_items", changed(0, 6), r"session_items must be in 1\.\.5"),
        ("session-knn", "session_offsets", changed(0, 1), "session_offsets must ascend from 0"),
        ("session-knn", "repeat_offered", changed(0, -1), r"repeat_offered must be in 0"),
        (
            "session-knn",
            "repeat_returned",
            lambda a: a[:8].copy(),
            r"repeat_returned must have shape \(9, 3, 5\)",
        ),
        ("markov", "repeat_returned", changed(134, 9), "repeat_returned must be at most"),
        ("session-knn", "idf", changed(0, np.inf), "idf has a value that is not finite"),
        ("pop", "popularity", lambda a: a[:-1], "popularity must have 6 rows, got 5"),
        ("s-pop", "rank", changed(0, np.nan), "rank has a value that is not finite"),
        ("bpr-mf", "items", lambda a: a[:-1], "items must have 6 rows, got 5"),
        ("bpr-mf", "users", lambda a: a[:, :-1], "users must have 100 columns, got 99"),
        ("fpmc", "last", lambda a: a[:, :-1], "items must have"),
    ],
)
def test_an_array_out_of_range(store, tmp_path, model, name, change, message):
    train(store, model, tmp_path / "model")
    change_weights(tmp_path / "model", name, change)
    message = rf"weights\.safetensors: this artifact is broken: {message}"
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(tmp_path / "model")


def test_too_many_open_files_are_named(artifact, monkeypatch):
    def exhausted(self, *args, **options):
        raise OSError(errno.EMFILE, "Too many open files", str(self))

    monkeypatch.setattr(Path, "open", exhausted)
    message = r"cannot be read: Too many open files; close some files, or raise the limit"
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(artifact)


def test_training_is_refused_before_it_starts(store, artifact):
    (artifact / "notes.txt").write_text("x")

    def progress(*_):
        raise AssertionError

    with pytest.raises(OutputError, match=r"contains notes\.txt, which nextclick did not write"):
        train(store, "markov", artifact, overwrite=True, progress=progress)


def test_an_artifact_is_not_overwritten(store, artifact):
    message = r"model already exists; choose another path or pass --overwrite"
    with pytest.raises(OutputError, match=message):
        Artifact.load(artifact).save(artifact)
    Artifact.load(artifact).save(artifact, overwrite=True)
    with pytest.raises(OutputError, match=message):
        train(store, "pop", artifact)
    train(store, "pop", artifact, overwrite=True)
    assert Artifact.load(artifact).model.name == "pop"


def test_a_full_disk(store, tmp_path, monkeypatch):
    def full(path, arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_tensors", full)
    with pytest.raises(
        OutputError, match="model: cannot be written: No space left on device; free"
    ):
        train(store, "pop", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_config_that_asks_for_more_memory_than_there_is(tmp_path):
    artifact = neural_artifact("narm")
    artifact.save(tmp_path / "model")
    config = asdict(artifact.model.config)
    for name in ("hidden_width", "embedding_width"):
        change_manifest(tmp_path / "model", config=config | {name: 2**30})
        with pytest.raises(ArtifactError, match=r"weights\.safetensors: this artifact is broken"):
            Artifact.load(tmp_path / "model")


def test_weights_of_another_shape(tmp_path):
    artifact = neural_artifact("narm")
    artifact.save(tmp_path / "model")
    for name, array in artifact.model.state().items():
        change_weights(tmp_path / "model", name, lambda a: a[..., :-1])
        with pytest.raises(ArtifactError, match=r"weights\.safetensors: this artifact is broken"):
            Artifact.load(tmp_path / "model")
        change_weights(tmp_path / "model", name, lambda _, array=array: array)
    Artifact.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "graph_edges",
            changed(0, (1 << 32) | 2**30),
            r"the second items of graph_edges must be in",
        ),
        ("graph_edges", changed(0, -1), "the first items of graph_edges must be in"),
        ("graph_edges", lambda a: a[::-1], "graph_edges must ascend"),
        ("graph_weights", lambda a: a[:-1], "graph_weights must have .* rows"),
        ("graph_day", changed(0, 2**40), "graph_day must be in"),
        ("last_block", changed(0, -9), "last_block must be in"),
        ("items.weight", changed(0, np.nan), "items.weight has a value that is not finite"),
    ],
)
def test_a_graph_out_of_range(tmp_path, name, change, message):
    neural_artifact("tasrec").save(tmp_path / "model")
    assert Artifact.load(tmp_path / "model").model.last_block > 0
    change_weights(tmp_path / "model", name, change)
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("memory.written", -1, r"memory\.written must be in 0\.\."),
        ("memory.session", -3, r"memory\.session must be in -2\.\."),
    ],
)
def test_a_memory_out_of_range(tmp_path, name, value, message):
    neural_artifact("csrm").save(tmp_path / "model")
    change_weights(tmp_path / "model", name, changed(0, value))
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("bpr-mf", {"of": "user"}),
        ("fpmc", {"users": True}),
        ("asars", {"variant": "user_att", "epochs": 1, "threads": 1, "metric": "recall@3"}),
    ],
)
def test_users_of_another_vocabulary(tmp_path, model, config):
    frame = frame_of(SESSIONS)
    frame = frame.with_columns(user=frame["session"] % 4)
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.2, valid_fraction=0.2),
    )
    train(prepare(frame, tmp_path / "store", options=options).store, model, tmp_path / "model",
          config=config)  # fmt: skip
    assert Artifact.load(tmp_path / "model").model.n_users == 4
    change_array(tmp_path / "model", "users/ids.npy", lambda ids: np.append(ids, ids[-1] + 1))
    with pytest.raises(ArtifactError, match="the model reads 4 users, the vocabulary has 5"):
        Artifact.load(tmp_path / "model")
