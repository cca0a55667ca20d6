"""The first click of a session: inputs in training and evaluation, leaks, and which models can."""

from dataclasses import replace

import numpy as np
import pytest
from test_asars_history import (
    DATASET_INFO,
    HISTORY,
    SMALL,
    N,
    all_prefix_scores,
    batch_of,
    returning_log,
    scores_of_batch,
    small_asars,
)

from nextclick.batches.prefixes import prefix_blocks
from nextclick.batches.session_order import SessionOrder
from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError, EmptyLogError
from nextclick.evaluation import RankingProtocol
from nextclick.evaluation import evaluate as rank
from nextclick.models.classical.bpr_mf import BPRMF, BPRMFConfig
from nextclick.models.classical.fpmc import FPMC, FPMCConfig
from nextclick.models.neural.asars import ASARS, ASARSConfig
from nextclick.training.encoder_inputs import EncoderInputs

FIRST = {"first_click": True, "user_dropout": 0.0}
CASES = {
    "time_att all": {"variant": "time_att", "history": "all"} | FIRST,
    "time_cat repeat": {"variant": "time_cat", "history": "repeat"} | FIRST,
    "time_user": {"variant": "time_user", "history": "attention-repeat", "cell": "gru"} | FIRST,
    "user_cat state": {"variant": "user_cat", "history": "state"} | FIRST,
    "elapsed": {"variant": "time_att", "history": "all", "gap": "elapsed"} | FIRST,
}


@pytest.fixture(params=CASES)
def model(request):
    return small_asars(CASES[request.param])


def empty(history=HISTORY, users=None):
    batch = SessionBatch.from_lists([[]] * len(history))
    return replace(batch, history=history, users=users, gaps=np.zeros((len(history), 0), "f4"))


def evaluated(model, log):
    found = {}
    for mode in ("first", "all"):
        for block in prefix_blocks(
            log, mode=mode, max_length=None, max_cells=40, n_rows=9,
            earlier_sessions=model.capabilities.earlier_sessions,
        ):  # fmt: skip
            keys = zip(block.session.tolist(), block.position.tolist(), strict=True)
            found |= dict(zip(keys, model.score(block.batch), strict=True))
    return found


def training_batch(model, log, max_length=8):
    order = SessionOrder(log, batch_size=10**6, max_length=max_length, seed=0, shuffle=False)
    return EncoderInputs(model, log).build(order.plan(0)[0], np.random.default_rng(0))


