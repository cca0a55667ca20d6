"""The prior of the weights of a blend: by hand, and its limits."""

import numpy as np
import pytest

from nextclick.experiments.weight_prior import with_prior
from nextclick.models.blended.conditional_logit import Choices, fit_conditional_logit, objective

RANKS = [np.array([1.0, 50.0, 50.0]), np.array([2.0, 2.0, 30.0])]  # the second is better


def test_by_hand():
    l2, center = with_prior(0.01, 500, 9, RANKS, 20)
    precision = 5 * (1 - 500 / 2000) / 500
    assert l2 == pytest.approx(0.01 + precision)
    # λ/2 ‖w‖² + ε/2 ‖w - c‖² and λ'/2 ‖w - c'‖² differ by a constant
    own, weights = np.zeros(9), np.random.default_rng(0).normal(size=(2, 9))
    own[[2, 3]] = 1, -1
    both = [0.01 * (w**2).sum() + precision * ((w - own) ** 2).sum() for w in weights]
    joint = [l2 * ((w - center) ** 2).sum() for w in weights]
    assert both[0] - joint[0] == pytest.approx(both[1] - joint[1])


def test_no_prior_with_enough_choices():
    l2, center = with_prior(0.001, 2000, 9, RANKS, 20)
    assert l2 == 0.001
    assert not center.any()


def test_few_choices_leave_the_ranking_of_the_best_member():
    """One choice against the better member hardly moves the weights; many do."""
    features = np.zeros((2, 9), np.float32)
    features[0, 2], features[1, 0] = 1.0, 1.0  # preferred by the second and by the first member

    def fitted(n):
        choices = Choices(np.arange(n + 1) * 2, np.tile(features, (n, 1)), np.arange(n) * 2 + 1)
        return fit_conditional_logit(choices, *with_prior(0.001, n, 9, RANKS, 20))

    assert fitted(1)[2] > fitted(1)[0]
    assert fitted(200)[0] > fitted(200)[2]


def test_the_minimum_of_a_centered_objective():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 4)).astype(np.float32)
    choices = Choices(np.arange(13) * 5, features, np.arange(12) * 5 + rng.integers(0, 5, 12))
    center = np.array([1.0, -1.0, 0.0, 0.5])
    weights = fit_conditional_logit(choices, 0.3, center)
    assert np.abs(objective(weights, choices, 0.3, center)[1]).max() < 1e-6
    lower = objective(weights, choices, 0.3, center)[0]
    for change in 0.01 * np.eye(4):
        assert objective(weights + change, choices, 0.3, center)[0] > lower
