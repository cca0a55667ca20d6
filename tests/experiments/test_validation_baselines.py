"""A neural model is compared with counting models on the validation, and says if it is below."""

import re
import warnings

import pytest

from nextclick import evaluate, train
from nextclick.errors import NextclickWarning
from nextclick.experiments import validation_baselines as module
from small_shop import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(autouse=True)
def _tiny(tiny_model):
    pass


CONFIG = {"threads": 1, "metric": "recall@1", "epochs": 1, "learning_rate": 1e-9}


def below(caught):
    return [str(w.message) for w in caught if "on the validation split" in str(w.message)]


@pytest.mark.parametrize("train_on", ["inner", "all"])
def test_a_model_that_learned_nothing_says_so(store, train_on):
    with pytest.warns(NextclickWarning, match="train for more steps") as caught:
        trained = train(store, "tiny", config=CONFIG, train_on=train_on).trained
    baselines = trained["validation_baselines"]
    values = baselines["values"]
    assert values["tiny"] == trained["validation"]  # all sessions of the validation
    for name in module.BASELINES:
        expected = evaluate(train(store, name, train_on="inner"), store, part="valid", ks=[1])
        assert values[name] == expected.metrics["recall@1"].value
    best = max(module.BASELINES, key=values.get)
    points = 100 * (values[best] - values["tiny"])
    (message,) = below(caught)
    assert re.search(
        rf"tiny has recall@1 {100 * values['tiny']:.2f} % on the validation split, {points:.2f} "
        rf"points below {best}: train",
        message,
    )


def test_a_sample_of_a_large_validation_is_the_same_for_all(store, monkeypatch):
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    with warnings.catch_warnings(record=True):
        first, again = (
            train(store, "tiny", config=CONFIG, train_on="inner").trained for _ in range(2)
        )
    assert first["validation_baselines"]["sessions"] == 2
    assert first["validation_baselines"] == again["validation_baselines"]


def test_a_model_above_all_says_nothing(store, monkeypatch):
    monkeypatch.setattr(module, "BASELINES", ("pop",))
    monkeypatch.setattr(module, "_sample", lambda valid, seed: valid)
    values = {"tiny": 0.5, "pop": 0.5}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module._warn_if_below("tiny", "recall@1", values)
    assert not below(caught)


def test_without_a_validation_there_are_no_baselines(store):
    trained = train(store, "tiny", config=CONFIG | {"keep": "last"}).trained
    assert trained["validation_baselines"] is None
