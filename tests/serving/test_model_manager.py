import json
import shutil
import time

import pytest

from nextclick import train
from nextclick.errors import ArtifactError, RequestError, ScoringError, SourceError
from nextclick.serving.model_manager import ModelManager
from nextclick.serving.model_versions import ArtifactSource
from serving_cases import TOKEN, Client, make_app, neural_artifact

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def registry(tmp_path):
    """A registry with two versions of NARM, the first one current."""
    kind = pytest.importorskip("nextclick.artifact.version_registry").Registry
    found = kind.create(tmp_path / "registry")
    for seed in (0, 1):
        found.publish(neural_artifact("narm", seed))
    found.activate("v1")
    return found


def spoil(folder, store=None):
    """Break the weights of an artifact."""
    (folder / "weights.safetensors").write_bytes(b"nothing")


def test_a_new_artifact_in_the_place_of_the_old_one_is_taken(store, tmp_path):
    place = tmp_path / "m"
    train(store, "pop", place)
    results = []
    models = ModelManager({"m": place}, on_change=lambda *change: results.append(change))
    old = models.slot(None).loaded
    models.reload()
    assert models.slot("m").loaded is old
    train(store, "markov", place, overwrite=True)
    models.reload()
    assert models.slot("m").loaded.recommender.artifact.model.name == "markov"
    assert old.recommender.recommend([[10]], k=2)[0].items  # who holds it may go on
    assert results == [("m", "swapped")]


def test_a_broken_version_is_refused_once_and_the_old_one_stays(store, tmp_path, caplog):
    place = tmp_path / "m"
    train(store, "pop", place)
    results = []
    models = ModelManager({"m": place}, on_change=lambda *change: results.append(change))
    old = models.slot(None).loaded
    spoil(place)
    models.reload()
    models.reload()
    assert models.slot(None).loaded is old
    assert results == [("m", "refused")]
    ((_, reason),) = models.slot(None).rejected.items()
    assert reason.startswith("ArtifactError")
    assert f"{old.version.name} stays" in caplog.text
    shutil.rmtree(place)
    models.reload()  # its place is gone: said, and nothing else
    assert "cannot read its versions" in caplog.text
    train(store, "markov", place)
    models.reload()
    assert models.slot(None).loaded.recommender.artifact.model.name == "markov"


def test_weights_that_are_not_finite_are_refused(tmp_path):
    import torch

    artifact = neural_artifact("narm")
    with torch.no_grad():
        artifact.model.encoder.items.weight[1:] = float("nan")
    artifact.save(tmp_path / "m")
    with pytest.raises(ArtifactError, match=r"items\.weight has a value that is not finite"):
        ModelManager({"m": tmp_path / "m"})


def test_scores_that_are_not_finite_are_refused(store, tmp_path, monkeypatch):
    artifact = train(store, "pop", tmp_path / "m")
    score = type(artifact.model).score
    monkeypatch.setattr(
        type(artifact.model), "score", lambda self, batch: score(self, batch) + float("inf")
    )
    with pytest.raises(ScoringError, match="a score of an item is not finite; train the model"):
        ModelManager({"m": tmp_path / "m"})


def test_a_search_is_tried_before_it_is_used(tmp_path, monkeypatch, caplog):
    from nextclick.serving.search import dot_product
    from nextclick.serving.search.bounded_exact import BoundedIndex

    neural_artifact("narm", n_items=500).save(tmp_path / "m")
    assert ModelManager({"m": tmp_path / "m"}).slot("m").loaded.search == {"method": "exhaustive"}
    monkeypatch.setattr(dot_product, "_MIN_INDEXED_SIZE", 0)
    loaded = ModelManager({"m": tmp_path / "m"}).slot("m").loaded
    assert loaded.search == {"method": "bounded", "recall": 1.0, "requests": 30}
    whole = BoundedIndex.top

    def misses_the_first(self, query, request):
        found, read = whole(self, query, request)
        return (None if found is None else (found[0][1:], found[1][1:])), read

    monkeypatch.setattr(BoundedIndex, "top", misses_the_first)
    loaded = ModelManager({"m": tmp_path / "m"}).slot("m").loaded
    assert loaded.search == {"method": "exhaustive"}
    assert loaded.recommender.searcher.index is None
    assert "bounded search missed 0.0500 of the top items: disabled" in caplog.text


