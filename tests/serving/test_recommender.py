import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from installed import COUNTING
from nextclick import Recommendation, Recommender, train
from nextclick.artifact import Artifact
from nextclick.batches.prefixes import prefix_blocks
from nextclick.core.topk import SortedBase, dense_top, sparse_top
from nextclick.core.types import SparseScorer
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ArtifactError, ConfigError, NextclickWarning
from nextclick.models.model_registry import model_class
from reference.stub_model import StubModel
from small_shop import SESSIONS, make_store


class Fixed(StubModel):
    """Dense scores that are the same for every session."""

    name = "fixed"

    def __init__(self, scores):
        self.scores = np.array([0, *scores], dtype=np.float32)

    @property
    def n_items(self):
        return len(self.scores) - 1

    def score(self, batch):
        return np.tile(self.scores, (len(batch), 1))


class Dense(StubModel):
    """A model without its sparse answer."""

    def __init__(self, model):
        self.model, self.name, self.n_items = model, model.name, model.n_items

    def score(self, batch):
        return self.model.score(batch)


def recommender(scores=(5, 3, 3, 0, 9), support=(0, 7, 1, 9, 2, 3), ids=None):
    items = ids or Vocabulary.from_integers(np.array([10, 20, 30, 40, 50]))
    return Recommender(Artifact(Fixed(scores), items, np.array(support), {}))


SPARSE = [name for name in COUNTING if model_class(name).default_capabilities.sparse_scores]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


def test_by_hand():
    # 50 has 9, 10 has 5, 20 and 30 have 3 (the lower index first); 40 has the lowest and is none
    (found,) = recommender().recommend([[10, 20]], k=3)
    assert found == Recommendation([50, 10, 20], [9.0, 5.0, 3.0], 3, [], None)
    (all_of_them,) = recommender().recommend([[10]], k=5)
    assert all_of_them.items == [50, 10, 20, 30, 40]
    assert all_of_them.scores == [9.0, 5.0, 3.0, 3.0, None if all_of_them.from_model == 4 else 0.0]


def test_unknown_clicks_are_passed_over_and_counted():
    (found,) = recommender().recommend([[77, 10, "x"]], k=1)
    assert (found.items, found.unknown) == ([50], [77, "x"])
    assert found.note == "2 clicked items are unknown to the model and ignored"


def test_a_session_of_unknown_items_gets_popular_ones_and_says_so():
    (found,) = recommender().recommend([[77, 78]], k=3)
    # by training clicks: 30 has 9, 10 has 7, 50 has 3
    assert found.items == [30, 10, 50]
    assert (found.scores, found.from_model, found.unknown) == ([None] * 3, 0, [77, 78])
    assert (
        found.note == "no clicked item is known to the model: the most popular items are returned"
    )


def test_an_empty_session_is_a_visitor_of_whom_nothing_is_known():
    (found,) = recommender().recommend([[]], k=2)
    assert (found.items, found.note) == ([50, 10], None)
    assert recommender().recommend([], k=1) == []


def test_items_seen_may_be_left_out():
    (found,) = recommender().recommend([[50, 10, 50]], k=2, exclude_seen=True)
    assert (found.items, found.scores) == ([20, 30], [3.0, 3.0])


def test_items_may_be_allowed_and_blocked():
    ask = recommender().recommend
    assert ask([[10]], k=5, allow=[20, "40", 99])[0].items == [20, 40]
    assert ask([[10]], k=2, block=["50", 99])[0].items == [10, 20]
    assert ask([[10]], k=5, allow=[50, 20], block=[50])[0].items == [20]
    assert ask([[77]], k=2, allow=[20, 40])[0].items == [40, 20]
    (none,) = ask([[20]], k=5, allow=[20], exclude_seen=True)
    assert (none.items, none.scores, none.from_model) == ([], [], 0)
    assert none.note == "allow, block, where and exclude_seen leave no item to recommend"
    assert ask([[10]], k=5, allow=[])[0].items == []


def test_where_the_model_names_too_few_popular_items_follow():
    (found,) = recommender(scores=(0, 4, 0, 0, 0)).recommend([[10]], k=3)
    assert (found.items, found.scores, found.from_model) == ([20, 30, 10], [4.0, None, None], 1)
    assert found.note == "2 items were filled from popularity: the model returned only 1"


@pytest.mark.parametrize("k", [0, -1])
def test_k_has_a_range(k):
    with pytest.raises(ConfigError, match=rf"k must be in 1\.\.5, the number of items; got {k}"):
        recommender().recommend([[10]], k=k)


