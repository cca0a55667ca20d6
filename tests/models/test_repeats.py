"""The repeat model: its counts, the scores of items of the session, updates and explanations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.models.classical.markov import Markov, MarkovConfig
from nextclick.models.classical.repeat_counts import SHAPE, WINDOW, RepeatCounts
from nextclick.models.classical.repeat_model import return_probability
from nextclick.models.incremental_state import PriorSessions
from nextclick.models.model_registry import model_class
from reference import repeats as reference
from reference.logs import N_ITEMS, logs, prefixes
from reference.rows import rows

NAMES = ["session-knn", "item-knn", "markov", "rules"]


def fit(name, log, n_items=None, **parameters):
    cls = model_class(name)
    sessions = Sessions.from_lists(log, n_items)
    return cls.fit(sessions, cls.Config(**parameters), seed=0, progress=silent)


def scores_after(model, *clicks):
    return rows(model.score_sparse(SessionBatch.from_lists([list(clicks)])))[0]


def nonzero(counts):
    cells = zip(*np.nonzero(counts), strict=True)
    return {tuple(map(int, cell)): int(counts[cell]) for cell in cells}


def test_counts_by_hand():
    # before 5: [7]; before the second 7: [7 5]; before the third: [7 5 7]; the 0 is left out
    counts = RepeatCounts.from_sessions(Sessions.from_lists([[7, 5, 0, 7, 7]]))
    assert nonzero(counts.offered) == {
        (0, 0, 0): 1,  # 7 before 5: the last click, clicked once, the only item
        (0, 0, 1): 1,  # 5: the last of two items
        (1, 0, 1): 2,  # 7 before the second 7, and 5 before the third: two steps back
        (0, 1, 1): 1,  # 7 before the third: the last click, clicked twice
    }
    assert nonzero(counts.returned) == {(1, 0, 1): 1, (0, 1, 1): 1}
    assert counts.share == pytest.approx(2 / 3)


def test_a_share_is_smoothed_towards_the_coarser_one():
    offered, returned = np.zeros(SHAPE, np.int64), np.zeros(SHAPE, np.int64)
    offered[0, 0, 0], returned[0, 0, 0] = 80, 40
    offered[1, 0, 1], returned[1, 0, 1] = 20, 10
    p = return_probability(RepeatCounts(offered, returned))
    assert p == pytest.approx(np.full(SHAPE, 0.5))  # one share everywhere
    returned[1, 0, 1] = 0  # 0.4 of all
    p = return_probability(RepeatCounts(offered, returned))
    by_steps = (40 + 20 * 0.4) / 100  # 0.48
    by_clicks = (40 + 20 * by_steps) / 100
    assert p[0, 0, 0] == pytest.approx((40 + 20 * by_clicks) / 100)
    assert p[0, 2, 4] == pytest.approx(by_steps)  # never offered
    assert p[5, 1, 1] == pytest.approx(0.4)


def test_a_click_after_the_window_is_a_first_click():
    session = [1, *range(2, WINDOW + 2), 1]
    counts = RepeatCounts.from_sessions(Sessions.from_lists([session]))
    assert counts.returned.sum() == 0
    counts = RepeatCounts.from_sessions(Sessions.from_lists([[*session[:-2], 1]]))
    assert nonzero(counts.returned) == {(8, 0, 4): 1}


def test_score_of_a_repeat_by_hand():
    # item 1 was offered 24 times and returned to once: 23 times as the only click, then as two
    log = [[1, 2]] * 22 + [[1, 1, 2]]
    by_steps = (1 + 20 / 24) / (24 + 20)
    by_clicks = (1 + 20 * by_steps) / (23 + 20)
    p = (1 + 20 * by_clicks) / (23 + 20)
    # votes of the Markov chain: 23 of 24 transitions go to 2, one to 1
    plain = (p * (23 / 24) ** 1.25 / (1 - p)) ** 0.8
    expected = {1: plain ** (7 / 8) * (1 / 24) ** (1 / 8), 2: 23 / 24}
    assert scores_after(fit("markov", log, n_items=100), 1) == pytest.approx(expected)
    # Item-KNN has no vote for the last click, and one neighbor: c = 23, n = 23 of both
    expected = {1: (p * (23 / 43) ** 1.25 / (1 - p)) ** 0.8, 2: 23 / 43}
    assert scores_after(fit("item-knn", log, n_items=100), 1) == pytest.approx(expected)
    # below the share of a random item, 1 in 20
    assert scores_after(fit("markov", log, n_items=20), 1)[1] == -1


def test_items_of_the_session_are_hidden_on_a_log_without_repeats():
    log = [[i, i + 1, i + 2] for i in range(1, 30)]
    for name in NAMES:
        learned, hidden = fit(name, log), fit(name, log, repeats="hide")
        assert learned.repeats.counts.share == 0
        scores = scores_after(learned, 5, 6)
        assert scores == scores_after(hidden, 5, 6)
        assert {item for item, score in scores.items() if score < 0} == {5, 6}


def test_items_of_the_session_come_first_on_a_log_of_repeats():
    # every visitor alternates between two items
    log = [[i, i + 1] * 4 for i in range(1, 60, 2)]
    for name in NAMES:
        scores = scores_after(fit(name, log), 11, 4, 11)
        assert max(scores, key=scores.__getitem__) == 4  # two steps back, like all returns


def test_scores_of_other_items_do_not_change():
    log = [[1, 2, 1, 3], [2, 3, 3], [1, 3, 4, 1], [4, 2]]
    for name in NAMES:
        kept = scores_after(fit(name, log, repeats="keep"), 1, 3)
        learned = scores_after(fit(name, log), 1, 3)
        others = {item: score for item, score in kept.items() if item not in (1, 3)}
        assert {item: learned[item] for item in others} == others
        assert set(learned) == set(others) | {1, 3}


@given(log=logs, clicks=prefixes)
def test_counts_equal_the_reference(log, clicks):
    counts = RepeatCounts.from_sessions(Sessions.from_lists([*log, clicks], N_ITEMS))
    offered, returned = reference.counts([*log, clicks])
    assert nonzero(counts.offered) == dict(offered)
    assert nonzero(counts.returned) == dict(returned)


@given(log=logs, clicks=prefixes, name=st.sampled_from(NAMES))
def test_scores_equal_the_reference(log, clicks, name):
    votes = scores_after(fit(name, log, N_ITEMS, repeats="keep"), *clicks)
    expected = reference.rescored(log, clicks, votes, N_ITEMS)
    assert scores_after(fit(name, log, N_ITEMS), *clicks) == pytest.approx(expected, rel=1e-5)


@given(older=logs, newer=logs)
def test_an_update_equals_training_on_both_logs(older, newer):
    cls = model_class("session-knn")
    old, new = (Sessions.from_lists(log, N_ITEMS) for log in (older, newer))
    past = PriorSessions(
        index=np.arange(N_ITEMS + 1, dtype=np.int32),
        n_items=N_ITEMS,
        n_sessions=len(old),
        support=old.support(),
    )
    model = cls.fit(old, cls.Config(), seed=0, progress=silent)
    updated = model.update_exactly(new, past, progress=silent).state()
    both = cls.fit(old.concatenate(new), cls.Config(), seed=0, progress=silent).state()
    for name in ("repeat_offered", "repeat_returned"):
        assert updated[name].tolist() == both[name].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_a_repeat_add_up_to_its_score(name):
    log = [[1, 2, 1, 3], [2, 3, 3], [1, 3, 4, 1], [4, 2]]
    items = np.array([1, 2, 3, 4], dtype=np.int32)
    for repeats in ("learned", "keep", "hide"):
        model = fit(name, log, repeats=repeats)
        batch = SessionBatch.from_lists([[3, 1]])
        parts = model.explain(batch, items).parts
        total = parts.clicks.sum(axis=1) + sum(parts.rest.values())
        assert total == pytest.approx(model.score(batch)[0, items], rel=1e-5)
        assert ("repeat" in parts.rest) == (repeats != "keep")
        if repeats != "keep":
            assert parts.clicks[[0, 2]].tolist() == [[0, 0], [0, 0]]
            assert parts.rest["repeat"][[1, 3]].tolist() == [0, 0]


def test_only_a_learned_model_stores_counts():
    log = Sessions.from_lists([[1, 2, 1]])
    for repeats, names in (
        ("keep", set()),
        ("hide", set()),
        ("learned", {"repeat_offered", "repeat_returned"}),
    ):
        model = Markov.fit(log, MarkovConfig(repeats=repeats), seed=0, progress=silent)
        state = model.state()
        assert set(state) == {"offsets", "items", "values"} | names
        Markov.check_state(state, model.config, 2)
        again = Markov.from_state(state, model.config)
        assert scores_after(again, 1, 2) == scores_after(model, 1, 2)
