"""The exported graph scores as the artifact, and the folder is complete or absent."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from exported_cases import (
    CASES,
    FURTHER_CASES,
    MAX_LENGTH,
    prepared_shop,
    untrained,
    untrained_model,
)
from nextclick import export_onnx, load, train
from nextclick.core import extra_packages
from nextclick.core.manifests import check_folder
from nextclick.core.session_batch import SessionBatch
from nextclick.core.topk import dense_top
from nextclick.core.vocabulary import Vocabulary as SavedVocabulary
from nextclick.errors import ArtifactError, ConfigError, OutputError, ScoringError, SourceError
from nextclick.export.onnx_export import graph_feed
from nextclick.models.neural.youtube_dnn import YouTubeDNN, YouTubeDNNEncoder

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

K = 20


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return prepared_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory):
    """The folder of an artifact that reads times and users, and that of its export."""
    folder = tmp_path_factory.mktemp("exported")
    untrained(store, "asars elapsed").save(folder / "model")
    export_onnx(folder / "model", folder / "onnx")
    return folder / "model", folder / "onnx"


def random_sessions(store, B, T, rng):
    """B sessions of at most T clicks, the first one of T; some gaps and users are unknown."""
    lengths = np.append(T, rng.integers(1, T + 1, B - 1)).astype(np.int32)
    is_click = np.arange(T) < lengths[:, None]
    clicks = rng.choice(store.part("test").items, (B, T))
    clicks[clicks == 0] = 1
    gaps = rng.exponential(60.0, (B, T)).astype(np.float32)
    gaps[rng.random((B, T)) < 0.2] = np.nan
    gaps[:, 0] = 0.0
    return SessionBatch(
        items=np.where(is_click, clicks, 0).astype(np.int32),
        lengths=lengths,
        gaps=gaps,
        users=rng.integers(0, len(store.users) + 1, B).astype(np.int32),
        time_since_last_click=rng.exponential(60.0, B).astype(np.float32),
    )


def check_equal(model, session, batch):
    """Scores within 1e-4, and the same first items, except where offline scores are equal."""
    scores, query = session.run(["scores", "query"], graph_feed(model, batch))
    expected = model.score(batch)
    assert scores.dtype == query.dtype == np.float32
    assert np.isneginf(scores[:, 0]).all()
    np.testing.assert_allclose(scores[:, 1:], expected[:, 1:], rtol=0, atol=1e-4)
    rows = np.arange(len(batch))[:, None]
    best, best_offline = dense_top(scores, K), dense_top(expected, K)
    differs = best != best_offline
    gap = np.abs(expected[rows, best] - expected[rows, best_offline])
    assert (gap[differs] < 1e-4).all()
    assert differs.mean() < 0.02


def check_case(store, folder, case):
    artifact = untrained(store, case)
    artifact.save(folder / "model")
    export_onnx(folder / "model", folder / "onnx")
    check_scores(artifact.model, folder / "onnx", store)


def check_scores(model, folder, store):
    """An exported graph and its model, on batches of each length."""
    manifest = json.loads((folder / "manifest.json").read_text())
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = [each.name for each in session.get_inputs()]
    assert names == [each["name"] for each in manifest["inputs"]]
    rng = np.random.default_rng(0)
    for B in (1, 7):
        for T in range(1, MAX_LENGTH + 1):
            batch = random_sessions(store, B, T, rng)
            if "waited" not in names:
                batch = replace(batch, time_since_last_click=None)
            check_equal(model, session, batch)
    anonymous = SessionBatch.from_lists([[3, 1, 2], [4]])  # neither times nor users
    check_equal(model, session, anonymous)


@pytest.mark.parametrize("case", CASES)
def test_scores_of_every_model(store, tmp_path, case):
    check_case(store, tmp_path, case)


def test_scores_of_the_exported_artifact(store, exported):
    check_scores(load(exported[0]).artifact.model, exported[1], store)


@pytest.mark.slow
@pytest.mark.parametrize("case", FURTHER_CASES)
def test_scores_of_every_variant(store, tmp_path, case):
    check_case(store, tmp_path, case)


# The folder ---------------------------------------------------------------------------------------


def test_the_folder_has_what_a_server_needs(store, exported):
    model, folder = exported
    check_folder(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["kind"], manifest["opset"], manifest["model"]) == (
        "nextclick.export",
        20,
        "asars",
    )
    assert (manifest["n_items"], manifest["max_length"]) == (len(store.items), MAX_LENGTH)
    assert [each["name"] for each in manifest["inputs"]] == [
        "items", "lengths", "gaps", "waited", "users"
    ]  # fmt: skip
    assert (
        manifest["artifact_digest"] == json.loads((model / "manifest.json").read_text())["digest"]
    )
    for name in ("items", "users"):
        for file in (model / name).iterdir():
            assert (folder / name / file.name).read_bytes() == file.read_bytes()


def test_the_graph_has_no_path_of_this_machine_and_one_item_table(store, tmp_path):
    artifact = untrained_model(store, "youtube-dnn", width=400)
    artifact.save(tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    content = (tmp_path / "onnx" / "model.onnx").read_bytes()
    assert b"nextclick/" not in content
    assert b"site-packages" not in content
    table = artifact.model.state()["items.weight"].nbytes
    assert table < len(content) < 1.1 * table


def test_padding_has_no_effect(exported, store):
    model, folder = load(exported[0]).artifact.model, exported[1]
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    feed = graph_feed(model, random_sessions(store, 3, 5, np.random.default_rng(0)))
    feed["lengths"] = np.array([2, 1, 5])
    (expected,) = session.run(["scores"], feed)
    feed["items"][0, 2:] = feed["items"][1, 1:] = 9
    feed["gaps"][0, 2:] = feed["gaps"][1, 1:] = 77.0
    (scores,) = session.run(["scores"], feed)
    np.testing.assert_array_equal(scores, expected)


# example.py ---------------------------------------------------------------------------------------


def run_example(folder, *words):
    done = subprocess.run(
        [sys.executable, "-I", folder / "example.py", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [item for item, _ in rows], [float(score) for _, score in rows]


def test_the_example_recommends_as_the_program(exported, store):
    model, folder = exported
    recommender = load(model)
    clicks = [*store.items.raw_ids(np.arange(1, MAX_LENGTH + 3)), "nothing", store.items.raw(5)]
    times = [10.0 * n + n**2 for n in range(len(clicks))]
    words = [*clicks, "-k", 7, "--times", ",".join(map(str, times)), "--now", times[-1] + 33]
    for user in (store.users.raw(3), "nobody"):
        expected = recommender.recommend(
            [clicks], 7, times=[times], now=times[-1] + 33, users=[user]
        )[0]
        items, scores = run_example(folder, *words, "--user", user)
        assert items == [str(item) for item in expected.items]
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
    expected = recommender.recommend([clicks], 7)[0]
    assert run_example(folder, *clicks, "-k", 7)[0] == [str(item) for item in expected.items]


def test_the_example_without_a_known_click_recommends_popular_items(exported):
    model, folder = exported
    expected = load(model).recommend([["nothing"]], 5)[0].items
    assert run_example(folder, "nothing", "-k", 5)[0] == [str(item) for item in expected]


def test_clicks_on_items_without_a_click_are_unknown(store, tmp_path):
    artifact = untrained(store, "narm")
    support = artifact.support.copy()
    support[[3, 4]] = 0  # known from an item table only
    trained = artifact.trained | {"catalog": "all"}
    artifact = replace(artifact, support=support, trained=trained)
    artifact.save(tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    recommender, n = load(tmp_path / "model"), len(store.items)
    new, clicked = store.items.raw(3), store.items.raw(7)
    for clicks in ([clicked, new], [new]):
        expected = recommender.recommend([clicks], n - 2)[0]
        items, _ = run_example(tmp_path / "onnx", *clicks, "-k", n)
        assert items == [str(item) for item in expected.items]
        assert len(items) == n - 2
    assert run_example(tmp_path / "onnx", clicked, "-k", 5) == run_example(
        tmp_path / "onnx", new, clicked, "-k", 5
    )


def test_the_example_rejects_times_that_do_not_match(exported):
    done = subprocess.run(
        [sys.executable, exported[1] / "example.py", "1", "2", "--times", "5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 times for 2 clicks" in done.stderr


def test_the_example_reads_text_ids(tmp_path):
    from nextclick.export.example import Vocabulary

    SavedVocabulary.from_strings(["a", "Brûlée", "ç"]).save(tmp_path)
    vocabulary = Vocabulary(tmp_path)
    assert vocabulary.ids == ["a", "Brûlée", "ç"]
    assert [vocabulary.index(raw) for raw in ("ç", "a", "x", None)] == [3, 1, 0, 0]


# A blend ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blend(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("blend") / "blend"
    members = "markov,youtube-dnn@default+epochs=1+negatives=32+batch_size=128"
    train(store, "blend", folder, config={"members": members})
    return folder


def test_a_member_of_a_blend(blend, tmp_path):
    label = load(blend).artifact.model.labels[1]
    manifest = export_onnx(blend, tmp_path / "onnx", member=label)
    assert (manifest["model"], manifest["member"]) == ("youtube-dnn", label)
    model = load(blend).artifact.model.members[1]
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    check_equal(model, session, SessionBatch.from_lists([[3, 1, 2], [4]]))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (None, "a blend cannot be exported, .*nextclick serve.* --member: youtube-dnn@default"),
        ("narm", "the blend has no member 'narm': known: markov"),
        ("markov", "markov cannot be exported, because it counts"),
    ],
)
def test_what_is_not_exported_of_a_blend(blend, tmp_path, member, message):
    with pytest.raises(ConfigError, match=message):
        export_onnx(blend, tmp_path / "onnx", member=member)
    assert not list(tmp_path.iterdir())


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("lessr", {}, "lessr cannot be exported, .* serve it with `nextclick serve`, or export"),
        ("tasrec", {}, "tasrec cannot be exported, because compiled kernels outside the network"),
        ("asars", {"history": "repeat"}, "asars with history=repeat cannot be exported, because"),
        ("asars", {"history": "attention", "first_click": True}, "history=attention cannot be"),
        ("asars", {"gap": "oracle"}, "gap=oracle cannot be exported, because it reads the time to"),
    ],
)
def test_models_that_are_not_exported(store, tmp_path, name, values, message):
    from nextclick.export.exportable import check_exportable

    cls = import_module("nextclick.models.model_registry").model_class(name)
    config = cls.Config(**values)
    needed = cls.requires(config) & {"times", "users"}
    info = (cls.dataset_info(config, store.part("train")),) if needed else ()
    with pytest.raises(ConfigError, match=message):
        check_exportable(cls(config, len(store.items), *info))


def test_counting_models_are_not_exported(store, tmp_path):
    train(store, "session-knn", tmp_path / "knn")
    with pytest.raises(ConfigError, match="session-knn cannot be exported, because it counts"):
        export_onnx(tmp_path / "knn", tmp_path / "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["knn"]


def test_a_member_of_no_blend(exported, tmp_path):
    with pytest.raises(ConfigError, match="--member names a member of a blend, but asars is none"):
        export_onnx(exported[0], tmp_path / "onnx", member="narm")


def test_no_artifact(tmp_path):
    with pytest.raises(ArtifactError, match="is not an artifact"):
        export_onnx(tmp_path / "nowhere", tmp_path / "onnx")


def test_missing_packages(exported, tmp_path, monkeypatch):
    def without(package):
        if package == "onnxscript":
            raise ImportError(package)
        return import_module(package)

    monkeypatch.setattr(extra_packages, "import_module", without)
    with pytest.raises(SourceError, match=r"export: the package onnxscript .*nextclick\[onnx\]"):
        export_onnx(exported[0], tmp_path / "onnx")
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_the_exporter_cannot_read(store, tmp_path, monkeypatch):
    untrained(store, "youtube-dnn").save(tmp_path / "model")
    forward = YouTubeDNNEncoder.forward

    def depends_on_the_data(self, items):
        return forward(self, items if items.sum() > 0 else items + 1)

    monkeypatch.setattr(YouTubeDNNEncoder, "forward", depends_on_the_data)
    with pytest.raises(ConfigError, match="youtube-dnn cannot be exported: PyTorch's exporter re"):
        export_onnx(tmp_path / "model", tmp_path / "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_graph_with_other_scores_is_not_written(store, tmp_path, monkeypatch):
    untrained(store, "youtube-dnn").save(tmp_path / "model")
    score = YouTubeDNN.score
    monkeypatch.setattr(YouTubeDNN, "score", lambda self, batch: score(self, batch) + 0.01)
    with pytest.raises(
        ScoringError, match=r"computes other scores than the artifact: .* 0.01, more"
    ):
        export_onnx(tmp_path / "model", tmp_path / "onnx")
    monkeypatch.setattr(YouTubeDNN, "score", lambda self, batch: score(self, batch) * np.nan)
    with pytest.raises(ScoringError, match="differ by nan"):
        export_onnx(tmp_path / "model", tmp_path / "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_overwritten(store, tmp_path):
    untrained(store, "youtube-dnn").save(tmp_path / "model")
    target = tmp_path / "onnx"
    first = export_onnx(tmp_path / "model", target)
    with pytest.raises(OutputError, match="already exists; choose another path or pass --over"):
        export_onnx(tmp_path / "model", target)
    assert export_onnx(tmp_path / "model", target, overwrite=True)["files"] == first["files"]
    (target / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"contains notes.txt, which nextclick did not write"):
        export_onnx(tmp_path / "model", target, overwrite=True)
    with pytest.raises(OutputError, match=r"is a nextclick.artifact and is not replaced"):
        export_onnx(tmp_path / "model", tmp_path / "model", overwrite=True)
    check_folder(target.parent / "model")
