import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.models.classical.markov import Markov, MarkovConfig
from nextclick.models.classical.sequential_rules import SequentialRules, SequentialRulesConfig
from reference.logs import N_ITEMS, logs
from reference.rows import rows
from reference.session_knn import by_step
from reference.transitions import followers

KINDS = ["same", "div", "linear", "log", "quadratic"]


def scores_after(log, *clicks, **parameters):
    config = SequentialRulesConfig(**parameters, repeats="keep")
    model = SequentialRules.fit(Sessions.from_lists(log), config, seed=0, progress=silent)
    return rows(model.score_sparse(SessionBatch.from_lists([list(clicks)])))[0]


def test_weights_decrease_with_the_distance():
    # from 1: to 2 one step, to 3 two steps, to 3 again one step: three pairs
    log = [[1, 2, 3], [1, 3]]
    assert scores_after(log, 1) == pytest.approx({2: 1 / 3, 3: (1 / 2 + 1) / 3})
    assert scores_after(log, 1, weighting="same") == pytest.approx({2: 1 / 3, 3: 2 / 3})
    assert scores_after(log, 1, weighting="quadratic") == pytest.approx(
        {2: 1 / 3, 3: (1 / 4 + 1) / 3}
    )
    assert scores_after(log, 1, weighting="linear") == pytest.approx(
        {2: 0.9 / 3, 3: (0.8 + 0.9) / 3}
    )


def test_every_pair_of_a_repeated_item_is_counted():
    # pairs from 1: (1, 1) one step, (1, 2) two steps and one step
    assert scores_after([[1, 1, 2]], 1) == pytest.approx({1: 1 / 3, 2: (1 / 2 + 1) / 3})


def test_pairs_beyond_the_maximum_distance_are_ignored():
    assert set(scores_after([[1, 2, 3, 4]], 1, steps=2)) == {2, 3}


def test_linear_weights_are_never_negative():
    scores = scores_after([list(range(1, 31))], 1, weighting="linear", steps=20)
    assert set(scores) == set(range(2, 11))
    assert min(scores.values()) > 0


def test_an_unknown_click_is_a_step_but_no_rule():
    assert scores_after([[1, 0, 2]], 1) == pytest.approx({2: 1 / 2})


def test_one_step_equals_markov():
    log = Sessions.from_lists([[1, 2, 3, 1, 3], [3, 3, 1], [2, 1, 2]])
    batch = SessionBatch.from_lists([[1], [2], [3]])
    chain = Markov.fit(log, MarkovConfig(), seed=0, progress=silent)
    rules = SequentialRules.fit(log, SequentialRulesConfig(steps=1), seed=0, progress=silent)
    assert chain.score(batch).tolist() == rules.score(batch).tolist()


@given(
    log=logs,
    steps=st.integers(1, 5),
    kind=st.sampled_from(KINDS),
    neighbors=st.integers(1, 4),
)
def test_table_equals_the_reference(log, steps, kind, neighbors):
    config = SequentialRulesConfig(steps, kind, neighbors, "keep")
    model = SequentialRules.fit(Sessions.from_lists(log, N_ITEMS), config, seed=0, progress=silent)
    expected = followers(log, [by_step(kind, n) for n in range(1, steps + 1)], neighbors)
    scores = rows(model.score_sparse(SessionBatch.from_lists([[i] for i in range(1, N_ITEMS + 1)])))
    assert scores == [pytest.approx(expected.get(i, {}), rel=1e-6) for i in range(1, N_ITEMS + 1)]
