"""What public objects show: one screen of text, and HTML in a notebook."""

from html.parser import HTMLParser

import pytest

from nextclick import (
    CompareOptions,
    Estimator,
    PrepareOptions,
    Recommender,
    compare,
    evaluate,
    leaderboard,
)
from nextclick.artifact.version_registry import Registry
from nextclick.core.display import Display
from nextclick.data.options import FilterOptions, SplitOptions
from small_shop import SESSIONS, frame_of


class Tags(HTMLParser):
    """Counts open tags and collects the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        assert not attrs
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f" {data}"


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="fraction", fraction=0.2)
    )
    model = Estimator("markov", options=options, folder=folder / "shop").fit(frame_of(SESSIONS))
    result = model.evaluate(ks=[2])
    other = evaluate(
        Estimator("pop", options=options).fit(frame_of(SESSIONS)).artifact, model.store, ks=[2]
    )
    registry = Registry.create(folder / "registry")
    version = registry.publish(model.artifact, metrics={"recall@2": 0.5}, note="first")
    return {
        "store": model.store,
        "artifact": model.artifact,
        "recommender": Recommender(model.artifact),
        "recommendation": model.recommend([10, 999], k=2),
        "estimator": model,
        "result": result,
        "leaderboard": leaderboard([result, other], metric="recall@2"),
        "comparison": compare(model.store, ["pop", "markov"], options=CompareOptions(ks=[2])),
        "version": version,
        "registry": registry,
    }


CONTENT = {
    "store": ("Store ", "train_inner", "clicks", "fingerprint"),
    "artifact": ("Artifact of markov", "repeats", "learned", "trained on"),
    "recommender": ("Recommender with markov", "repeats"),
    "recommendation": ("2 recommended items", "rank", "1 clicked item is unknown"),
    "estimator": ("Estimator of markov", "sessions"),
    "result": ("Result of markov", "Recall@2", "95 % interval", "prefixes"),
    "leaderboard": ("Leaderboard of 2 models", "markov", "pop", "MRR@2"),
    "comparison": ("Comparison of 2 models", "Recall@", "pop"),
    "version": ("Version v1", "first", "recall@2", "created"),
    "registry": ("Registry ", "v1", "first", "current"),
}


@pytest.mark.parametrize("name", CONTENT)
def test_text_and_html_show_the_same(objects, name):
    text = repr(objects[name])
    assert 2 <= len(text.splitlines()) <= 30
    assert max(map(len, text.splitlines())) <= 140
    page = Tags(objects[name]._repr_html_())
    assert page.open == []
    for part in CONTENT[name]:
        assert part in text
        assert part in page.text
    assert " ".join(page.text.split()) == " ".join(text.split())


def test_long_tables_and_values_are_cut_and_markup_is_text():
    shown = Display("<b>", {"a": "x" * 99, "b": "<script>"}, ("n",), [[n] for n in range(20)])
    assert len(shown.text().splitlines()) == 1 + 2 + 1 + 1 + 15 + 1
    assert "and 5 more" in shown.text()
    assert "x" * 71 + "…" in shown.text()
    page = shown.html()
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert "and 5 more" in page


def test_an_empty_leaderboard():
    assert repr(leaderboard([])) == "Leaderboard of 0 models"
