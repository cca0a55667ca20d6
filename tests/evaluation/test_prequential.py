"""Prequential evaluation: scores of a block depend on earlier blocks only."""

from dataclasses import replace

import numpy as np
import pytest

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError
from nextclick.evaluation import evaluate
from nextclick.evaluation.prequential import BlockRow
from nextclick.models.base import Capabilities, Model

N = 6


class Counts(Model):
    """Scores an item by its clicks so far, and records the updates."""

    name = "counts"
    default_capabilities = Capabilities(update="by-block")
    n_items = N

    def __init__(self, clicks=(0,) * (N + 1), last_block=-1, updates=None):
        self.config = None
        self.clicks = np.array(clicks, np.float32)
        self.last_block = last_block
        self.neighbor_pairs = {last_block + 1: int(self.clicks.sum())}
        self.updates = [] if updates is None else updates

    def with_history(self, sessions, before=None):
        n = len(sessions) if before is None else int(np.searchsorted(sessions.blocks, before))
        return Counts(sessions.slice(0, n).support(), before - 1, self.updates)

    def advance(self, sessions):
        assert set(np.asarray(sessions.blocks)) <= {self.last_block + 1}
        self.updates.append([sessions.session(s).tolist() for s in range(len(sessions))])
        self.clicks += sessions.support()
        self.last_block += 1
        self.neighbor_pairs[self.last_block + 1] = int(self.clicks.sum())

    def keep_open(self, sessions):
        raise NotImplementedError

    def score(self, batch: SessionBatch):
        return np.tile(self.clicks, (len(batch), 1))

    def state(self):
        return {"clicks": self.clicks}

    @classmethod
    def from_state(cls, state, config):
        return cls(state["clicks"])


def log(clicks, blocks):
    return replace(Sessions.from_lists(clicks, n_items=N), blocks=np.array(blocks, np.int32))


HISTORY = log([[1, 2], [1, 1], [1, 3], [4, 4]], [0, 1, 1, 2])
TEST = log([[3, 2], [5, 5, 5], [1, 5], [6, 3]], [2, 2, 4, 5])


def test_by_hand():
    scorer = Counts()
    found = evaluate(scorer, TEST, ks=[1, 2], history=HISTORY, n_bootstrap=0)
    # before block 2: 1 five times less one (4), 2 and 3 once; block 2 has [4, 4], of the history
    # targets: 2 ties with 3 → rank 3; 5 twice with score 0, as 4, 5, 6 → rank 6
    # before 4: 1 ×4, 5 ×3, 2 and 3 ×2, 4 ×2 → 5 has rank 2; before 5: 3 ×2 ties with 2 and 4, while
    # 1 ×5 and 5 ×4 are above → rank 5
    assert found.ranks.tolist() == [3, 6, 6, 2, 5]
    assert found.session.tolist() == [0, 1, 1, 2, 3]
    assert found.counts.sessions == 4
    assert scorer.updates == [[[4, 4], [3, 2], [5, 5, 5]], [], [[1, 5]]]
    assert found.blocks == (BlockRow(2, 2, 6), BlockRow(4, 1, 13), BlockRow(5, 1, 15))
    assert scorer.clicks.sum() == 0


def test_without_history_the_scorer_is_not_updated():
    scorer = Counts(HISTORY.support(), 2)
    found = evaluate(scorer, TEST, ks=[1], n_bootstrap=0)
    assert found.blocks == ()
    assert scorer.updates == []
    assert found.ranks.tolist() == [4, 6, 6, 6, 4]


def test_later_sessions_and_the_rest_of_a_block_have_no_effect():
    expected = evaluate(Counts(), TEST, ks=[1], history=HISTORY, n_bootstrap=0).ranks
    for session in range(4):
        later = [[2, 2, 2] if s == session else TEST.session(s).tolist() for s in range(4)]
        changed = log(later, TEST.blocks)
        found = evaluate(Counts(), changed, ks=[1], history=HISTORY, n_bootstrap=0)
        for other in range(4):
            if other != session and TEST.blocks[other] <= TEST.blocks[session]:
                before = expected[np.array([0, 1, 1, 2, 3]) == other]
                assert found.ranks[found.session == other].tolist() == before.tolist()


def test_the_memory_limit_has_no_effect():
    default = evaluate(Counts(), TEST, ks=[1], history=HISTORY, n_bootstrap=0)
    small = evaluate(Counts(), TEST, ks=[1], history=HISTORY, n_bootstrap=0, max_memory_bytes=1)
    assert default.ranks.tolist() == small.ranks.tolist()
    assert default.session.tolist() == small.session.tolist()


def test_a_scorer_without_update_is_refused(monkeypatch):
    scorer = Counts()
    monkeypatch.setattr(Counts, "default_capabilities", Capabilities())
    with pytest.raises(
        ConfigError,
        match="prequential must be false for counts: with these parameters the model has no",
    ):
        evaluate(scorer, TEST, ks=[1], history=HISTORY)


def test_sessions_without_blocks_are_refused():
    bare = replace(HISTORY, blocks=None)
    with pytest.raises(ConfigError, match="prequential needs sessions with blocks of time"):
        evaluate(Counts(), TEST, ks=[1], history=bare)
