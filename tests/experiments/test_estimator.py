"""The estimator does what the functions that it is made of do."""

import gc
import tempfile

import pandas as pd
import pytest

from nextclick import (
    Estimator,
    PrepareOptions,
    Recommender,
    Store,
    evaluate,
    prepare,
    recommend_frame,
    train,
)
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.errors import ConfigError
from small_shop import SESSIONS, frame_of

OPTIONS = PrepareOptions(
    filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="fraction", fraction=0.2)
)


@pytest.fixture(scope="module")
def clicks():
    return frame_of(SESSIONS)


@pytest.fixture(scope="module")
def fitted(clicks):
    return Estimator("markov", config={"repeats": "keep"}, options=OPTIONS).fit(clicks)


def test_the_answers_are_those_of_the_functions(clicks, fitted, tmp_path):
    store = prepare(clicks, tmp_path / "store", options=OPTIONS).store
    artifact = train(store, "markov", tmp_path / "model", config={"repeats": "keep"})
    recommender = Recommender(artifact)
    assert fitted.recommend([10, 20], k=2) == recommender.recommend([[10, 20]], 2)[0]
    (expected,) = recommender.recommend([[10, 20]], 2, exclude_seen=True)
    assert fitted.recommend((10, 20), 2, exclude_seen=True) == expected
    assert fitted.recommend(clicks, k=2).equals(recommend_frame(recommender, clicks, 2))
    result, by_functions = fitted.evaluate(ks=[2], n_bootstrap=0), None
    by_functions = evaluate(artifact, store, ks=[2], n_bootstrap=0)
    assert result.metrics == by_functions.metrics
    assert result.data_fingerprint == by_functions.data_fingerprint


def test_the_model_is_trained_on_the_part_before_the_test(fitted):
    last_training_click = fitted.store.part("train").times.max()
    first_end_of_test = min(times[-1] for times in _times(fitted.store.part("test")))
    assert last_training_click < first_end_of_test
    assert fitted.artifact.trained["part"] == "train"


def _times(sessions):
    ends = zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True)
    return [sessions.times[start:stop] for start, stop in ends]


def test_pandas_and_polars_give_the_same_model(clicks, fitted):
    frame = pd.DataFrame({name: clicks[name].to_list() for name in clicks.columns})
    other = Estimator("markov", config={"repeats": "keep"}, options=OPTIONS).fit(frame)
    assert other.store.fingerprint == fitted.store.fingerprint
    answers = other.recommend(frame, k=2)
    assert isinstance(answers, pd.DataFrame)
    assert answers["item"].tolist() == fitted.recommend(clicks, k=2)["item"].to_list()


def test_a_folder_keeps_the_store_and_the_model(clicks, tmp_path):
    for _ in range(2):  # the second fit replaces the first
        Estimator("pop", options=OPTIONS, folder=tmp_path / "shop").fit(clicks)
    assert Recommender.load(tmp_path / "shop" / "model").recommend([[10]], 2)[0].items
    assert Store.open(tmp_path / "shop" / "store").part("test")


def test_a_temporary_folder_goes_with_the_estimator(clicks):
    model = Estimator("pop", options=OPTIONS).fit(clicks)
    folder = model.store.path.parent
    model.fit(clicks)
    assert not folder.exists()
    folder = model.store.path.parent
    assert folder.exists()
    del model
    gc.collect()
    assert not folder.exists()


def test_a_failed_fit_leaves_no_folder(clicks, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ConfigError, match="did you mean"):
        Estimator("popp", options=OPTIONS).fit(clicks)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_answered_before_fit():
    model = Estimator("pop")
    assert "call fit(log)" in repr(model)
    with pytest.raises(
        ConfigError, match=r"the pop estimator is not fitted; call fit\(log\) first"
    ):
        model.recommend([1])
    with pytest.raises(ConfigError, match="is not fitted"):
        model.evaluate()
