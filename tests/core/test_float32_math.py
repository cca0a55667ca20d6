"""The polynomials of compiled kernels against NumPy in float64."""

import numpy as np
import pytest

from nextclick.core import float32_math

X = np.concatenate([np.linspace(-86, 86, 4001), np.linspace(-1, 1, 2001)]).astype(np.float32)
EXACT = {
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "log1p_exp": lambda x: np.logaddexp(0, x),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_functions_are_exact_to_rounding(name):
    found = np.array([getattr(float32_math, name)(x) for x in X])
    tolerance = {"rtol": 0, "atol": 2e-7} if name == "tanh" else {"rtol": 4e-7}
    np.testing.assert_allclose(found, EXACT[name](X.astype(np.float64)), **tolerance)


def test_exp_is_bounded_and_passes_nan_on():
    low, high = (float32_math.exp(np.float32(x)) for x in (-1e30, 1e30))
    assert 0 < low < 1e-37
    assert 1e38 < high < np.inf
    assert np.isnan(float32_math.exp(np.float32(np.nan)))
