"""The bootstrap: against its slow twin, a naive one, and the truth it should cover."""

from __future__ import annotations

import numpy as np
import pytest

from nextclick.errors import ConfigError
from nextclick.evaluation import intervals
from nextclick.evaluation.intervals import Estimate, bootstrap, estimates
from reference import eval_bootstrap


def simulated(n_sessions: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hits of sessions whose visitors differ in how well they are understood; E[hit] = 0.4."""
    prefixes = rng.geometric(0.3, n_sessions)
    ease = rng.beta(2, 3, n_sessions)
    return rng.binomial(prefixes, ease)[:, None].astype(float), prefixes


@pytest.mark.parametrize("width", [1, 7, 64, 8192])
def test_the_kernel_equals_its_slow_twin(width: int) -> None:
    n_draws = np.array([0, 5, 100])
    state = np.array([2**64 - 3], dtype=np.uint64)
    times = np.zeros((3, width))
    after, expected = eval_bootstrap.draw(int(state[0]), n_draws.tolist(), width)
    intervals._draw(state, n_draws, times)
    assert times.tolist() == expected
    assert int(state[0]) == after


def test_draws_are_uniform() -> None:
    times = np.zeros((1, 10))
    intervals._draw(np.array([1], dtype=np.uint64), np.array([1_000_000]), times)
    chi_square = ((times - 100_000) ** 2 / 100_000).sum()
    assert chi_square < 27.9  # 99.9 % point with 9 degrees of freedom


@pytest.mark.parametrize("chunk", [8192, 64])
def test_same_distribution_as_the_naive_bootstrap(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "CHUNK", chunk)  # one chunk, and many with a ragged end
    sums, prefixes = simulated(300, np.random.default_rng(5))
    sums = np.column_stack([sums, prefixes - sums[:, 0]])
    ours = bootstrap(sums, prefixes, n_resamples=4000, seed=1)
    naive = eval_bootstrap.bootstrap(sums, prefixes, 4000, seed=2)
    deviation = naive.std(axis=0)
    assert np.abs(ours.mean(axis=0) - naive.mean(axis=0)).max() < 0.1 * deviation.min()
    assert ours.std(axis=0) == pytest.approx(deviation, rel=0.06)
    assert ours.sum(axis=1) == pytest.approx(np.ones(4000))  # metrics share their resamples


def test_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    n_trials, covered = 600, 0
    for trial in range(n_trials):
        sums, prefixes = simulated(250, rng)
        found = estimates(["hit"], sums, prefixes, n_bootstrap=500, seed=trial)["hit"]
        covered += found.low <= 0.4 <= found.high
    assert 0.92 < covered / n_trials < 0.975  # 0.95 ± three standard errors


def test_prefixes_of_a_session_are_not_independent() -> None:
    """1,000 prefixes in 10 sessions that hit always or never say as little as 10 coins."""
    sums = np.array([[100.0], [0.0]] * 5)
    found = estimates(["hit"], sums, np.full(10, 100), n_bootstrap=1000, seed=0)["hit"]
    assert found.value == 0.5
    assert found.high - found.low > 0.5


def test_the_seed_decides() -> None:
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
