import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import nextclick.artifact.artifact as module
from installed import COUNTING
from nextclick import train
from nextclick.artifact import Artifact
from nextclick.core.session_batch import SessionBatch
from nextclick.errors import ArtifactError, OutputError
from small_shop import make_store

BATCH = SessionBatch.from_lists([[1], [1, 2], [4, 3, 1, 1], [5], []])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture
def artifact(store, tmp_path):
    train(store, "item-knn", tmp_path / "model")
    return tmp_path / "model"


def change(folder, **values):
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8")) | values
    present = {key: value for key, value in manifest.items() if value is not None}
    file.write_text(json.dumps(present), encoding="utf-8")


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


@pytest.mark.parametrize(("version", "remedy"), [(1, "train again"), (3, "upgrade nextclick")])
def test_another_format_is_refused(artifact, version, remedy):
    change(artifact, format_version=version, model=None)
    message = f"has artifact format {version}, but this version of nextclick reads format 2: "
    with pytest.raises(ArtifactError, match=f"{message}{remedy}$"):
        Artifact.load(artifact)


def test_an_artifact_that_calls_the_part_fit_is_refused(artifact):
    """Format 1 called the part `train_inner` "fit"; the message names version and remedy."""
    trained = Artifact.load(artifact).trained | {"part": "fit"}
    change(artifact, format_version=1, trained=trained)
    with pytest.raises(ArtifactError, match=r"has artifact format 1, but .* 2: train again$"):
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
        ({"config": 7}, "train again"),
        ({"trained": None}, "'trained' is missing; train again"),
        ({"trained": {}}, "'part' is missing; train again"),
        ({"trained": 7}, "train again"),
    ],
)
def test_a_manifest_with_wrong_values(artifact, values, message):
    change(artifact, **values)
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
        with pytest.raises(ArtifactError, match=f"this artifact is broken: '{missing}' is missing"):
            Artifact.load(tmp_path / "model")


def test_an_object_array_is_not_unpickled(artifact, tmp_path):
    np.save(artifact / "items" / "support.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(
        ArtifactError, match="this artifact is broken: Object arrays cannot be loaded"
    ):
        Artifact.load(artifact)


def test_files_of_two_artifacts(artifact):
    np.save(artifact / "items" / "support.npy", np.ones(4, dtype=np.int64))
    message = "the model scores 5 items, the vocabulary has 5, the support 3; train again"
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(artifact)


def test_an_artifact_is_not_overwritten(store, artifact):
    message = r"model already exists; choose another path or pass --overwrite"
    with pytest.raises(OutputError, match=message):
        Artifact.load(artifact).save(artifact)
    Artifact.load(artifact).save(artifact, overwrite=True)
    with pytest.raises(OutputError, match=message):
        train(store, "pop", artifact)
    train(store, "pop", artifact, overwrite=True)
    assert Artifact.load(artifact).model.name == "pop"


def test_a_full_disk_that_safetensors_reports(store, tmp_path, monkeypatch):
    def full(arrays, path):
        raise module.SafetensorError("Error while serializing: No space left (os error 28)")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(
        OutputError, match="model: cannot be written: No space left on device; free"
    ):
        train(store, "pop", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