def test_k_above_the_catalog_is_lowered():
    with pytest.warns(NextclickWarning, match="5 items: K = 6 is lowered to 5"):
        (found,) = recommender().recommend([[10]], k=6)
    assert len(found.items) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sessions": ["10,20"]}, "session must be a list of item ids, got '10,20'"),
        ({"sessions": [10, 20]}, "session must be a list of item ids, got 10"),
        ({"sessions": [[10]], "allow": "10"}, "allow must be a list of item ids, got '10'"),
        ({"sessions": [[10]], "block": "10"}, "block must be a list of item ids, got '10'"),
        (
            {"sessions": [[10]], "times": [[1.0], [2.0]]},
            "times must have an entry for each of 1 sessions, got 2",
        ),
    ],
)
def test_what_is_no_list_of_ids_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        recommender().recommend(**arguments, k=1)


@pytest.mark.parametrize("raw", [10, "10", " 10 ", np.int64(10), np.int32(10), 10.0])
def test_a_number_and_its_text_are_one_id(raw):
    (found,) = recommender().recommend([[raw]], k=5, exclude_seen=True)
    assert (found.unknown, 10 in found.items) == ([], False)
    assert all(type(item) is int for item in found.items)


@pytest.mark.parametrize("raw", ["010", "+10", "1e1", 10.5, None, "", "1" * 5000, 2**80, b"10"])
def test_what_only_looks_like_an_id_is_unknown(raw):
    (found,) = recommender().recommend([[raw]], k=1)
    assert found.unknown == [raw]


def test_text_ids():
    ids = Vocabulary.from_strings(["007", "12", "a b", "é", "😀"])
    (found,) = recommender(ids=ids).recommend([[12, "é", "7", "😀"]], k=5, exclude_seen=True)
    assert (found.items, found.unknown) == (["007", "a b"], ["7"])


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_and_dense_answers_are_the_same(store, name):
    artifact = train(store, name)
    dense = Artifact(Dense(artifact.model), artifact.items, artifact.support, artifact.trained)
    assert isinstance(artifact.model, SparseScorer)
    assert not dense.model.capabilities.sparse_scores
    sessions = [*SESSIONS[:6], [50], [], [99], [20, 99, 20]]
    for options in ({}, {"exclude_seen": True}, {"block": [20]}, {"allow": [10, 40]}):
        for k in (1, 3, 5):
            found = Recommender(artifact).recommend(sessions, k, **options)
            assert found == Recommender(dense).recommend(sessions, k, **options)


@pytest.mark.parametrize("name", SPARSE)
def test_what_is_shown_is_what_evaluation_counts(store, name):
    artifact, k = train(store, name), 3
    test = store.part("test")
    for block in prefix_blocks(test, mode="all", max_length=None, max_cells=50, n_rows=9):
        lists = dense_top(artifact.model.score(block.batch), k)
        sparse = artifact.model.score_sparse(block.batch)
        assert sparse_top(sparse, SortedBase.from_scores(sparse.base), k).tolist() == lists.tolist()
        sessions = [
            [store.items.raw(int(i)) for i in row[:n]]
            for row, n in zip(block.batch.items, block.batch.lengths, strict=True)
        ]
        answers = Recommender(artifact).recommend(sessions, k)
        for answer, row in zip(answers, lists, strict=True):
            named = [store.items.raw(int(i)) for i in row if i > 0]
            assert answer.items[: answer.from_model] == named


def test_sessions_do_not_influence_each_other(store):
    ask = Recommender(train(store, "session-knn")).recommend
    together = ask(SESSIONS[:6], k=4)
    assert together == [ask([session], k=4)[0] for session in SESSIONS[:6]]
    assert ask(SESSIONS[:6][::-1], k=4) == together[::-1]


@pytest.mark.parametrize("name", ["pop", "s-pop", "session-knn"])
def test_threads_get_the_answers_that_one_gets(store, name):
    ask = Recommender(train(store, name)).recommend
    expected = [ask([session], k=3) for session in SESSIONS]
    shared = Recommender(train(store, name)).recommend
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda session: shared([session], k=3), SESSIONS)) == expected


def test_loading_what_is_none(tmp_path):
    with pytest.raises(ArtifactError, match=r"is not an art[ei]fact"):
        Recommender.load(tmp_path / "missing")


def test_serving_needs_no_preparation_and_no_neural_library(store, tmp_path):
    train(store, "session-knn", tmp_path / "model")
    script = (
        "import sys, nextclick\n"
        f"answer = nextclick.load({str(tmp_path / 'model')!r}).recommend([[10, 20]], k=2)[0]\n"
        "assert answer.items, answer\n"
        "print([m for m in ('polars', 'pandas', 'torch', 'typer', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
