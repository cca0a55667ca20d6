"""Log-uniform negative sampling."""

import math

import numpy as np
import pytest

from nextclick.batches.log_uniform import LogUniformSampler
from nextclick.errors import ConfigError

SUPPORT = np.array([99, 5, 9, 0, 9])  # ranks: 2, 4, 1, 3


def test_probabilities_by_hand():
    sampler = LogUniformSampler(SUPPORT)
    expected = [0, math.log(4 / 3), math.log(2), math.log(5 / 4), math.log(3 / 2)]
    assert sampler.probability * math.log(5) == pytest.approx(expected)
    assert sampler.probability.sum() == pytest.approx(1.0)


def test_items_are_distinct_and_at_most_all_are_drawn():
    sampler = LogUniformSampler(np.arange(50))
    items, tries = sampler.draw(20, np.random.default_rng(0))
    assert len(set(items.tolist())) == 20
    assert tries >= 20
    assert (items >= 1).all()
    everything, _ = sampler.draw(100, np.random.default_rng(0))
    assert sorted(everything.tolist()) == list(range(1, 50))


def test_frequencies_of_single_draws():
    sampler = LogUniformSampler(SUPPORT)
    rng = np.random.default_rng(1)
    drawn = np.bincount([int(sampler.draw(1, rng)[0][0]) for _ in range(20_000)], minlength=5)
    assert drawn / 20_000 == pytest.approx(sampler.probability, abs=0.015)


def test_the_same_state_gives_the_same_items():
    sampler = LogUniformSampler(np.arange(50))
    first, again = (sampler.draw(9, np.random.default_rng(4)) for _ in range(2))
    assert first[0].tolist() == again[0].tolist()
    assert first[1] == again[1]


def test_expected_counts_are_those_of_draws_with_replacement():
    sampler = LogUniformSampler(SUPPORT)
    items = np.array([1, 4])
    counts = sampler.expected_counts(items, 7)
    assert counts == pytest.approx(1 - (1 - sampler.probability[items]) ** 7)


def test_an_empty_catalog_is_rejected():
    with pytest.raises(ConfigError, match="there is no item to draw negatives from"):
        LogUniformSampler(np.array([3]))