@pytest.fixture
def everywhere(tmp_path, monkeypatch):
    """A model whose items point everywhere alike, so that bounds rule little out."""
    import torch

    from nextclick.serving.search import dot_product

    monkeypatch.setattr(dot_product, "_MIN_INDEXED_SIZE", 0)
    artifact = neural_artifact("narm", n_items=4000)
    with torch.no_grad():
        items = artifact.model.encoder.items.weight
        drawn = torch.randn(items[1:].shape, generator=torch.Generator().manual_seed(0))
        items[1:] = torch.nn.functional.normalize(drawn, dim=1)
    artifact.save(tmp_path / "m")
    return tmp_path / "m"


@pytest.fixture
def approximated(everywhere, monkeypatch):
    """The same; its exact search counts as slow, and the approximation as faster."""
    from nextclick.serving.search import quantized_index, search_check

    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    monkeypatch.setattr(quantized_index, "_MAX_SHARE", 0.25)
    seconds = search_check.RecallCheck.seconds
    monkeypatch.setattr(search_check, "_MIN_EXACT_SECONDS", 0.0)
    monkeypatch.setattr(
        search_check.RecallCheck,
        "seconds",
        lambda self: 1.0 if self._searcher.approximate is None else seconds(self),
    )
    return everywhere


def test_a_slow_search_is_approximated(approximated):
    from nextclick.serving.search.search_check import RecallCheck
    from nextclick.serving.warm_up import sample_requests

    loaded = ModelManager({"m": approximated}, min_recall=0.7).slot("m").loaded
    search, searcher = loaded.search, loaded.recommender.searcher
    assert (search["method"], search["requests"]) == ("quantized", 60)
    assert search["candidates_per_item"] == searcher.approximate.candidates_per_item
    assert 0.7 <= search["recall"] <= 1.0
    check = RecallCheck(searcher, sample_requests(loaded.recommender, 50))
    assert 0.65 <= check.recall() < 1.0
    searcher.approximate = None
    assert check.recall() == 1.0


def test_the_fewest_candidates_that_reach_the_recall_are_used(approximated):
    found = [
        ModelManager({"m": approximated}, min_recall=recall).slot("m").loaded.search
        for recall in (0.5, 0.8)
    ]
    assert found[0]["candidates_per_item"] < found[1]["candidates_per_item"]


def test_the_setting_reaches_the_search(approximated):
    app = make_app({"m": approximated}, min_recall=0.7)
    assert app.models.slot("m").loaded.search["method"] == "quantized"


def test_an_approximation_below_the_recall_is_refused(approximated, monkeypatch, caplog):
    from nextclick.serving.search import search_check

    monkeypatch.setattr(search_check, "_CANDIDATES", (1, 2))
    loaded = ModelManager({"m": approximated}, min_recall=0.99).slot("m").loaded
    assert loaded.search == {"method": "bounded", "recall": 1.0, "requests": 60}
    assert loaded.recommender.searcher.approximate is None
    assert "of the top items, below --min-recall 0.99: disabled" in caplog.text


@pytest.mark.parametrize("reason", ["exact", "fast", "few items", "slower"])
def test_other_searches_stay_exact(approximated, monkeypatch, reason):
    from nextclick.serving.search import search_check

    if reason == "fast":
        monkeypatch.setattr(search_check, "_MIN_EXACT_SECONDS", 10.0)
    if reason == "few items":
        monkeypatch.setattr(search_check, "MIN_ITEMS", 4001)
    if reason == "slower":
        check = search_check.RecallCheck
        monkeypatch.setattr(check, "seconds", lambda self: 1.0 + bool(self._searcher.approximate))
    min_recall = 1.0 if reason == "exact" else 0.7
    loaded = ModelManager({"m": approximated}, min_recall=min_recall).slot("m").loaded
    n = 30 if reason == "exact" else 60
    assert loaded.search == {"method": "bounded", "recall": 1.0, "requests": n}
    assert loaded.recommender.searcher.approximate is None


def test_an_approximation_needs_faiss(tmp_path, monkeypatch):
    from nextclick.core import extra_packages

    def without(package):
        raise ImportError(package)

    neural_artifact("narm", n_items=500).save(tmp_path / "m")
    monkeypatch.setattr(extra_packages, "import_module", without)
    message = r"--min-recall: the package faiss is missing; .*pip install 'nextclick\[faiss\]'"
    with pytest.raises(SourceError, match=message):
        ModelManager({"m": tmp_path / "m"}, min_recall=0.9)
    ModelManager({"m": tmp_path / "m"})


