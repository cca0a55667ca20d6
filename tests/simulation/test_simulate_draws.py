"""Kernels of the simulator compared with simple references, and the daily popularity."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from nextclick.simulation.catalog import build_catalog, popularity, scramble
from nextclick.simulation.item_sampling import (
    NONE,
    ItemSampler,
    find_interval,
    guide_table,
    sample_popular,
)
from nextclick.simulation.simulation_config import SimulationConfig
from nextclick.simulation.visitor_behavior import time_of_day


def item_sampler(weights: list[float], bounds: list[int]) -> ItemSampler:
    running = np.concatenate([[0.0], np.cumsum(weights)])
    ends = np.array(bounds)
    return ItemSampler(
        category=np.repeat(np.arange(len(bounds) - 1), np.diff(ends)),
        bounds=ends,
        familiar=np.linspace(0, 1, len(bounds)),
        weights=np.array(weights),
        running=running,
        mass=running[ends],
        guide=guide_table(ends, running),
    )


def test_find_interval_returns_the_interval_that_contains_the_value() -> None:
    running = np.array([0.0, 1.0, 1.0, 4.0])
    values = [0.0, 0.99, 1.0, 3.99, 4.0]
    assert [find_interval(running, value) for value in values] == [0, 0, 2, 2, 2]


def test_the_guide_table_equals_a_search_at_even_quantiles() -> None:
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=40) * (rng.random(40) < 0.7)
    bounds = np.array([0, 15, 16, 40])
    running = np.concatenate([[0.0], np.cumsum(weights)])
    expected = []
    for low, high in pairwise(bounds):
        for k in range(high - low):
            threshold = running[low] + k / (high - low) * (running[high] - running[low])
            above = [i for i in range(low, high) if running[i + 1] > threshold]
            expected.append(above[0] if above else high - 1)
    assert guide_table(bounds, running).tolist() == expected


def test_items_are_sampled_in_proportion_to_their_weights() -> None:
    sampler = item_sampler([1, 0, 3, 4, 0, 0, 2], [0, 4, 6, 7])
    rng = np.random.default_rng(0)
    share = (
        np.bincount([sample_popular(rng, sampler, NONE) for _ in range(20_000)], minlength=7)
        / 20_000
    )
    np.testing.assert_allclose(share, [0.1, 0, 0.3, 0.4, 0, 0, 0.2], atol=0.015)
    share = (
        np.bincount([sample_popular(rng, sampler, 0) for _ in range(20_000)], minlength=7) / 20_000
    )
    np.testing.assert_allclose(share, [0.125, 0, 0.375, 0.5, 0, 0, 0], atol=0.015)


def test_a_category_without_released_items_is_replaced() -> None:
    sampler = item_sampler([1, 0, 0, 1], [0, 1, 3, 4])
    rng = np.random.default_rng(0)
    assert {sample_popular(rng, sampler, 1) for _ in range(100)} == {0, 3}


def test_the_correlation_of_two_days_decays_with_their_lag() -> None:
    config = SimulationConfig(items=20_000, days=11, drift=1.0, new_items=0)
    shop = build_catalog(config)
    trend = np.array([np.log(weights) - shop.appeal for weights in popularity(shop, config)])
    assert np.std(trend, axis=1) == pytest.approx(np.ones(11), abs=0.02)
    assert np.corrcoef(trend[0], trend[1])[0, 1] == pytest.approx(np.exp(-0.1), abs=0.02)
    assert np.corrcoef(trend[0], trend[10])[0, 1] == pytest.approx(np.exp(-1.0), abs=0.02)


def test_without_drift_popularity_is_constant_and_follows_the_ranks() -> None:
    config = SimulationConfig(items=1_000, categories=5, days=3, drift=0, new_items=0)
    first, _, last = popularity(build_catalog(config), config)
    np.testing.assert_array_equal(first, last)
    by_rank = np.sort(first)[::-1]
    np.testing.assert_allclose(by_rank[[0, 9, 999]], [1 / 6, 1 / 15, 1 / 1005])  # rank + N/200


def test_categories_shrink_and_none_is_empty() -> None:
    shop = build_catalog(SimulationConfig(items=29, categories=4))
    assert shop.bounds.tolist() == [0, 10, 17, 24, 29]  # 1 each; 25 by 1, .71, .58, .5
    assert np.bincount(shop.category)[1:].tolist() == [10, 7, 7, 5]
    assert (
        np.diff(build_catalog(SimulationConfig(items=60, categories=60)).bounds).tolist()
        == [1] * 60
    )


@pytest.mark.parametrize("n", [1, 2, 1_000, 4_096])
def test_scrambled_ids_are_distinct(n: int) -> None:
    assert len(np.unique(scramble(np.arange(n), n))) == n


def test_scrambled_ids_of_a_very_large_shop_are_positive() -> None:
    ids = scramble(np.array([0, 1, 2**40 - 1]), 2**40)
    assert len(np.unique(ids)) == 3
    assert (ids > 0).all()


def test_time_of_day_runs_from_midnight_to_midnight() -> None:
    times = [time_of_day(quantile) for quantile in np.linspace(0, 1, 200)]
    assert times == sorted(times)
    assert times[0] == 0
    assert times[-1] == 86_400_000 - 1
    # of 861 sessions 8 + 5 begin before 02:00, and half of the next 3 before 02:30
    assert time_of_day((8 + 5 + 1.5) / 861) == pytest.approx(2.5 * 3_600_000, rel=1e-6)
