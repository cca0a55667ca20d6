"""Inputs of an encoder besides the clicks."""

import numpy as np
import pytest

from nextclick.batches.session_order import SessionOrder
from nextclick.core.sessions import Sessions
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.neural.asars import ASARS, ASARSConfig
from nextclick.training.encoder_inputs import EncoderInputs


def timed_log(n=400, seed=0):
    rng = np.random.default_rng(seed)
    log = Sessions.from_lists([rng.integers(1, 9, 5).tolist() for _ in range(n)], n_items=9)
    times = np.cumsum(rng.integers(1, 100_000, len(log.items))).astype(np.int64)
    users = rng.integers(0, 4, n).astype(np.int32)
    return Sessions(log.items, log.offsets, 9, times=times, users=users, n_users=3)


def encoder_inputs(gap, log, variant="time_user"):
    config = ASARSConfig(variant=variant, gap=gap)
    model = ASARS(config, log.n_items, DatasetInfo.from_sessions(log, ASARS.requires(config)))
    batch = SessionOrder(log, batch_size=10**6, max_length=None, seed=0, shuffle=False).plan(0)[0]
    return batch, *EncoderInputs(model, log).build(batch, np.random.default_rng(1))


def test_gaps_before_and_after_the_clicks_of_a_batch():
    log = timed_log()
    batch, _, context = encoder_inputs("causal", log)
    gaps = np.diff(log.times.reshape(-1, 5)) / 1000
    np.testing.assert_allclose(batch.dwell, gaps, rtol=1e-6)
    np.testing.assert_allclose(context["gaps"][:, 1:], gaps[:, :-1], rtol=1e-6)
    assert not context["gaps"][:, 0].any()
    assert np.array_equal(context["users"], log.users)


def test_causal_excludes_the_time_to_the_target():
    log = timed_log()
    before = encoder_inputs("causal", log)[2]
    last = np.arange(4, len(log.items), 5)
    log.times[last] += 10**9
    assert not encoder_inputs("causal", log)[2]["waited"].any()
    after = encoder_inputs("causal", log)[2]
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_oracle_includes_the_time_to_the_target():
    batch, _, context = encoder_inputs("oracle", timed_log())
    assert np.array_equal(context["waited"], batch.dwell)


def test_elapsed_predicts_only_before_the_target():
    log = timed_log()
    batch, thinned, context = encoder_inputs("elapsed", log)
    waited = context["waited"].ravel()[thinned.where]
    dwell = batch.dwell.ravel()[thinned.where]
    assert (waited < dwell).all()
    assert 0.5 < len(thinned) / len(batch) < 0.9
    assert set(np.unique(waited[waited > 0])) <= set(np.unique(batch.gaps))


def test_the_moment_of_prediction_does_not_reveal_the_time_of_the_target():
    """After w seconds, the remaining wait is distributed as in the whole log after w seconds."""
    log = timed_log(n=20_000)
    batch, thinned, context = encoder_inputs("elapsed", log)
    waited = context["waited"].ravel()[thinned.where]
    dwell = batch.dwell.ravel()[thinned.where]
    all_dwell = batch.dwell.ravel()
    assert dwell[waited == 0].mean() == pytest.approx(all_dwell.mean(), rel=0.02)
    for low in (10, 40, 70):
        near = (waited >= low) & (waited < low + 5)
        longer = all_dwell[all_dwell > low + 2.5]
        assert dwell[near].mean() == pytest.approx(longer.mean(), rel=0.03)


def test_a_step_has_at_least_one_target():
    log = Sessions.from_lists([[1, 2, 3]])
    log = Sessions(log.items, log.offsets, 3, times=np.array([0, 10**6, 10**6], np.int64))
    for seed in range(20):
        config = ASARSConfig(variant="time_att", gap="elapsed")
        model = ASARS(config, 3, DatasetInfo.from_sessions(log, ASARS.requires(config)))
        batch = SessionOrder(log, batch_size=9, max_length=None, seed=0).plan(0)[0]
        thinned, _ = EncoderInputs(model, log).build(batch, np.random.default_rng(seed))
        assert len(thinned) >= 1
