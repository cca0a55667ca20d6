"""An artifact answers requests with its exported encoder as the trained model does."""

import json
import logging
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from exported_cases import (
    CASES,
    FURTHER_CASES,
    MAX_LENGTH,
    SERVED_CASES,
    prepared_shop,
    untrained,
    untrained_model,
)
from nextclick.artifact import Artifact
from nextclick.core.file_digests import MANIFEST
from nextclick.core.manifests import write_manifest
from nextclick.core.session_batch import SessionBatch
from nextclick.errors import ArtifactError, ConfigError
from nextclick.models.exported import encoder_file
from nextclick.models.exported.exportable import check_exportable
from nextclick.models.exported.exported_model import ExportedModel
from nextclick.models.exported.served_models import pytorch_notice
from nextclick.serving import Recommender
from nextclick.serving.request import RecommendationRequest, to_batch

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")
pytestmark = pytest.mark.encoders

ALL = CASES | FURTHER_CASES | SERVED_CASES
SOME = ("asars", "asars attention-repeat", "csrm", "cosine-gru")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return prepared_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def narm(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("narm") / "model"
    untrained(store, "narm").save(folder)
    return folder


def requests_of(recommender, rng):
    """Requests of each length, with and without times, users and items that repeat."""
    artifact = recommender.artifact
    n_items, users = artifact.model.n_items, artifact.users
    found = []
    for n in (*range(1, MAX_LENGTH + 1), MAX_LENGTH + 4):
        for known in (False, True):
            items = rng.integers(1, min(n_items, 2 * n) + 1, n)
            earlier = [
                (artifact.items.raw_ids(rng.integers(1, 9, length)), -5000.0 * (n - length))
                for length in range(1, n)
            ]
            times = np.cumsum(rng.exponential(60.0, n)).tolist() if known else None
            user = users.raw(int(rng.integers(1, len(users) + 1))) if known and users else None
            session = artifact.items.raw_ids(items)
            now = times[-1] + 7.5 if known else None
            found.append(
                RecommendationRequest(
                    session, 5, times=times, user=user, now=now, history=earlier * known
                )
            )
    return [recommender.resolve(one) for one in found]


def check_case(store, folder, case):
    trained = untrained(store, case)
    trained.save(folder)
    recommender = Recommender.load(folder)
    served = recommender.artifact.model
    assert isinstance(served, ExportedModel)
    assert (served.name, served.capabilities) == (trained.model.name, trained.model.capabilities)
    assert served.requires(served.config) == trained.model.requires(trained.model.config)
    requests = requests_of(recommender, np.random.default_rng(0))
    batch = to_batch(requests)
    expected = trained.model.score(batch)
    np.testing.assert_allclose(served.score(batch)[:, 1:], expected[:, 1:], rtol=0, atol=1e-4)
    for request, (items, scores), row in zip(
        requests, recommender.searcher.top(requests), expected, strict=True
    ):
        np.testing.assert_allclose(scores, row[items], rtol=0, atol=1e-4)
        best = np.sort(row[1:])[::-1][: len(items)]
        np.testing.assert_allclose(scores, best, rtol=0, atol=1e-4)
        check_explained(served, trained.model, to_batch([request]))


def check_explained(served, trained, batch):
    none = np.empty(0, np.int32)
    found, expected = served.explain(batch, none), trained.explain(batch, none)
    assert [one.name for one in found.attention] == [one.name for one in expected.attention]
    for one, other in zip(found.attention, expected.attention, strict=True):
        np.testing.assert_allclose(one.weights, other.weights, rtol=0, atol=1e-4)
        assert one.clicks.tolist() == other.clicks.tolist()
    assert (found.neighbors is None) == (expected.neighbors is None)
    for one, other in zip(found.neighbors or (), expected.neighbors or (), strict=True):
        assert one.session == other.session
        assert one.vote == pytest.approx(other.vote, abs=1e-4)


# one for each kind of input and of evidence; an export takes seconds
@pytest.mark.parametrize("case", SOME)
def test_served_as_trained(store, tmp_path, case):
    check_case(store, tmp_path / "model", case)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in ALL if case not in SOME])
def test_served_as_trained_in_every_variant(store, tmp_path, case):
    check_case(store, tmp_path / "model", case)


def test_empty_sessions_score_zero(narm):
    model = Recommender.load(narm).artifact.model
    scores = model.score(SessionBatch.from_lists([[], [3, 1]]))
    assert (scores[0] == 0).all()
    assert (scores[1, 1:] != 0).any()


SERVE = """
import asyncio, sys
import httpx
from nextclick.serving.app import App
from nextclick.serving.settings import Settings

app = App(Settings(models={"m": sys.argv[1]}, timeout=600.0).checked())
app.load_models()

async def ask():
    transport = httpx.ASGITransport(app.asgi)
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
    async with app.lifespan(), client:
        body = {"session": [int(sys.argv[2])], "k": 3, "explain": True}
        answer = await client.post("/v1/recommend", json=body)
        print(answer.status_code, answer.json()["explanation"]["kind"])

asyncio.run(ask())
print("torch" in sys.modules)
"""


def test_a_server_imports_no_torch(narm, store):
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(narm), str(store.items.raw(1))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["200", "attention", "False"], done.stderr


# The file -----------------------------------------------------------------------------------------


def test_the_item_table_is_stored_once(store, tmp_path):
    untrained_model(store, "youtube-dnn", width=400).save(tmp_path / "model")
    size = {file.name: file.stat().st_size for file in (tmp_path / "model").iterdir()}
    assert size["encoder.onnx"] < 10_000 < size["weights.safetensors"]
    assert "encoder.onnx" in json.loads((tmp_path / "model" / MANIFEST).read_text())["files"]


