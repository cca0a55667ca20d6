"""Catalog growth: known items keep their scores, new rows are means of their neighbors."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.models.incremental_state import FineTuneSettings, PriorSessions, scatter_rows
from nextclick.models.model_registry import model_class
from reference.tiny_model import fresh

# 1..4 become 1, 2, 4, 6; 3, 5 and 7 are new
INDEX = np.array([0, 1, 2, 4, 6], dtype=np.int32)
OLD = Sessions.from_lists([[1, 2, 3], [3, 4, 1], [2, 4]] * 3, 4)
NEW = Sessions.from_lists([[1, 3, 2], [3, 1], [3, 5], [5, 5, 3], [7]], 7)
BATCH = [[1], [1, 2], [4, 3, 1], [2, 2, 3]]


def prior_sessions(old=OLD):
    support = scatter_rows(old.support(), INDEX, 7)
    return PriorSessions(INDEX, 7, len(old), support, old.remap_items(INDEX, 7))


def remap_batch(batch):
    return SessionBatch.from_lists([[int(INDEX[i]) for i in row] for row in batch])


def with_context(sessions):
    """The sessions with one click per minute and three users."""
    times = np.arange(sessions.n_events, dtype=np.int64) * 60_000
    users = (np.arange(len(sessions)) % 3 + 1).astype(np.int32)
    return replace(sessions, times=times, users=users, n_users=3)


def test_a_new_row_is_the_mean_of_its_neighbors():
    """3 is adjacent to 1 twice and to 2 once; 5 only to 3, which is new; 7 to no item."""
    model = fresh(4)
    rows = model.state()["outputs.weight"]
    grown = model.grow_catalog(prior_sessions(), NEW).state()["outputs.weight"]
    three = (2 * rows[1] + rows[2]) / 3
    np.testing.assert_allclose(grown[3], three, rtol=1e-6)
    np.testing.assert_allclose(grown[5], three, rtol=1e-6)
    np.testing.assert_allclose(grown[7], rows[1:].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(grown[INDEX], rows)
    assert not grown[0].any()


def test_a_bias_is_a_row_with_one_number():
    model = fresh(4)
    with torch.no_grad():
        model.encoder.bias.copy_(torch.tensor([0.0, 3.0, 6.0, 9.0, 12.0]))
    grown = model.grow_catalog(prior_sessions(), NEW).state()["bias"]
    assert grown.tolist() == [0.0, 3.0, 6.0, 4.0, 9.0, 4.0, 12.0, 7.5]


@pytest.mark.parametrize("name", ["bpr-mf", "fpmc"])
def test_factor_models_grow_and_are_fine_tuned(name):
    model_type = model_class(name)
    model = model_type.fit(OLD, model_type.Config(factors=4, epochs=2), seed=1, progress=silent)
    before = model.state()["items"].copy()
    larger = model.grow_catalog(prior_sessions(), NEW)
    np.testing.assert_allclose(
        larger.score(remap_batch(BATCH))[:, INDEX],
        model.score(SessionBatch.from_lists(BATCH)),
        rtol=1e-5,
        atol=1e-6,
    )
    steps = FineTuneSettings(epochs=3, rate=1.0, minutes=float("inf"), seed=5)
    first, second = (larger.fine_tune(NEW, steps, progress=silent) for _ in range(2))
    np.testing.assert_array_equal(first.score(remap_batch(BATCH)), second.score(remap_batch(BATCH)))
    assert not np.array_equal(first.state()["items"], larger.state()["items"])
    untrained = larger.fine_tune(NEW, FineTuneSettings(3, 1.0, 0.0, 5), progress=silent)
    np.testing.assert_array_equal(untrained.state()["items"], larger.state()["items"])
    np.testing.assert_array_equal(model.state()["items"], before)


def test_the_factors_of_a_user_are_fine_tuned():
    model_type = model_class("bpr-mf")
    config = model_type.Config(factors=4, epochs=2, of="user")
    model = model_type.fit(with_context(OLD), config, seed=1, progress=silent)
    new = with_context(Sessions.from_lists([[1, 2, 3]], 4))  # of user 1
    prior = PriorSessions(np.arange(5, dtype=np.int32), 4, len(OLD), OLD.support())
    tuned_model = model.grow_catalog(prior, new).fine_tune(
        new, FineTuneSettings(1, 1.0, 9.0, 0), progress=silent
    )
    changed = (tuned_model.users != model.users).any(axis=1)
    assert changed.tolist() == [False, True, False, False]
