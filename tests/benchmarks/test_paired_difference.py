"""The interval of a difference covers the seeds of the training as well as the sessions."""

import sys

import numpy as np
import pytest

from docs_pages import ROOT
from nextclick.evaluation.significance import t_quantile

sys.path.insert(0, str(ROOT / "benchmarks"))
from paired_difference import Difference, difference, mean_percent

HIT, MISS = 1.0, 99.0
SESSION = np.repeat(np.arange(400), 2)  # two prefixes each


def ranks(share, rng):
    """Ranks of which a share are hits, at random."""
    return np.where(rng.random(len(SESSION)) < share, HIT, MISS)


def test_seeds_that_differ_widen_the_interval():
    # every session is the same: a bootstrap over sessions alone gives an interval of width 0
    always, never = np.full(len(SESSION), HIT), np.full(len(SESSION), MISS)
    found = difference([always, never], [never, never], SESSION, "recall@20")
    assert found.value == 0.5
    # the standard deviation of 1 and 0 is 0.7071, the error of their mean 0.5, with one degree
    half = t_quantile(0.95, 1) * 0.5
    assert found.low == pytest.approx(0.5 - half, rel=0.15)
    assert found.high == pytest.approx(0.5 + half, rel=0.15)


def test_without_differences_between_seeds_the_sessions_remain():
    rng = np.random.default_rng(0)
    first, second = ranks(0.6, rng), ranks(0.4, rng)
    found = difference([first] * 3, [second] * 3, SESSION, "recall@20")
    each = np.where(first == HIT, 1.0, 0.0) - np.where(second == HIT, 1.0, 0.0)
    error = each.reshape(-1, 2).mean(axis=1).std(ddof=1) / 400**0.5
    assert found.value == pytest.approx(each.mean())
    assert found.high - found.value == pytest.approx(1.96 * error, rel=0.1)


def test_the_sign_is_that_of_the_first():
    rng = np.random.default_rng(1)
    first, second = ([ranks(share, rng) for _ in range(3)] for share in (0.4, 0.6))
    one, other = (
        difference(*pair, SESSION, "mrr@20") for pair in ((first, second), (second, first))
    )
    assert one.value == -other.value < 0
    assert one.low < one.value < one.high < 0 < other.low < other.value < other.high


def test_the_interval_covers_the_true_difference():
    rng, covered = np.random.default_rng(2), 0
    for _ in range(100):
        shares = 0.5 + 0.1 * rng.standard_normal((2, 3))  # of each training; the means are equal
        first, second = ([ranks(share, rng) for share in row] for row in shares)
        found = difference(first, second, SESSION, "recall@20")
        covered += found.low <= 0 <= found.high
    assert covered >= 90  # of 95 expected; sessions alone give less than 40


def test_texts():
    assert Difference(0.0123, -0.001, 0.02).points() == "+1.23 [-0.10, +2.00]"
    assert mean_percent([np.array([1.0, 30.0]), np.array([2.0, 2.0])], "mrr@20") == "50.00"
