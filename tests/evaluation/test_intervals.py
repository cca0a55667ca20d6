"""The bootstrap: against a naive version, and its coverage of the true value."""

from __future__ import annotations

import numpy as np
import pytest

from nextclick.errors import ConfigError
from nextclick.evaluation import intervals
from nextclick.evaluation.intervals import Estimate, bootstrap, estimates
from reference import eval_bootstrap


def simulated(n_sessions: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hits of sessions whose visitors differ in predictability; E[hit] = 0.4."""
    prefixes = rng.geometric(0.3, n_sessions)
    ease = rng.beta(2, 3, n_sessions)
    return rng.binomial(prefixes, ease)[:, None].astype(float), prefixes


def test_same_distribution_as_the_naive_bootstrap() -> None:
    sums, prefixes = simulated(300, np.random.default_rng(5))
    sums = np.column_stack([sums, prefixes - sums[:, 0]])
    fast = bootstrap(sums, prefixes, n_resamples=4000, seed=1)
    naive = eval_bootstrap.bootstrap(sums, prefixes, 4000, seed=2)
    deviation = naive.std(axis=0)
    assert np.abs(fast.mean(axis=0) - naive.mean(axis=0)).max() < 0.1 * deviation.min()
    assert fast.std(axis=0) == pytest.approx(deviation, rel=0.06)
    assert fast.sum(axis=1) == pytest.approx(np.ones(4000))  # metrics share their resamples


def test_the_resamples_do_not_depend_on_the_chunk_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sums, prefixes = simulated(100, np.random.default_rng(0))
    whole = bootstrap(sums, prefixes, n_resamples=50, seed=3)
    monkeypatch.setattr(intervals, "_MAX_COUNTS", 700)  # chunks of 7 resamples, the last of 1
    parts = bootstrap(sums, prefixes, n_resamples=50, seed=3)
    assert parts == pytest.approx(whole, rel=1e-12)


def test_coverage_of_the_true_value() -> None:
    rng = np.random.default_rng(11)
    n_trials, covered = 600, 0
    for trial in range(n_trials):
        sums, prefixes = simulated(250, rng)
        found = estimates(["hit"], sums, prefixes, n_bootstrap=500, seed=trial)["hit"]
        covered += found.low <= 0.4 <= found.high
    assert 0.92 < covered / n_trials < 0.975  # 0.95 ± three standard errors


def test_prefixes_of_a_session_are_not_independent() -> None:
    """1,000 prefixes in 10 sessions with all or no hits have the information of 10 coin flips."""
    sums = np.array([[100.0], [0.0]] * 5)
    found = estimates(["hit"], sums, np.full(10, 100), n_bootstrap=1000, seed=0)["hit"]
    assert found.value == 0.5
    assert found.high - found.low > 0.5


def test_equal_seeds_give_equal_resamples() -> None:
    sums, prefixes = simulated(100, np.random.default_rng(0))
    first = bootstrap(sums, prefixes, n_resamples=50, seed=3)
    assert np.array_equal(first, bootstrap(sums, prefixes, n_resamples=50, seed=3))
    assert not np.array_equal(first, bootstrap(sums, prefixes, n_resamples=50, seed=4))


def test_one_session_and_no_resamples() -> None:
    sums, prefixes = np.array([[1.0]]), np.array([4])
    once = estimates(["hit"], sums, prefixes, n_bootstrap=10, seed=0)
    assert once == {"hit": Estimate(0.25, 0.25, 0.25)}
    assert estimates(["hit"], sums, prefixes, n_bootstrap=0, seed=0) == {"hit": Estimate(0.25)}


def test_arguments_out_of_range() -> None:
    with pytest.raises(ConfigError, match="n_resamples must be at least 1, got 0"):
        bootstrap(np.ones((1, 1)), np.array([1]), n_resamples=0)
    with pytest.raises(ConfigError, match="expected at least one session to resample, got none"):
        bootstrap(np.ones((0, 1)), np.zeros(0, dtype=np.int64))
