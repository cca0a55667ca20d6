"""Recommender.explain: what falls without each click, and what the model tells besides."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import pytest

from installed import COUNTING
from nextclick import Explanation, Recommender, train
from nextclick.artifact import Artifact
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ConfigError
from nextclick.serving.click_ablation import rank_items
from nextclick.serving.explanation import Ranking
from nextclick.serving.request import RecommendationRequest
from reference.stub_model import StubModel
from serving_cases import neural_artifact
from small_shop import SESSIONS

IDS = Vocabulary.from_integers(np.array([10, 20, 30, 40]))
# what a click gives to items 10, 20, 30, 40
GIVES = np.array([[0, 0, 0, 0], [0, 3, 0, 1], [0, 1, 0, 1], [4, 0, 0, 0], [0, 0, 0, 0]], np.float32)


@dataclass
class Plain(StubModel):
    """The sum of what the clicks give; remembers what it was asked."""

    name = "plain"
    n_items = 4

    def __post_init__(self):
        self.asked = []

    def score(self, batch):
        self.asked.append(batch)
        scores = np.zeros((len(batch), 5), np.float32)
        for row, items, n in zip(scores, batch.items, batch.lengths, strict=True):
            row[1:] = GIVES[items[:n]].sum(axis=0)
        return scores


def plain():
    return Recommender(Artifact(Plain(), IDS, np.arange(5), {}))


def test_by_hand():
    # 10, 20 and 30 give 4, 4, 0, 2; the mean is 2½
    why = plain().explain([10, 77, 20, 30], items=[20, "10", 40, 20])
    assert (why.model, why.clicks, why.unknown) == ("plain", [10, 20, 30], [77])
    assert why.items == [20, 10, 40]
    assert why.now == Ranking([4, 4, 2], [1.5, 1.5, -0.5], [2, 1, 3])
    assert why.without == [
        Ranking([1, 4, 1], [-0.5, 2.5, -0.5], [2, 1, 3]),  # 4, 1, 0, 1
        Ranking([3, 4, 1], [1.0, 2.0, -1.0], [2, 1, 3]),  # 4, 3, 0, 1
        Ranking([4, 0, 2], [2.5, -1.5, 0.5], [1, None, 2]),  # 0, 4, 0, 2
    ]
    assert (why.attention, why.neighbors, why.links, why.parts) == ([], [], [], None)
    assert why.note == (
        "plain has no attention, neighbor sessions or score decomposition: only the ranking "
        "without each click is explained; 1 clicked item is unknown to the model and ignored"
    )


def test_the_recommended_items_are_explained_best_first():
    ask = plain()
    why = ask.explain([10, 20, 30], k=3)
    assert why.items == ask.recommend([[10, 20, 30]], k=3)[0].items == [10, 20, 40]
    assert why.now.ranks == [1, 2, 3]


def test_the_last_click_that_is_left_out_leaves_a_visitor_of_whom_nothing_is_known():
    why = plain().explain([10], items=[20])
    assert why.without == [Ranking([0], [0], [None])]


def test_times_are_those_of_the_clicks_that_are_left():
    ask = plain()
    ask.explain([10, 77, 20, 30], items=[10], times=[0, 3, 10, 40])
    batch = ask.artifact.model.asked[-1]
    rows = [gaps[:n].tolist() for gaps, n in zip(batch.gaps, batch.lengths, strict=True)]
    assert rows == [[0, 10, 30], [0, 30], [0, 40], [0, 10]]
    assert batch.time_since_last_click.tolist() == [0, 0, 0, 0]
    ask.explain([10, 20, 30], items=[10], times=[0, 10, 40], now=45)
    assert ask.artifact.model.asked[-1].time_since_last_click.tolist() == [5, 5, 5, 35]


def test_rows_are_scored_in_blocks(monkeypatch):
    ask = plain()
    wishes = [
        ask.resolve(RecommendationRequest(session, 1))
        for session in ([10], [20, 30], [30], [10, 20])
    ]
    items = np.array([1, 3, 4], np.int32)
    whole = rank_items(ask.artifact.model, wishes, items)
    monkeypatch.setattr("nextclick.serving.click_ablation._SCORES_PER_BLOCK", 7)
    for one, other in zip(rank_items(ask.artifact.model, wishes, items), whole, strict=True):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize(
    ("session", "more", "message"),
    [
        ([], {}, r"session must have at least one click on an item known .* got \[\]"),
        ([77, "x"], {}, r"at least one click on an item known .* got \[77, 'x'\]"),
        ("10", {}, "session must be a list of item ids, got '10'"),
        (
            [10],
            {"items": []},
            r"items must contain at least one item, all known to the model; got \[\]",
        ),
        (
            [10],
            {"items": [10, 77]},
            r"items must contain at least one item, all known to the model; got \[77\]",
        ),
        ([10], {"items": "10"}, "items must be a list of item ids, got '10'"),
        ([10], {"k": 0}, r"k must be in 1\.\.4, the number of items; got 0"),
        ([10], {"now": 3.0}, "now needs times"),
        ([10, 20], {"times": [1]}, "times must be one number for each of 2 clicks"),
        ([40], {}, "plain recommends no item for this session; name the items to explain"),
    ],
)
def test_what_cannot_be_explained(session, more, message):
    with pytest.raises(ConfigError, match=message):
        plain().explain(session, **{"k": 2} | more)


def test_a_layer_of_several():
    why = Recommender(neural_artifact("sasrec")).explain([10, 20], k=1)
    assert [one.layer for one in why.layer("block 2, head 1").attention] == ["block 2, head 1"]
    with pytest.raises(
        ConfigError,
        match=r"layer must be an attention layer of sasrec: block 1, head 1, .*; got 'top'",
    ):
        why.layer("top")
    gru = Recommender(neural_artifact("gru4rec")).explain([10, 20], k=1)
    with pytest.raises(
        ConfigError, match="layer must be an attention layer of gru4rec: none; got 'a'"
    ):
        gru.layer("a")


TELLS = {
    "narm": {"attention"},
    "stamp": {"attention"},
    "csrm": {"attention", "neighbors"},
    "sasrec": {"attention"},
    "sr-gnn": {"attention"},
    "lessr": {"attention"},
    "lgsr": {"attention"},
    "tasrec": {"attention", "links"},
    "gru4rec": set(),
    "improved-gru4rec": set(),
    "youtube-dnn": set(),
    "wavenet": set(),
}


def check(why: Explanation, kinds, name):
    """What is told is of the kinds, whole, finite, and in the shapes that are promised."""
    n, K = len(why.clicks), len(why.items)
    assert {k for k in ("attention", "neighbors", "links", "parts") if getattr(why, k)} == kinds
    assert (why.note is None) == bool(kinds)
    if not kinds:
        assert why.note.startswith(f"{name} has no attention, neighbor sessions")
    assert len(why.without) == n
    for stands in (why.now, *why.without):
        assert len(stands.scores) == len(stands.above_mean) == len(stands.ranks) == K
        assert all(math.isfinite(value) for value in (*stands.scores, *stands.above_mean))
    for layer in why.attention:
        assert len(layer.clicks) == len(layer.weights)
        assert layer.map is None or layer.map[-1] == layer.weights
    if why.parts:
        assert [len(row) for row in why.parts.clicks] == [K] * n
    assert asdict(why)


@pytest.mark.parametrize("name", TELLS)
def test_every_neural_model_explains_or_says_that_it_cannot(name):
    why = Recommender(neural_artifact(name)).explain([10, 20, 30, 20], k=3)
    check(why, TELLS[name], name)
    assert why.now.ranks == [1, 2, 3]


@pytest.mark.parametrize("name", COUNTING)
def test_every_model_that_counts_explains(store, name):
    why = Recommender(train(store, name)).explain(SESSIONS[0], k=1)
    check(why, {"parts", "neighbors"} if name == "session-knn" else {"parts"}, name)


def test_the_server_and_the_explanation_tell_the_same():
    for case in ("narm", "stamp", "csrm", "sasrec", "sr-gnn", "lessr", "lgsr", "tasrec"):
        ask = Recommender(neural_artifact(case))
        (told,) = ask.explanations(
            [ask.resolve(RecommendationRequest([10, 20, 30, 20], 2, explain=True))]
        )
        last = ask.explain([10, 20, 30, 20], k=2).attention[-1]
        assert (told.kind, told.weights) == ("attention", last.weights)
        assert told.clicks == [[10, 20, 30, 20][at] for at in last.clicks]
