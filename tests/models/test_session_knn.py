from math import log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.models.classical.session_knn import SessionKNN, SessionKNNConfig
from reference.logs import N_ITEMS, logs, prefixes
from reference.rows import rows
from reference.session_knn import scores

KINDS = ["same", "div", "linear", "log", "quadratic"]
PLAIN = {
    "k": 10,
    "sample_size": 10,
    "similarity": "vec",
    "weighting": "div",
    "weighting_score": "div",
    "idf_weighting": 0.0,
    "last_n_clicks": 10,
    "repeats": "keep",
}
LOG = [[1, 2], [2, 3], [1, 2, 4], [5, 3]]


def scores_after(log, clicks, **parameters):
    config = SessionKNNConfig(**(PLAIN | parameters))
    model = SessionKNN.fit(Sessions.from_lists(log), config, seed=0, progress=silent)
    return rows(model.score_sparse(SessionBatch.from_lists([clicks])))[0]


def test_neighbors_vote_with_the_weights_of_the_shared_clicks():
    # weights: item 1 a half, item 2 one; similarities: 1.5, 1, 1.5, none
    assert scores_after(LOG, [1, 2]) == pytest.approx({1: 3.0, 2: 4.0, 3: 1.0, 4: 1.5})


def test_only_the_k_nearest_sessions_vote():
    assert scores_after(LOG, [1, 2], k=2) == pytest.approx({1: 3.0, 2: 3.0, 4: 1.5})


def test_ties_are_resolved_by_recency():
    assert scores_after(LOG, [1, 2], k=1) == pytest.approx({1: 1.5, 2: 1.5, 4: 1.5})


def test_neighbors_come_from_the_most_recent_sessions_that_share_an_item():
    # of the three that share one, the oldest is left out although it is among the nearest
    assert scores_after(LOG, [1, 2], sample_size=2) == pytest.approx(
        {1: 1.5, 2: 2.5, 3: 1.0, 4: 1.5}
    )


def test_votes_decrease_with_the_age_of_the_latest_shared_click():
    # weights: item 1 a half, item 3 one. Sessions 0 and 2 share item 1, two steps from the end:
    # half of a half. Sessions 1 and 3 share item 3, one step from it: one.
    expected = {1: 0.5, 2: 1.5, 3: 2.0, 4: 0.25, 5: 1.0}
    assert scores_after(LOG, [1, 3]) == pytest.approx(expected)


def test_a_repeated_item_has_the_position_of_its_last_click():
    # positions of 1, 2: 3 and 2 of 3
    result = scores_after([[1, 4], [2, 5]], [1, 2, 1])
    assert result == pytest.approx({1: 1.0, 4: 1.0, 2: 2 / 3 / 2, 5: 2 / 3 / 2})


def test_idf_weighting():
    # item 4 is in one of four sessions, item 2 in three
    plain, weighted = scores_after(LOG, [1, 2]), scores_after(LOG, [1, 2], idf_weighting=2.0)
    assert weighted[4] == pytest.approx(plain[4] * (1 + 2 * log(4)))
    assert weighted[2] == pytest.approx(plain[2] * (1 + 2 * log(4 / 3)))


def test_cosine_divides_by_the_size_of_the_neighbor():
    result = scores_after(LOG, [2], similarity="cosine")
    assert result[3] == pytest.approx(1 / sqrt(2))
    assert result[4] == pytest.approx(1 / sqrt(3))


def test_clicks_before_the_last_n_are_ignored():
    assert scores_after(LOG, [5, 1, 2], last_n_clicks=2) == scores_after(LOG, [1, 2])


def test_sessions_in_no_list_are_not_stored():
    config = SessionKNNConfig(**(PLAIN | {"sample_size": 1}))
    log = Sessions.from_lists([[1, 2], [1], [2, 1]])
    model = SessionKNN.fit(log, config, seed=0, progress=silent)
    assert model.index.session_items.tolist() == [2, 1]
    assert model.index.item_sessions.tolist() == [0, 0]


def test_identical_sessions_vote_separately():
    once, twice = scores_after([[1, 2]], [1]), scores_after([[1, 2], [1, 2]], [1])
    assert twice == {item: 2 * score for item, score in once.items()}


def test_many_items_collide_in_the_hash_table():
    long = list(range(1, 5001))
    result = scores_after([long, long[::2]], [1])
    assert result == {item: 2.0 if item % 2 else 1.0 for item in long}


@given(
    log=logs,
    batch=st.lists(prefixes, min_size=1, max_size=3),
    k=st.integers(1, 5),
    sample_size=st.integers(1, 8),
    similarity=st.sampled_from(["vec", "cosine"]),
    weighting=st.sampled_from(KINDS),
    weighting_score=st.sampled_from(KINDS),
    idf_weighting=st.sampled_from([0.0, 1.0, 5.0]),
    last_n_clicks=st.integers(1, 12),
)
def test_scores_equal_the_reference(log, batch, **parameters):
    config = SessionKNNConfig(**parameters, repeats="keep")
    model = SessionKNN.fit(Sessions.from_lists(log, N_ITEMS), config, seed=0, progress=silent)
    result = rows(model.score_sparse(SessionBatch.from_lists(batch)))
    assert result == [pytest.approx(scores(log, clicks, config), rel=1e-5) for clicks in batch]
