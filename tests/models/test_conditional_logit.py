"""The conditional logit against numbers by hand, finite differences and a slow twin."""

import math

import numpy as np
import pytest

from nextclick.errors import TrainingError
from nextclick.models.blended import conditional_logit
from nextclick.models.blended.conditional_logit import Choices, fit_conditional_logit, objective
from reference.blend import logit_objective


def random_choices(P=40, F=4, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, P)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    features = rng.normal(size=(offsets[-1], F)).astype(np.float32)
    return Choices(offsets, features, offsets[:-1] + rng.integers(0, lengths))


def two_alternatives(n_first, n_second):
    """Choices between x = 1 and x = 0, of which the first is chosen `n_first` times."""
    P = n_first + n_second
    features = np.tile(np.array([[1.0], [0.0]], dtype=np.float32), (P, 1))
    chosen = np.arange(P) * 2 + (np.arange(P) >= n_first)
    return Choices(np.arange(P + 1, dtype=np.int64) * 2, features, chosen)


def test_the_weight_of_two_alternatives_is_their_log_odds():
    weights = fit_conditional_logit(two_alternatives(3, 1), 1e-9)
    assert weights == pytest.approx([math.log(3)], abs=1e-4)


def test_the_objective_by_hand():
    value, gradient, hessian = objective(np.zeros(1), two_alternatives(3, 1), 0.0)
    assert value == pytest.approx(math.log(2))
    assert gradient == pytest.approx([0.5 - 0.75])
    assert hessian == pytest.approx(np.array([[0.25]]))


def test_equal_to_the_slow_twin_in_blocks_of_any_size(monkeypatch):
    choices, weights = random_choices(), np.array([0.3, -1.0, 0.0, 2.0])
    expected = logit_objective(weights, choices, 0.1)
    for size in (1, 7, 1000):
        monkeypatch.setattr(conditional_logit, "_ENTRIES_PER_BLOCK", size)
        for actual, twin in zip(objective(weights, choices, 0.1), expected, strict=True):
            np.testing.assert_allclose(actual, twin, rtol=1e-9, atol=1e-12)


def test_derivatives_equal_finite_differences():
    choices, weights, step = random_choices(), np.array([0.3, -1.0, 0.0, 2.0]), 1e-5
    _, gradient, hessian = objective(weights, choices, 0.1)
    for f in range(4):
        shift = np.zeros(4)
        shift[f] = step
        above, below = (objective(weights + s * shift, choices, 0.1) for s in (1, -1))
        assert gradient[f] == pytest.approx((above[0] - below[0]) / (2 * step), abs=1e-8)
        np.testing.assert_allclose(hessian[f], (above[1] - below[1]) / (2 * step), atol=1e-7)


def test_the_minimum_has_no_gradient_and_recovers_the_weights():
    rng, true = np.random.default_rng(1), np.array([1.0, -2.0])
    features = rng.normal(size=(20_000 * 5, 2)).astype(np.float32)
    gumbel = rng.gumbel(size=(20_000, 5))
    utility = (features @ true).reshape(-1, 5) + gumbel
    offsets = np.arange(20_001, dtype=np.int64) * 5
    choices = Choices(offsets, features, offsets[:-1] + utility.argmax(axis=1))
    weights = fit_conditional_logit(choices, 1e-6)
    assert np.abs(objective(weights, choices, 1e-6)[1]).max() < 1e-6
    np.testing.assert_allclose(weights, true, atol=0.06)


def test_separable_choices_have_finite_weights():
    weights = fit_conditional_logit(two_alternatives(50, 0), 1e-3)
    assert 3 < weights[0] < 10


def test_a_feature_that_is_constant_in_every_choice_has_weight_0():
    choices = random_choices(F=2)
    choices.features[:, 1] = 7.0
    assert fit_conditional_logit(choices, 1e-3)[1] == pytest.approx(0.0, abs=1e-9)


def test_take_selects_choices_in_any_order():
    choices, rows = random_choices(), np.array([5, 2, 2, 39])
    taken = choices.take(rows)
    for new, old in enumerate(rows):
        first, stop = taken.offsets[new : new + 2]
        before = choices.offsets[old : old + 2]
        np.testing.assert_array_equal(taken.features[first:stop], choices.features[slice(*before)])
        assert taken.chosen[new] - first == choices.chosen[old] - before[0]


def test_no_choice_is_an_error():
    with pytest.raises(TrainingError, match="at least one validation prefix whose target is among"):
        fit_conditional_logit(random_choices().take(np.empty(0, np.int64)), 1e-3)


def test_a_minimum_that_is_not_reached_is_an_error(monkeypatch):
    monkeypatch.setattr(conditional_logit, "_MAX_STEPS", 1)
    with pytest.raises(TrainingError, match="did not converge: the last Newton decrement is"):
        fit_conditional_logit(two_alternatives(9, 1), 1e-3)
