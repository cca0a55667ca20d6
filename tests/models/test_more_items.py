"""A larger catalog: old items keep their scores, new ones begin where their neighbors are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.models.incremental_state import FineTuneSteps, PriorSessions, scatter_rows
from nextclick.models.model_registry import model_class
from reference.tiny_model import fresh

# 1..4 become 1, 2, 4, 6; 3, 5 and 7 are new
INDEX = np.array([0, 1, 2, 4, 6], dtype=np.int32)
OLD = Sessions.from_lists([[1, 2, 3], [3, 4, 1], [2, 4]] * 3, 4)
NEW = Sessions.from_lists([[1, 3, 2], [3, 1], [3, 5], [5, 5, 3], [7]], 7)
BATCH = [[1], [1, 2], [4, 3, 1], [2, 2, 3]]


def past_of(old=OLD):
    support = scatter_rows(old.support(), INDEX, 7)
    return PriorSessions(INDEX, 7, len(old), support, old.renumbered(INDEX, 7))


def moved(batch):
    return SessionBatch.from_lists([[int(INDEX[i]) for i in row] for row in batch])


def with_context(sessions):
    """The same with a click a minute and three users."""
    times = np.arange(sessions.n_events, dtype=np.int64) * 60_000
    users = (np.arange(len(sessions)) % 3 + 1).astype(np.int32)
    return replace(sessions, times=times, users=users, n_users=3)


def test_a_new_item_begins_at_the_mean_of_its_neighbors():
    """3 is joined with 1 twice and with 2 once; 5 with 3 alone, which is new; 7 with nothing."""
    model = fresh(4)
    rows = model.state()["outputs.weight"]
    found = model.grow_catalog(past_of(), NEW).state()["outputs.weight"]
    three = (2 * rows[1] + rows[2]) / 3
    np.testing.assert_allclose(found[3], three, rtol=1e-6)
    np.testing.assert_allclose(found[5], three, rtol=1e-6)
    np.testing.assert_allclose(found[7], rows[1:].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(found[INDEX], rows)
    assert not found[0].any()


def test_a_bias_is_a_row_of_one_number():
    model = fresh(4)
    with torch.no_grad():
        model.encoder.bias.copy_(torch.tensor([0.0, 3.0, 6.0, 9.0, 12.0]))
    found = model.grow_catalog(past_of(), NEW).state()["bias"]
    assert found.tolist() == [0.0, 3.0, 6.0, 4.0, 9.0, 4.0, 12.0, 7.5]


@pytest.mark.parametrize("name", ["bpr-mf", "fpmc"])
def test_factors_get_rows_and_go_on(name):
    kind = model_class(name)
    model = kind.fit(OLD, kind.Config(factors=4, epochs=2), seed=1, progress=silent)
    before = model.state()["items"].copy()
    larger = model.grow_catalog(past_of(), NEW)
    np.testing.assert_allclose(
        larger.score(moved(BATCH))[:, INDEX],
        model.score(SessionBatch.from_lists(BATCH)),
        rtol=1e-5,
        atol=1e-6,
    )
    steps = FineTuneSteps(epochs=3, rate=1.0, minutes=float("inf"), seed=5)
    one, other = (larger.tuned(NEW, steps, progress=silent) for _ in range(2))
    np.testing.assert_array_equal(one.score(moved(BATCH)), other.score(moved(BATCH)))
    assert not np.array_equal(one.state()["items"], larger.state()["items"])
    none = larger.tuned(NEW, FineTuneSteps(3, 1.0, 0.0, 5), progress=silent)
    np.testing.assert_array_equal(none.state()["items"], larger.state()["items"])
    np.testing.assert_array_equal(model.state()["items"], before)


def test_a_visitor_goes_on_from_his_factors():
    kind = model_class("bpr-mf")
    config = kind.Config(factors=4, epochs=2, of="user")
    model = kind.fit(with_context(OLD), config, seed=1, progress=silent)
    new = with_context(Sessions.from_lists([[1, 2, 3]], 4))  # of user 1
    same = PriorSessions(np.arange(5, dtype=np.int32), 4, len(OLD), OLD.support())
    made = model.grow_catalog(same, new).tuned(new, FineTuneSteps(1, 1.0, 9.0, 0), progress=silent)
    changed = (made.users != model.users).any(axis=1)
    assert changed.tolist() == [False, True, False, False]
