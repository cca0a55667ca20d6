"""Example sessions of a store explained, and the pictures."""

import numpy as np
import pytest

from nextclick import Recommender, train
from nextclick.errors import ConfigError
from nextclick.experiments.example_explanations import draw_explanations, explain_examples
from serving_cases import neural_artifact
from small_shop import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store", valid_fraction=0.1)


def raw_sessions(store, part):
    sessions = store.part(part)
    return [
        [store.items.raw(int(item)) for item in sessions.session(s)] for s in range(len(sessions))
    ]


def test_examples_are_sessions_before_their_last_click(store):
    ask = Recommender(train(store, "session-knn"))
    whole = raw_sessions(store, "test")
    found = explain_examples(ask, store, n=3, least=2)
    assert [e.session for e in found] == sorted({e.session for e in found})
    assert len(found) == 3
    for example in found:
        *before, after = whole[example.session]
        assert (example.why.clicks, example.why.items, example.next) == (before, [after], after)
        assert example.why == ask.explain(before, items=[after], times=[0, 20][: len(before)])
    every = explain_examples(ask, store.path, n=100, least=1)
    assert [e.session for e in every] == list(range(len(whole)))
    assert [e.session for e in explain_examples(ask, store, n=3, least=2)] == [
        e.session for e in found
    ]


def test_what_the_model_does_not_know_is_passed_over(store):
    ask = Recommender(neural_artifact("narm", n_items=3))  # knows 10, 20 and 30
    for example in explain_examples(ask, store, n=100, least=1):
        known = [i for i in raw_sessions(store, "test")[example.session] if i <= 30]
        assert [*example.why.clicks, example.next] == known


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"n": 0}, "examples must be at least 1, got 0"),
        ({"least": 0}, "least must be at least 1, got 0"),
        ({"least": 9}, "no session of part test of .* has 9 clicks before its last one"),
        ({"part": "tset"}, "part must be one of .*, got 'tset'"),
    ],
)
def test_examples_that_there_are_none_of(store, more, message):
    with pytest.raises(ConfigError, match=message):
        explain_examples(Recommender(neural_artifact("narm")), store, **more)


def test_pictures_need_a_place_and_a_library(tmp_path, monkeypatch):
    why = Recommender(neural_artifact("narm")).explain([10, 20], k=1)
    with pytest.raises(ConfigError, match=r"a figure is a file that ends in \.png or \.svg"):
        draw_explanations([why], tmp_path / "why.pdf", names=["a"], title="t")
    monkeypatch.setattr("nextclick.experiments.requirements.import_module", _no_module)
    with pytest.raises(ConfigError, match="explain --figure draws with matplotlib, which is not"):
        draw_explanations([why], tmp_path / "why.png", names=["a"], title="t")


def _no_module(name):
    raise ModuleNotFoundError(f"No module named {name!r}")


@pytest.mark.parametrize("case", ["narm", "lgsr", "csrm", "tasrec", "gru4rec", "stamp"])
def test_pictures(case, store, tmp_path):
    pytest.importorskip("matplotlib")
    ask = Recommender(neural_artifact(case))
    one = [ask.explain([10, 20, 10, 30], k=2)]
    many = [e.why for e in explain_examples(ask, store, n=4, least=1)]
    for name, told in (("one.svg", one), ("many.svg", many)):
        names = [f"session {n}" for n in range(len(told))]
        draw_explanations(told, tmp_path / name, names=names, title="a $ b")
        assert (tmp_path / name).read_text().startswith("<?xml")


def test_the_same_picture_for_the_same_explanation(tmp_path):
    pytest.importorskip("matplotlib")
    why = Recommender(neural_artifact("narm")).explain([10, 20, 30], k=2)
    for name in ("a.svg", "b.svg", "c.png"):
        draw_explanations([why], tmp_path / name, names=["session"], title="t")
    assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"


def test_cells_are_scaled_by_the_largest_of_their_row():
    pytest.importorskip("matplotlib")
    from nextclick.analysis.plots.explanation_plot import _scale_rows

    rows = np.array([[1.0, -4.0, np.nan], [0.0, 0.0, np.nan]])
    assert np.array_equal(
        _scale_rows(rows), [[0.25, -1.0, np.nan], [0.0, 0.0, np.nan]], equal_nan=True
    )
