import json

import pytest

from nextclick import CompareOptions, compare, evaluate, leaderboard, train
from nextclick.errors import ArtifactError, ConfigError, ProtocolError
from nextclick.evaluation import RankingProtocol, Result
from small_shop import SESSIONS, make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("other") / "store", SESSIONS[::-1])


def test_markov_by_hand(tmp_path):
    # after 10 came 20 three times and 30 once; the test asks 10 → 30 and 20 → ?
    sessions = [[10, 20], [10, 20], [10, 20], [10, 30], [10, 30]]
    store = make_store(tmp_path / "store", sessions)
    result = evaluate(train(store, "markov"), store, ks=[1, 2])
    assert (result.metrics["recall@1"].value, result.metrics["recall@2"].value) == (0.0, 1.0)
    assert (result.metrics["mrr@2"].value, result.seed) == (0.5, 0)
    assert result.data_fingerprint == store.fingerprint
    assert result.protocol["part"] == "test"
    assert result.protocol["trained_on"] == "train"


def test_an_artifact_from_memory_and_from_disk_measure_the_same(store, tmp_path):
    kept = train(store, "item-knn", tmp_path / "model")
    one, two = evaluate(kept, store, ks=[3]), evaluate(tmp_path / "model", store.path, ks=[3])
    assert one.metrics == two.metrics


def test_training_on_a_part(store):
    assert train(store, "pop").support.sum() == store.part("train").n_events
    assert train(store, "pop", train_on="inner").support.sum() == store.part("train_inner").n_events
    with pytest.raises(ConfigError, match="train_on must be inner or all, got 'test'"):
        train(store, "pop", train_on="test")


@pytest.mark.parametrize(
    ("model", "config", "message"),
    [
        ("item-kn", {}, "there is no model 'item-kn': did you mean item-knn"),
        ("item-knn", {"shrink": 1}, "item-knn has no parameter 'shrink': did you mean shrinkage"),
        ("item-knn", {"shrinkage": -1}, "item-knn: shrinkage must be number ≥ 0, got -1"),
        ("item-knn", {"neighbors": "many"}, "item-knn: neighbors must be integer .*got 'many'"),
        ("pop", {"k": 1}, "pop has no parameter 'k': it has no parameters"),
    ],
)
def test_names_and_values_are_checked(store, model, config, message):
    with pytest.raises(ConfigError, match=message):
        train(store, model, config=config)


def test_parameters_may_be_text(store):
    config = train(store, "item-knn", config={"shrinkage": "7.5"}).model.config
    assert config.shrinkage == 7.5


def test_validation_is_for_models_that_have_not_seen_it(store):
    message = "part valid: the model was trained on it, so the metrics would be biased; train with"
    with pytest.raises(ConfigError, match=message):
        evaluate(train(store, "pop"), store, part="valid")
    fitted = train(store, "pop", train_on="inner")
    assert evaluate(fitted, store, part="valid", ks=[2]).protocol["trained_on"] == "train_inner"
    with pytest.raises(
        ConfigError, match="part must be test or valid to be ranked, got 'train_inner'"
    ):
        evaluate(fitted, store, part="train_inner")


def test_a_model_of_another_store_is_refused(store, other):
    message = "model was trained on data [0-9a-f]+, the store .* holds data .*; train on this store"
    with pytest.raises(ArtifactError, match=message):
        evaluate(train(other, "pop"), store)


def test_the_ranking_follows_the_store(tmp_path):
    sessions = [*SESSIONS, [10, 99], [10, 20]]
    dropped = make_store(tmp_path / "drop", sessions, fraction=0.05)
    kept = make_store(tmp_path / "keep", sessions, fraction=0.05, unseen="miss")
    assert evaluate(train(dropped, "pop"), dropped, ks=[1]).protocol["unseen"] == "drop"
    found = evaluate(train(kept, "pop"), kept, ks=[1])
    assert found.protocol["unseen"] == "miss"
    assert found.evaluation["counts"]["unseen_targets"] == 1


def test_results_of_two_stores_do_not_share_a_table(store, other):
    two = CompareOptions(ks=[2])
    (one,) = compare(store, ["pop"], options=two).results
    results = [one, *compare(other, ["markov"], options=two).results]
    with pytest.raises(ProtocolError, match=r"pop and markov are not comparable: .*data"):
        leaderboard(results, metric="recall@2")
    best = CompareOptions(ks=[2], protocol=RankingProtocol(ties="best"))
    results = [one, *compare(store, ["markov"], options=best).results]
    with pytest.raises(ProtocolError, match=r"pop and markov are not comparable: .*ties"):
        leaderboard(results, metric="recall@2")


def test_a_result_is_json(store, tmp_path):
    result = evaluate(train(store, "s-pop"), store, ks=[2], label="mine")
    result.write(tmp_path / "result.json")
    told = json.loads((tmp_path / "result.json").read_text())
    assert (told["label"], told["model"]) == ("mine", "s-pop")
    assert Result.read(tmp_path / "result.json").metrics == result.metrics