def test_a_model_that_scores_all_items_alike_has_nothing_to_miss(tmp_path, monkeypatch):
    import torch

    from nextclick.serving.search import dot_product

    artifact = neural_artifact("narm", n_items=500)
    with torch.no_grad():
        artifact.model.encoder.items.weight.zero_()
    artifact.save(tmp_path / "m")
    monkeypatch.setattr(dot_product, "_MIN_INDEXED_SIZE", 0)
    loaded = ModelManager({"m": tmp_path / "m"}).slot("m").loaded
    assert loaded.search == {"method": "bounded", "recall": 1.0, "requests": 30}


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(ArtifactError, match="is not an artifact"):
        ModelManager({"m": tmp_path})
    with pytest.raises(ArtifactError, match="is not an artifact"):
        ArtifactSource(tmp_path / "none").current()


def test_versions_are_swapped_under_load_and_no_request_fails(store, tmp_path):
    place = tmp_path / "m"
    train(store, "session-knn", place)
    app = make_app({"m": place}, reload_interval=0.05, max_queue=1000)
    asked = [("POST", "/v1/recommend", {"json": {"session": [10, 20], "k": 2}})] * 20
    versions, statuses = set(), []
    with Client(app) as client:
        for n in range(8):
            if n == 4:
                spoil(place)
            elif n:
                train(store, ("markov", "session-knn")[n % 2], place, overwrite=True)
            until = time.monotonic() + 0.4
            while time.monotonic() < until:
                for answer in client.together(asked):
                    statuses.append(answer.status_code)
                    versions.add(answer.json().get("version"))
        assert set(statuses) == {200}
        assert len(versions) >= 3
        assert client.get("/v1/models").json()["models"][0]["rejected"]
        assert 'result="refused"' in client.get("/metrics").text


def test_versions_of_a_registry_are_activated(registry):
    app = make_app({"m": registry.path}, token=TOKEN, reload_interval=0.05)

    def activate(**asked):
        return client.post("/v1/models/activate", asked, headers=BEARER)

    with Client(app) as client:
        assert client.get("/v1/models").json()["models"][0]["versions"] == ["v1", "v2"]
        told = activate(version="v2").json()
        assert (told["version"], registry.current().name) == ("v2", "v2")
        assert activate(path=str(registry.path / "versions" / "v1")).json()["version"] == "v1"
        for asked, field in (
            ({"version": "v9"}, "version"),
            ({"path": "/etc"}, "path"),
            ({"path": "\x00"}, "path"),
        ):
            refused = activate(**asked)
            assert (refused.status_code, refused.json()["field"]) == (404, field)
            assert "has no such version in its folder" in refused.json()["problem"]
        assert activate().status_code == 422
        broken = registry.publish(neural_artifact("narm", 2)).path
        registry.activate("v1")
        spoil(broken)
        refused = activate(version="v3")
        assert refused.status_code == 409
        assert "version rejected, v1 stays active" in refused.json()["problem"]
        assert registry.current().name == "v1"
        registry.activate("v2")
        until = time.monotonic() + 20
        while time.monotonic() < until:
            client.get("/healthz")
            client.run(__import__("asyncio").sleep(0.05))
            if client.get("/v1/models").json()["models"][0]["version"] == "v2":
                break
        assert client.get("/v1/models").json()["models"][0]["version"] == "v2"


def test_an_artifact_alone_has_one_version(knn):
    models = ModelManager({"knn": knn})
    slot = models.slot("knn")
    models.activate(slot, None, str(knn))
    with pytest.raises(RequestError, match="give either version or path, not both"):
        models.activate(slot, None, None)
    with pytest.raises(RequestError, match="model knn has no such version in its folder"):
        models.activate(slot, None, str(knn.parent))
    assert json.loads((knn / "manifest.json").read_text())["model"] == "session-knn"


def test_a_broken_version_is_not_activated(store, tmp_path):
    place = tmp_path / "m"
    train(store, "pop", place)
    models = ModelManager({"m": place})
    old = models.slot("m").loaded
    spoil(place)
    with pytest.raises(RequestError, match=r"version rejected, .* stays active: ArtifactError"):
        models.activate(models.slot("m"), None, str(place))
    assert models.slot("m").loaded is old
