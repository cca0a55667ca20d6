import numpy as np
import pytest

from nextclick.batches.local_negatives import LocalNegatives
from nextclick.batches.session_order import SessionOrder
from nextclick.core.sessions import Sessions

LOG = [[1, 2, 3], [1, 4], [5, 6, 5, 6], [7, 1], [2, 8]]
USERS = [1, 1, 2, 0, 0]


@pytest.fixture
def sessions():
    log = Sessions.from_lists(LOG, n_items=9)
    return Sessions(log.items, log.offsets, 9, users=np.array(USERS, np.int32), n_users=2)


def whole_batch(sessions):
    return SessionOrder(sessions, batch_size=100, max_length=None, seed=0, shuffle=False).plan(0)[0]


def allowed(reject):
    """For each prefix, the targets of the batch that are valid negatives by definition."""
    targets = [item for session in LOG for item in session[1:]]
    negatives = []
    for session, user in zip(LOG, USERS, strict=True):
        history = {i for s, u in zip(LOG, USERS, strict=True) for i in s if u == user and user}
        for target in session[1:]:
            rejected = {target}
            if reject != "nothing":
                rejected |= set(session)
            if reject == "history":
                rejected |= history
            negatives.append([item for item in targets if item not in rejected])
    return negatives


@pytest.mark.parametrize("reject", ["nothing", "session", "history"])
def test_valid_negatives_are_drawn_in_proportion_to_their_popularity(sessions, reject):
    batch = whole_batch(sessions)
    sampler = LocalNegatives(sessions, 4000, reject)
    drawn = sampler.draw(batch, np.random.default_rng(0))
    assert drawn.shape == (len(batch), 4000)
    for row, valid in zip(drawn, allowed(reject), strict=True):
        items, counts = np.unique(row[row > 0], return_counts=True)
        assert set(items) == set(valid)
        for item, count in zip(items, counts, strict=True):
            assert count / counts.sum() == pytest.approx(valid.count(item) / len(valid), abs=0.04)


def test_without_valid_negatives_the_result_is_0():
    sessions = Sessions.from_lists([[1, 2, 1, 2]])
    drawn = LocalNegatives(sessions, 3, "session").draw(
        whole_batch(sessions), np.random.default_rng(0)
    )
    assert not drawn.any()


def test_the_negatives_depend_on_the_seed(sessions):
    batch, sampler = whole_batch(sessions), LocalNegatives(sessions, 5, "history")
    first, again, other = (sampler.draw(batch, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
