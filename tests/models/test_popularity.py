import pytest

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.models.classical.popularity import Pop, PopConfig, SessionPop, SessionPopConfig
from reference.rows import rows

# clicks: item 1 four times, 2 twice, 3 twice, 4 once; 5 never; one click is unknown
LOG = Sessions.from_lists([[1, 1, 2, 0], [1, 3, 2], [1, 3, 4]], n_items=5)


def test_pop_scores_are_training_clicks():
    model = Pop.fit(LOG, PopConfig(), seed=0, progress=silent)
    scores = model.score(SessionBatch.from_lists([[4], []]))
    assert scores.tolist() == [[0, 4, 2, 2, 1, 0]] * 2


def test_pop_lists_no_items():
    model = Pop.fit(LOG, PopConfig(), seed=0, progress=silent)
    assert rows(model.score_sparse(SessionBatch.from_lists([[4], [1, 2]]))) == [{}, {}]


def test_session_pop_scores_are_session_clicks_plus_popularity_rank():
    model = SessionPop.fit(LOG, SessionPopConfig(), seed=0, progress=silent)
    # the distinct popularities 0 < 1 < 2 < 4 become 1/5, 2/5, 3/5, 4/5
    scores = model.score(SessionBatch.from_lists([[4, 2, 4], []]))
    assert scores[0, 1:] == pytest.approx([0.8, 1.6, 0.6, 2.4, 0.2])
    assert scores[1, 1:] == pytest.approx([0.8, 0.6, 0.6, 0.4, 0.2])


def test_session_pop_lists_each_session_item_once():
    model = SessionPop.fit(LOG, SessionPopConfig(), seed=0, progress=silent)
    listed = rows(model.score_sparse(SessionBatch.from_lists([[4, 2, 4], [], [5]])))
    assert [sorted(row) for row in listed] == [[2, 4], [], [5]]


def test_popularity_never_outweighs_a_click():
    log = Sessions.from_lists([[1] * 1000, [2]])
    model = SessionPop.fit(log, SessionPopConfig(), seed=0, progress=silent)
    scores = model.score(SessionBatch.from_lists([[2]]))
    assert scores[0, 2] > scores[0, 1]
