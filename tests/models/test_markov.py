import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.models.classical.markov import Markov, MarkovConfig
from reference.logs import N_ITEMS, logs
from reference.rows import rows
from reference.transitions import followers


def scores_after(log, *clicks, **parameters):
    config = MarkovConfig(**parameters, repeats="keep")
    model = Markov.fit(Sessions.from_lists(log), config, seed=0, progress=silent)
    return rows(model.score_sparse(SessionBatch.from_lists([list(clicks)])))[0]


def test_probability_of_the_next_click():
    log = [[1, 2, 3], [1, 2], [1, 3], [3, 1]]
    assert scores_after(log, 1) == pytest.approx({2: 2 / 3, 3: 1 / 3})
    assert scores_after(log, 3) == {1: 1.0}


def test_a_repeated_click_is_a_transition_to_itself():
    assert scores_after([[1, 1, 1, 2]], 1) == pytest.approx({1: 2 / 3, 2: 1 / 3})


def test_transitions_do_not_cross_sessions():
    assert scores_after([[1, 2], [3, 1]], 2) == {}


def test_an_unknown_click_is_no_transition():
    assert scores_after([[1, 0, 2], [1, 3]], 1) == {3: 1.0}


def test_the_most_probable_successors_are_stored():
    assert scores_after([[1, 2], [1, 3], [1, 3]], 1, neighbors=1) == pytest.approx({3: 2 / 3})


@given(log=logs, neighbors=st.integers(1, 4))
def test_table_equals_the_reference(log, neighbors):
    config = MarkovConfig(neighbors, "keep")
    model = Markov.fit(Sessions.from_lists(log, N_ITEMS), config, seed=0, progress=silent)
    expected = followers(log, [1.0], neighbors)
    table = rows(model.score_sparse(SessionBatch.from_lists([[i] for i in range(1, N_ITEMS + 1)])))
    assert table == [pytest.approx(expected.get(i, {}), rel=1e-6) for i in range(1, N_ITEMS + 1)]
