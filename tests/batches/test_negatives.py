"""Popularity-based negative sampling: frequencies, no padding, reproducible draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.batches.negatives import NegativeSampler
from nextclick.errors import ConfigError

SUPPORT = np.array([99, 1, 16, 0, 4, 81])  # 99 clicks on unknown items, which are never drawn


def test_log_q_by_hand() -> None:
    # square roots 1, 4, 0, 2, 9, together 16
    sampler = NegativeSampler(SUPPORT, 0.5)
    assert sampler.n_items == 5
    assert sampler.log_q.dtype == np.float32
    expected = [0, 1 / 16, 4 / 16, 0, 2 / 16, 9 / 16]
    assert np.exp(sampler.log_q) == pytest.approx(expected)


def test_alpha_zero_draws_items_without_clicks_too() -> None:
    assert np.exp(NegativeSampler(SUPPORT, 0).log_q) == pytest.approx([0, *[0.2] * 5])


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
def test_frequencies(alpha: float) -> None:
    sampler = NegativeSampler(SUPPORT, alpha)
    n = 200_000
    counts = np.bincount(sampler.draw(n, np.random.default_rng(7)), minlength=6)
    expected = n * np.exp(sampler.log_q.astype(np.float64))
    assert not counts[expected == 0].any()
    possible = expected > 0
    chi_square = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert chi_square < 18.5  # 4 degrees of freedom or fewer, p = 0.001


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.sampled_from([0.0, 0.3, 1.0]))
def test_alias_table_holds_the_distribution(support: list[int], alpha: float) -> None:
    if alpha and not any(support):
        support[0] = 1
    sampler = NegativeSampler(np.array([5, *support]), alpha)
    # each of the N cells has probability 1/N, shared by its own item and its alias
    mass = sampler._threshold.astype(np.float64)
    np.add.at(mass, sampler._alias, 1.0 - sampler._threshold.astype(np.float64))
    weights = np.array(support, dtype=np.float64) ** alpha
    assert mass / len(support) == pytest.approx(weights / weights.sum(), abs=1e-6)


def test_same_state_same_draw() -> None:
    sampler = NegativeSampler(SUPPORT, 1.0)
    first = sampler.draw(50, np.random.default_rng([3, 1]))
    again = sampler.draw(50, np.random.default_rng([3, 1]))
    other = sampler.draw(50, np.random.default_rng([3, 2]))
    assert first.dtype == np.int64
    assert first.tolist() == again.tolist() != other.tolist()


def test_the_shape_of_a_draw() -> None:
    sampler = NegativeSampler(SUPPORT, 1.0)
    drawn = sampler.draw((4, 3), np.random.default_rng(0))
    assert drawn.shape == (4, 3)
    assert drawn.ravel().tolist() == sampler.draw(12, np.random.default_rng(0)).tolist()


def test_one_item_is_always_drawn() -> None:
    assert set(NegativeSampler(np.array([0, 3]), 1.0).draw(20, np.random.default_rng(0))) == {1}


@pytest.mark.parametrize("alpha", [-0.5, float("nan"), float("inf")])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(ConfigError, match=r"negative_alpha must be a finite number ≥ 0, got"):
        NegativeSampler(SUPPORT, alpha)


@pytest.mark.parametrize("support", [[7], [7, 0, 0]])
def test_nothing_to_draw(support: list[int]) -> None:
    with pytest.raises(ConfigError, match="no item with clicks to draw negatives from"):
        NegativeSampler(np.array(support), 1.0)