def test_a_member_of_a_blend(store, tmp_path):
    from nextclick.models.blended.blend import Blend, BlendConfig
    from nextclick.models.blended.item_counts import ItemCounts
    from nextclick.models.classical.markov import Markov

    sessions = store.part("train")
    narm = untrained(store, "narm")
    markov = Markov.fit(sessions, Markov.Config(), seed=0, progress=lambda *_: None)
    label = f"narm@default+max_length={MAX_LENGTH}+hidden_width=5+embedding_width=4"
    config = BlendConfig(members=(label, "markov"))
    weights = np.linspace(0.1, 1.0, 11)  # two features of each member, and seven others
    trained = Blend(config, [narm.model, markov], ItemCounts.from_sessions(sessions), weights)
    artifact = Artifact(trained, narm.items, narm.support, narm.trained)
    artifact.save(tmp_path / "model")
    recommender = Recommender.load(tmp_path / "model")
    served = recommender.artifact.model
    assert isinstance(served.members[0], ExportedModel)
    assert pytorch_notice(served) is None
    requests = requests_of(recommender, np.random.default_rng(0))
    for (items, scores), row in zip(
        recommender.searcher.top(requests), trained.score(to_batch(requests)), strict=True
    ):
        np.testing.assert_allclose(scores, row[items], rtol=0, atol=1e-3)


def test_a_graph_that_differs_from_the_model_is_not_written(store, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(encoder_file, "TOLERANCE", -1.0)
    with caplog.at_level(logging.INFO, "nextclick.artifact"):
        untrained(store, "stamp").save(tmp_path / "model")
    assert "stamp is served by PyTorch: its exported graph differs from the model" in caplog.text
    assert not (tmp_path / "model" / "encoder.onnx").exists()
    served = Recommender.load(tmp_path / "model").artifact.model
    assert not isinstance(served, ExportedModel)


def test_a_missing_package_leaves_the_model_to_pytorch(store, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_file, "_PACKAGES", ("torch", "no_such_package"))
    untrained(store, "stamp").save(tmp_path / "model")
    recommender = Recommender.load(tmp_path / "model")
    assert len(recommender.recommend([[recommender.artifact.items.raw(1)]], 3)[0].items) == 3
    assert "PyTorch computes stamp" in pytorch_notice(recommender.artifact.model)


def test_models_that_need_pytorch_have_no_notice(store):
    assert pytorch_notice(untrained_model(store, "lessr", width=4).model) is None
    assert pytorch_notice(untrained(store, "asars").model) is not None


def test_a_damaged_graph_is_named(narm, tmp_path):
    folder = copied(narm, tmp_path)
    (folder / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(ArtifactError, match=r"this artifact is broken: .*encoder\.onnx"):
        Recommender.load(folder)
    write_again(folder)
    with pytest.raises(ArtifactError, match="ONNX Runtime cannot load the graph"):
        Recommender.load(folder)


def test_a_graph_with_other_metadata_is_refused(narm, tmp_path):
    onnx = pytest.importorskip("onnx")
    folder = copied(narm, tmp_path)
    graph = onnx.load(folder / "encoder.onnx", load_external_data=False)
    (facts,) = graph.metadata_props
    values = json.loads(facts.value)
    for text, field in (("", "the metadata"), (json.dumps(values | {"reads": [1]}), "reads.0")):
        facts.value = text
        onnx.save(graph, folder / "encoder.onnx")
        write_again(folder)
        with pytest.raises(ArtifactError, match=rf"not those of nextclick: {field}: .*train again"):
            Recommender.load(folder)
    for table, message in (
        ("no_such_array", "no_such_array"),
        ("gru.weight_hh_l0", r"queries of 4 numbers, .* have the shape \(15, 5\); train again"),
    ):
        facts.value = json.dumps(values | {"table": table})
        onnx.save(graph, folder / "encoder.onnx")
        write_again(folder)
        with pytest.raises(ArtifactError, match=message):
            Recommender.load(folder)


def test_a_graph_without_its_weights_is_refused(narm, tmp_path):
    folder = copied(narm, tmp_path)
    weights = load_file(folder / "weights.safetensors")
    weights["items.weight"] = weights["items.weight"][:, :3].copy()
    save_file(weights, folder / "weights.safetensors")
    write_again(folder)
    with pytest.raises(ArtifactError, match="train again"):
        Recommender.load(folder)


@pytest.mark.parametrize("change", [{"model": "stamp"}, {"config": {"embedding_width": 7}}])
def test_a_graph_of_another_training_is_refused(narm, tmp_path, change):
    folder = copied(narm, tmp_path)
    write_again(folder, change)
    with pytest.raises(ArtifactError, match="that of another training of narm"):
        Recommender.load(folder)


def copied(folder, target):
    return shutil.copytree(folder, target / "copy")


def write_again(folder, change=None):
    """Write the manifest of changed files."""
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).unlink()
    for name, value in (change or {}).items():
        manifest[name] = manifest[name] | value if isinstance(value, dict) else value
    write_manifest(folder, {k: v for k, v in manifest.items() if k not in ("files", "digest")})


def test_a_model_that_answers_requests_cannot_be_saved(narm, tmp_path):
    artifact = Recommender.load(narm).artifact
    with pytest.raises(ConfigError, match="was loaded to answer requests"):
        artifact.save(tmp_path / "again")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"history": "state"}, "asars with history=state cannot be exported"),
        ({"history": "attention", "history_chain": "cut"}, "and history_chain"),
        ({"history": "repeat", "first_click": True}, "first_click=true cannot be exported, becau"),
    ],
)
def test_histories_that_pytorch_reads(store, values, message):
    model = untrained_model(store, "asars", **values).model
    with pytest.raises(ConfigError, match=message):
        check_exportable(model, batches=False)