def trained(model, log):
    """The scores of every target's prefix, by (session, position), from a training batch."""
    batch, context = training_batch(model, log)
    width = batch.items.shape[1]
    keys = zip(
        batch.session[batch.where // width].tolist(), (batch.where % width).tolist(), strict=True
    )
    return dict(zip(keys, scores_of_batch(model, batch, context), strict=True))


def test_an_empty_session_is_scored_from_its_history(model):
    scores = model.score(empty())
    assert model.capabilities.first_click
    assert not np.allclose(scores[0], scores[1])
    for b in range(4):
        np.testing.assert_allclose(model.score(empty().take([b]))[0], scores[b], atol=1e-5)
    mixed = model.score(replace(batch_of(), lengths=np.array([0, 6, 0, 2], dtype=np.int32)))
    known = batch_of().take([0, 2])
    alone = model.score(replace(known, lengths=np.zeros(2, dtype=np.int32)))
    np.testing.assert_allclose(mixed[[0, 2]], alone, atol=1e-5)


def test_later_clicks_leave_the_first_row_unchanged(model):
    batch = batch_of()
    before = all_prefix_scores(model, batch)
    assert before.shape[1] == 7
    items = batch.items % N + 1
    after = all_prefix_scores(model, replace(batch, items=items))
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    alone = model.score(replace(batch, lengths=np.zeros(4, dtype=np.int32)))
    np.testing.assert_allclose(before[:, 0], alone, atol=1e-5)


@pytest.mark.parametrize("name", ["time_att all", "time_cat repeat", "time_user"])
def test_training_and_evaluation_read_the_same(name):
    model, log = small_asars(CASES[name]), returning_log()
    at_training, at_evaluation = trained(model, log), evaluated(model, log)
    assert at_training.keys() == at_evaluation.keys()
    for key, scores in at_training.items():
        np.testing.assert_allclose(scores, at_evaluation[key], atol=1e-5)
    first = {session for session, position in at_training if position == 0}
    assert 30 < len(first) < len(log)
    assert all(log.users[session] for session in first)


@pytest.mark.parametrize("scores_of", [trained, evaluated])
def test_a_later_session_never_changes_a_first_click(scores_of):
    model, log = small_asars(CASES["time_att all"]), returning_log()
    before, starts, cut = scores_of(model, log), log.times[log.offsets[:-1]], 40
    moment = log.times[log.offsets[cut + 1] - 1]
    items = log.items.copy()
    items[log.offsets[cut] :] = items[log.offsets[cut] :] % N + 1
    after = scores_of(model, replace(log, items=items))
    compared = 0
    for (session, position), scores in before.items():
        if session < cut and position == 0 and starts[session] <= moment:
            np.testing.assert_allclose(after[session, position], scores, atol=1e-6)
            compared += 1
    assert compared > 15


def short_asars(max_length):
    values = SMALL | CASES["time_att all"] | {"max_length": max_length}
    return ASARS(ASARSConfig(**values), N, DATASET_INFO)


def test_a_window_of_a_long_session_has_no_first_click():
    """By hand: 7 clicks with windows of 4; the second session has an earlier one."""
    log = Sessions.from_lists([[1, 2], [3, 4, 5, 6, 7, 8, 9]], n_items=N)
    log = replace(
        log, times=np.arange(9, dtype=np.int64) * 1000, users=np.array([1, 1], np.int32), n_users=4
    )
    model = short_asars(4)
    batch, _ = training_batch(model, log, max_length=4)
    width = batch.items.shape[1]
    firsts = batch.where % width == 0
    assert batch.targets[firsts].tolist() == [3]
    assert np.all(np.diff(batch.where) > 0)
    assert sorted(batch.targets.tolist()) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert not batch.items[:, 0].any()
    batch, _ = training_batch(short_asars(1), log, max_length=1)
    assert np.all(batch.where % batch.items.shape[1] == 1)


def test_the_samples_are_the_first_clicks_with_an_earlier_session():
    log = returning_log()
    (block,) = prefix_blocks(
        log, mode="first", max_length=None, max_cells=10**6, n_rows=10**6, earlier_sessions=0
    )
    starts, ends = log.times[log.offsets[:-1]], log.times[log.offsets[1:] - 1]
    expected = [
        s for s in range(len(log))
        if log.users[s] and any((log.users == log.users[s]) & (ends < starts[s]))
    ]  # fmt: skip
    assert block.session.tolist() == expected
    assert block.targets.tolist() == log.items[log.offsets[expected]].tolist()
    assert not block.batch.lengths.any() and not block.position.any()


def test_evaluation_of_first_clicks():
    model, log = small_asars(CASES["time_att all"]), returning_log()
    found = rank(model, log, protocol=RankingProtocol(mode="first"), ks=[5], n_bootstrap=0)
    assert found.counts.prefixes == found.counts.empty_prefixes == found.counts.sessions
    assert [row.length for row in found.by_length] == [0]
    plain = small_asars({"variant": "time_att", "history": "all"})
    with pytest.raises(ConfigError, match="asars with its parameters cannot predict first clicks"):
        rank(plain, log, protocol=RankingProtocol(mode="first"), ks=[5])
    with pytest.raises(ConfigError, match="min_prefix must be 1 for first clicks"):
        RankingProtocol(mode="first", min_prefix=2)
    with pytest.raises(ConfigError, match="this log has no users or no times"):
        rank(model, replace(log, users=None), protocol=RankingProtocol(mode="first"), ks=[5])
    anonymous = replace(log, users=np.zeros_like(log.users))
    with pytest.raises(EmptyLogError, match="an earlier session of its user"):
        rank(model, anonymous, protocol=RankingProtocol(mode="first"), ks=[5])


def test_models_that_predict_first_clicks():
    assert not small_asars({"variant": "time_att", "first_click": True}).capabilities.first_click
    assert BPRMF.capabilities_of(BPRMFConfig(of="user")).first_click
    assert not BPRMF.capabilities_of(BPRMFConfig()).first_click
    assert FPMC.capabilities_of(FPMCConfig(users=True)).first_click
    assert not FPMC.capabilities_of(FPMCConfig()).first_click
