"""Explanations of example sessions, and their figures."""

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
    recommender = Recommender(train(store, "session-knn"))
    whole = raw_sessions(store, "test")
    examples = explain_examples(recommender, store, n=3, min_clicks=2)
    assert [e.session for e in examples] == sorted({e.session for e in examples})
    assert len(examples) == 3
    for example in examples:
        *before, after = whole[example.session]
        assert (example.explanation.clicks, example.explanation.items, example.target) == (
            before,
            [after],
            after,
        )
        assert example.explanation == recommender.explain(
            before, items=[after], times=[0, 20][: len(before)]
        )
    every = explain_examples(recommender, store.path, n=100, min_clicks=1)
    assert [e.session for e in every] == list(range(len(whole)))
    assert [e.session for e in explain_examples(recommender, store, n=3, min_clicks=2)] == [
        e.session for e in examples
    ]


def test_unknown_items_are_skipped(store):
    recommender = Recommender(neural_artifact("narm", n_items=3))  # knows 10, 20 and 30
    for example in explain_examples(recommender, store, n=100, min_clicks=1):
        known = [i for i in raw_sessions(store, "test")[example.session] if i <= 30]
        assert [*example.explanation.clicks, example.target] == known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "examples must be at least 1, got 0"),
        ({"min_clicks": 0}, "min_clicks must be at least 1, got 0"),
        ({"min_clicks": 9}, "no session of part test of .* has 9 clicks before its last one"),
        ({"part": "tset"}, "part must be one of .*, got 'tset'"),
    ],
)
def test_bad_examples(store, options, message):
    with pytest.raises(ConfigError, match=message):
        explain_examples(Recommender(neural_artifact("narm")), store, **options)


def test_figures_need_a_suffix_and_matplotlib(tmp_path, monkeypatch):
    explanation = Recommender(neural_artifact("narm")).explain([10, 20], k=1)
    with pytest.raises(ConfigError, match=r"a figure must be a \.png or \.svg file"):
        draw_explanations([explanation], tmp_path / "why.pdf", names=["a"], title="t")
    monkeypatch.setattr("nextclick.experiments.requirements.import_module", _no_module)
    with pytest.raises(ConfigError, match="explain --figure requires matplotlib, which"):
        draw_explanations([explanation], tmp_path / "why.png", names=["a"], title="t")


def _no_module(name):
    raise ModuleNotFoundError(f"No module named {name!r}")


@pytest.mark.figures
@pytest.mark.parametrize("case", ["narm", "lgsr", "csrm", "tasrec", "gru4rec", "stamp"])
def test_figures(case, store, tmp_path):
    pytest.importorskip("matplotlib")
    recommender = Recommender(neural_artifact(case))
    one = [recommender.explain([10, 20, 10, 30], k=2)]
    many = [e.explanation for e in explain_examples(recommender, store, n=4, min_clicks=1)]
    for name, explanations in (("one.svg", one), ("many.svg", many)):
        names = [f"session {n}" for n in range(len(explanations))]
        draw_explanations(explanations, tmp_path / name, names=names, title="a $ b")
        assert (tmp_path / name).read_text().startswith("<?xml")


@pytest.mark.figures
def test_figures_are_deterministic(tmp_path):
    pytest.importorskip("matplotlib")
    explanation = Recommender(neural_artifact("narm")).explain([10, 20, 30], k=2)
    for name in ("a.svg", "b.svg", "c.png"):
        draw_explanations([explanation], tmp_path / name, names=["session"], title="t")
    assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.figures
def test_maps_of_a_layer_share_a_scale_with_a_color_bar():
    pytest.importorskip("matplotlib")
    from nextclick.analysis.plots import explanation_plot
    from nextclick.analysis.plots.canvas import PanelFigure

    maps = [np.array([[0.5, 0.0], [0.2, 0.3]]), np.array([[0.1, 0.0], [-0.25, 0.05]])]
    largest = explanation_plot._largest(maps)
    assert largest == 0.5
    figure = PanelFigure("t", "", 1, 2)
    scales = []
    for cells in maps:
        axes = figure.panel("map")
        draw = explanation_plot._heat_map(cells, ["a", "b"], ["a", "b"], largest=largest)
        draw(axes)
        (image,) = axes.images
        assert image.colorbar is not None
        scales.append((image.norm.vmin, image.norm.vmax, image.colorbar.ax.get_ylim()))
    assert scales == [(-0.5, 0.5, (0.0, 0.5)), (-0.5, 0.5, (-0.5, 0.5))]
    assert explanation_plot._largest([np.zeros((1, 2))]) == 1.0
