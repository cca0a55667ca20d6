"""Features of items: rows of values, sums of embeddings, items without a click, trained models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file, save_file

from nextclick import PrepareOptions, evaluate, export_onnx, prepare, train
from nextclick.artifact import Artifact
from nextclick.core.item_columns import Categories, CategoryColumn, NumberColumn, TextColumn
from nextclick.core.item_table import ItemTable
from nextclick.core.manifests import rewrite_manifest
from nextclick.core.vocabulary import Vocabulary
from nextclick.data.options import FilterOptions, ItemOptions, SplitOptions
from nextclick.errors import ArtifactError, ConfigError
from nextclick.models.exported.exported_model import ExportedModel
from nextclick.models.features.item_embedding import ItemEmbedding
from nextclick.models.features.item_features import (
    Feature,
    ItemFeatures,
    feature_columns,
    known_items,
)
from nextclick.models.neural.narm import NARMConfig
from nextclick.serving import Recommender
from nextclick.serving.request import RecommendationRequest, to_batch
from nextclick.training import run_log
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.data.store import Store

CLICKED = np.array([False, True, True, True, True, False])  # item 5 is not clicked


def labels(*values: str, name: str = "brand") -> CategoryColumn:
    distinct = sorted(set(values) - {""})
    codes = [0, *(distinct.index(value) + 1 if value else 0 for value in values)]
    vocabulary = Vocabulary.from_strings(distinct)
    return CategoryColumn(name, Categories(np.array(codes, dtype=np.int32), vocabulary))


def numbers(*values: float, name: str = "price") -> NumberColumn:
    return NumberColumn(name, np.array([np.nan, *values]))


def texts(*values: str, name: str = "title") -> TextColumn:
    return TextColumn(name, Vocabulary.from_strings(values))


def test_rare_and_unknown_labels_share_a_row() -> None:
    column = labels("b", "a", "b", "c", "a")
    feature = Feature.learn(column, CLICKED)  # b twice, a and c once among the clicked items
    assert feature.n_rows == 3  # missing, shared, b
    assert feature.rows(column)[:, 0].tolist() == [0, 2, 1, 2, 1, 1]
    later = labels("b", "", "new")
    assert feature.rows(later)[:, 0].tolist() == [0, 2, 0, 1]


def test_bins_are_quantiles_of_clicked_items() -> None:
    column = numbers(1.0, 2.0, 3.0, 4.0, 1e9)
    feature = Feature.learn(column, CLICKED)
    assert feature.bounds is not None
    assert feature.bounds.max() < 4.0  # the price of item 5 has no effect
    rows = feature.rows(column)[:, 0]
    assert rows[0] == 0
    assert rows[1] == 1
    assert rows[5] == rows[4] == feature.n_rows - 1
    assert feature.rows(numbers(np.nan, -5.0))[:, 0].tolist() == [0, 0, 1]
    empty = Feature.learn(numbers(np.nan), np.array([False, True]))
    assert empty.n_rows == 2


def test_texts_share_words_and_parts_of_words() -> None:
    column = texts("Red shoes", "red shoe", "", "Lamp", "red lamps")
    feature = Feature.learn(column, CLICKED)
    rows = [set(row) - {0} for row in feature.rows(column)]
    assert rows[0] == rows[3] == set()
    assert rows[1] & rows[2]  # red, and parts of shoe
    assert rows[4] & rows[5]
    assert feature.n_rows == 257


def test_a_text_has_a_limited_number_of_rows() -> None:
    column = texts(" ".join(f"word{n}" for n in range(200)))
    feature = Feature.learn(column, np.array([False, True]))
    assert feature.rows(column).shape == (2, 48)


def test_a_column_of_another_kind_is_refused() -> None:
    feature = Feature.learn(numbers(1.0, 2.0), np.array([False, True, True]))
    with pytest.raises(ConfigError, match="trained with the kind number; prepare the log"):
        feature.rows(labels("a", "b", name="price"))


def embedding() -> tuple[ItemEmbedding, ItemFeatures]:
    """Two features: labels of items 1 to 3, and words of two rows."""
    features = ItemFeatures(
        (Feature("brand", 3, keys=np.array([7])), Feature("title", 3)),
        (
            np.array([[0], [2], [1], [2]], dtype=np.int32),
            np.array([[0, 0], [1, 2], [1, 0], [0, 0]], dtype=np.int32),
        ),
        np.array([False, True, True, False]),
    )
    items = ItemEmbedding(3, 2, features)
    with torch.no_grad():
        items.weight.copy_(torch.tensor([[0.0, 0], [1, 1], [2, 2], [9, 9]]))
        items.begin_training(features)
        items.features[0].rows.weight.copy_(torch.tensor([[0.0, 0], [10, 0], [20, 0]]))
        items.features[1].rows.weight.copy_(torch.tensor([[0.0, 0], [0, 2], [0, 4]]))
    return items, features


def test_vectors_are_sums_of_embeddings() -> None:
    items, _ = embedding()
    expected = [[0, 0], [1 + 20, 1 + 3], [2 + 10, 2 + 2], [20, 0]]  # item 3 has no own embedding
    assert items.eval().vectors().tolist() == expected
    assert items(torch.tensor([[1, 0], [3, 2]])).tolist() == [
        [expected[1], expected[0]], [expected[3], expected[2]]
    ]  # fmt: skip


def test_the_vectors_replace_the_own_embeddings() -> None:
    items, features = embedding()
    vectors = items.eval().vectors().clone()
    items.end_training()
    assert not items.adds_features
    assert items.weight.tolist() == vectors.tolist() == items.vectors().tolist()
    items.begin_training(features)  # separates them again
    assert items.weight.tolist() == [[0, 0], [1, 1], [2, 2], [0, 0]]
    assert items.vectors().tolist() == vectors.tolist()


def test_items_without_a_click_are_no_candidates_of_a_loss() -> None:
    items, _ = embedding()
    assert items.train().candidate_bias(None).tolist() == [-1e4, 0, 0, -1e4]
    assert items.candidate_bias(torch.ones(4)).tolist() == [-1e4, 1, 1, -1e4]
    assert items.eval().candidate_bias(None) is None
    scores = torch.tensor([[1.0, 2.0]]) @ items.train().vectors().T + items.candidate_bias(None)
    (-scores.log_softmax(1)[0, 1]).backward()
    assert items.weight.grad[3].tolist() == [0, 0]
    assert items.weight.grad[2].abs().sum() > 0


def test_own_embeddings_are_left_out_at_random() -> None:
    items, _ = embedding()
    items.id_dropout = 0.5
    torch.manual_seed(0)
    vectors = items.train()(torch.ones(1000, dtype=torch.long))
    kept = vectors[:, 0] == 21
    assert 400 < int(kept.sum()) < 600
    assert bool((vectors[~kept, 0] == 20).all())


def test_known_items() -> None:
    table = ItemTable(3, [labels("a", "", "b"), numbers(1, 2, np.nan)])
    support = np.array([0, 0, 5, 0])
    config = NARMConfig()
    assert known_items(config, support, table).tolist() == [False, False, True, False]
    config = NARMConfig(features="brand")
    assert known_items(config, support, table).tolist() == [False, True, True, True]
    config = NARMConfig(features="price, brand")
    assert [column.name for column in feature_columns(config, table)] == ["price", "brand"]
    with pytest.raises(ConfigError, match="features=price,brand reads the item table, and"):
        feature_columns(config, None)


# trained models

TINY = {"epochs": 4, "batch_size": 64, "min_steps": 0, "loss": "ce", "negatives": 0}
WIDTHS = {
    "narm": {"embedding_width": 8, "hidden_width": 8},
    "sasrec": {"width": 8, "blocks": 1},
    "asars": {"item_width": 8, "hidden_width": 8, "variant": "time_att"},
    "cosine-gru": {"width": 8, "sparse": False, "choose_order": False},
}


def shop(folder: Path, **of: Any) -> Store:
    """Sessions within one of four categories; items 41 to 48 are clicked in the test only."""
    rng = np.random.default_rng(0)
    rows = []
    for session in range(300):
        category = session % 4
        known = np.arange(category, 40, 4) + 1
        new = np.arange(40 + category, 48, 4) + 1
        clicks = rng.choice(known, 4)
        if session >= 270:
            clicks[2:] = rng.choice(new, 2)
        rows += [(session, int(item), session * 1000 + n) for n, item in enumerate(clicks)]
    log = pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])
    log = log.with_columns(pl.col("time") + 1_700_000_000)
    items = pl.DataFrame(
        {
            "item": range(1, 51),
            "category": [f"c{n % 4}" for n in range(50)],
            "price": [float(n % 10) for n in range(50)],
            "title": [f"thing {n} of kind{n % 4}" for n in range(50)],
        }
    )
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.1),
        item_table=ItemOptions(**{"source": items, "catalog": "all"} | of),
    )
    return prepare(log, folder, options=options).store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return shop(tmp_path_factory.mktemp("shop") / "store")


def trained(store: Store, model: str, output: Path, **values: Any) -> Artifact:
    config = TINY | WIDTHS[model] | {"features": "category,price,title"} | values
    options = NeuralOptions(device="cpu")
    return train(store, model, output, config=config, neural=options)


@pytest.mark.parametrize("model", WIDTHS)
def test_a_trained_model_ranks_items_without_a_click(
    store: Store, tmp_path: Path, model: str
) -> None:
    artifact = trained(store, model, tmp_path / "model", epochs=12, learning_rate=0.02)
    assert artifact.candidates is None
    result = evaluate(artifact, store, ks=[12]).evaluation
    assert result["counts"]["unseen_targets"] == 0
    assert result["counts"]["prefixes"] == 90
    # twelve items share the category of a session
    assert result["metrics"]["recall@12"]["value"] > 0.8
    loaded = Artifact.load(tmp_path / "model")
    assert_served_as_offline(loaded, Recommender(loaded))


@pytest.mark.encoders
def test_an_exported_encoder_serves_items_without_a_click(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    artifact = trained(store, "narm", tmp_path / "model")
    recommender = Recommender.load(tmp_path / "model")
    assert isinstance(recommender.artifact.model, ExportedModel)
    assert_served_as_offline(artifact, recommender)


def assert_served_as_offline(artifact: Artifact, recommender: Recommender) -> None:
    sessions: list[list[Any]] = [[1, 5, 9], [41, 45], [2, 42, 6, 2]]
    answers = recommender.recommend(sessions, k=50)
    resolved = [recommender.resolve(RecommendationRequest(s, 50)) for s in sessions]
    offline = artifact.model.score(to_batch(resolved))  # (B, N + 1)
    for answer, row in zip(answers, offline, strict=True):
        assert answer.from_model >= 49
        indices = artifact.items.indices(answer.items)[: answer.from_model]
        assert set(indices) >= set(range(41, 49))
        served = np.array(answer.scores[: answer.from_model], dtype=np.float64)
        np.testing.assert_allclose(served, row[indices], rtol=1e-4, atol=1e-4)


def test_the_artifact_is_a_table_of_vectors(store: Store, tmp_path: Path) -> None:
    artifact = trained(store, "narm", tmp_path / "model")
    loaded = Artifact.load(tmp_path / "model")
    state = loaded.model.state()
    assert sorted(name for name in state if name.startswith("items.")) == [
        "items.features.0.keys",
        "items.features.0.rows.weight",
        "items.features.1.bounds",
        "items.features.1.rows.weight",
        "items.features.2.rows.weight",
        "items.weight",
    ]
    for name, array in artifact.model.state().items():
        np.testing.assert_array_equal(array, state[name])
    features = loaded.model.features
    assert features is not None
    columns = feature_columns(loaded.model.config, loaded.item_table)
    rows = features.of_items(columns, loaded.support > 0).rows
    assert rows is not None
    weights = [torch.from_numpy(state[f"items.features.{n}.rows.weight"]) for n in range(3)]
    vector = weights[0][rows[0][41, 0]] + weights[1][rows[1][41, 0]]
    tokens = rows[2][41][rows[2][41] > 0]
    vector = vector + weights[2][tokens].mean(0)
    np.testing.assert_allclose(state["items.weight"][41], vector, atol=1e-6)
    assert loaded.model.item_arrays == ("items.weight",)


def test_without_features_they_are_no_candidates(store: Store, tmp_path: Path) -> None:
    for model, values in (("pop", {}), ("item-knn", {}), ("narm", TINY | WIDTHS["narm"])):
        train(store, model, tmp_path / model, config=values)
        artifact = Artifact.load(tmp_path / model)
        candidates = artifact.candidates
        assert candidates is not None
        assert np.flatnonzero(candidates).tolist() == list(range(1, 41))
        result = evaluate(artifact, store, ks=[12]).evaluation
        assert result["counts"]["unseen_targets"] == 60
        answer = Recommender(artifact).recommend([[1, 41]], k=50)[0]
        assert answer.unknown == [41]
        assert set(answer.items) <= set(range(1, 41))


def test_the_metrics_of_counting_models_are_those_without_the_table(
    store: Store, tmp_path: Path
) -> None:
    plain = shop(tmp_path / "plain", catalog="clicked")
    for model in ("pop", "session-knn"):
        values = []
        for one in (store, plain):
            result = evaluate(train(one, model), one, ks=[12], n_bootstrap=0).evaluation
            values.append(result["metrics"]["recall@12"]["value"])
        # the sessions of the plain store lack the clicks on new items, which are unknown in both
        assert values[0] == pytest.approx(values[1])


def test_features_must_be_columns_of_the_store(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no column 'colour'.*it has category, price, title"):
        trained(store, "narm", tmp_path / "a", features="colour")
    plain = shop(tmp_path / "plain", source=None, catalog="clicked")
    with pytest.raises(ConfigError, match="there is none: prepare the log with --items FILE"):
        trained(plain, "narm", tmp_path / "b")


def test_sampled_losses_train_features(store: Store, tmp_path: Path) -> None:
    sampled = {"loss": "sampled", "negatives": 16, "full_softmax_items": 0, "learning_rate": 0.02}
    for model, alpha in (("narm", 0.0), ("sasrec", 0.5), ("asars", 0.5), ("cosine-gru", 0.5)):
        sparse = model != "asars"
        values = sampled | {"negative_alpha": alpha, "sparse": sparse, "epochs": 12}
        artifact = trained(store, model, tmp_path / model, **values)
        result = evaluate(artifact, store, ks=[12]).evaluation
        assert result["metrics"]["recall@12"]["value"] > 0.5, model


def test_values_of_items_without_a_click_do_not_change_what_is_learned() -> None:
    """Features are static, and only those of clicked items decide what is learned."""
    table = ItemTable(5, [labels("b", "a", "b", "c", "a"), numbers(1, 2, 3, 4, 1e9)])
    other = ItemTable(5, [labels("b", "a", "b", "c", "z"), numbers(1, 2, 3, 4, 5)])
    for first, second in zip(table.columns, other.columns, strict=True):
        one, two = Feature.learn(first, CLICKED), Feature.learn(second, CLICKED)
        assert one.n_rows == two.n_rows
        assert one.rows(first)[:5].tolist() == two.rows(second)[:5].tolist()


def test_the_exported_graph_ranks_the_candidates(store: Store, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    trained(store, "narm", tmp_path / "features", epochs=1)
    train(store, "narm", tmp_path / "plain", config=TINY | WIDTHS["narm"] | {"epochs": 1})
    for name, n_ranked in (("features", 50), ("plain", 40)):
        export_onnx(tmp_path / name, tmp_path / f"{name}-onnx")  # compares the scores
        session = onnxruntime.InferenceSession(tmp_path / f"{name}-onnx" / "model.onnx")
        feed = {"items": np.array([[1, 5]], dtype=np.int64), "lengths": np.array([2])}
        (scores,) = session.run(["scores"], feed)
        assert int(np.isfinite(scores).sum()) == n_ranked


def test_damaged_features_are_refused(store: Store, tmp_path: Path) -> None:
    trained(store, "narm", tmp_path / "model", epochs=1)
    file = tmp_path / "model" / "weights.safetensors"
    state = load_file(file)
    for name, array, reason in (
        (
            "items.features.0.keys",
            state["items.features.0.keys"].astype(np.float32),
            "keys must be",
        ),
        ("items.features.1.bounds", np.zeros(3, np.int64), "bounds must be float64"),
    ):
        save_file(state | {name: array}, file)
        rewrite_manifest(tmp_path / "model")
        with pytest.raises(ArtifactError, match=reason):
            Artifact.load(tmp_path / "model")
    del state["items.features.2.rows.weight"]
    save_file(state, file)
    rewrite_manifest(tmp_path / "model")
    with pytest.raises(ArtifactError, match=r"items\.features\.2\.rows\.weight' is missing"):
        Artifact.load(tmp_path / "model")


def test_a_blend_recommends_no_item_without_a_click(store: Store, tmp_path: Path) -> None:
    train(store, "blend", tmp_path / "model", config={"members": "item-knn,session-knn,markov"})
    artifact = Artifact.load(tmp_path / "model")
    recommender = Recommender(artifact)
    served = recommender.recommend([[1, 41, 5]], k=40)[0]
    assert served.unknown == [41]
    assert set(served.items) <= set(range(1, 41))
    offline = artifact.model.score(
        to_batch([recommender.resolve(RecommendationRequest([1, 41, 5], 40))])
    )[0]
    np.testing.assert_allclose(
        np.array(served.scores[: served.from_model], dtype=np.float64),
        offline[artifact.items.indices(served.items[: served.from_model])],
        atol=1e-4,
    )
    result = evaluate(artifact, store, ks=[12]).evaluation
    assert result["counts"]["unseen_targets"] == 60


class KilledError(Exception):
    """Ends a training at a call of its progress."""


def killed(after: int) -> Any:
    """A progress that raises at its call number `after`; 0 counts the calls."""

    def progress(stage: str, done: int, total: int | None) -> None:
        progress.n_calls += 1
        if progress.n_calls == after:
            raise KilledError

    progress.n_calls = 0
    return progress


@pytest.mark.parametrize("model", ["narm", "cosine-gru"])
def test_a_killed_training_resumes_to_the_same_weights(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(run_log, "PROGRESS_SECONDS", 0.0)
    values = {"epochs": 2, "checkpoint_minutes": 0} | (
        {"loss": "sampled", "negatives": 8, "sparse": True, "full_softmax_items": 0}
        if model == "cosine-gru"
        else {}
    )
    config = TINY | WIDTHS[model] | {"features": "category,price,title"} | values
    count = killed(0)
    whole = train(store, model, tmp_path / "whole", config=config, progress=count)
    folder, stop = tmp_path / "model", killed(count.n_calls * 2 // 3)
    with pytest.raises(KilledError):
        train(store, model, folder, config=config, progress=stop)
    resumed = train(store, model, folder, config=config, neural=NeuralOptions(resume=True))
    for name, array in whole.model.state().items():
        np.testing.assert_array_equal(array, resumed.model.state()[name])
