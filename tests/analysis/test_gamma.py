"""The fits: the maximum itself, and the parameters of drawn samples are recovered."""

import numpy as np
import pytest

from nextclick.analysis.gamma import GammaFit, fit_gamma, fit_lognormal


@pytest.mark.parametrize(("shape", "scale"), [(0.2, 900.0), (0.61, 234.0), (1.0, 3.0), (40.0, 0.5)])
def test_what_was_drawn_is_found(shape, scale):
    drawn = np.random.default_rng(0).gamma(shape, scale, 200_000)
    fit = fit_gamma(drawn, np.ones(len(drawn), dtype=np.int64))
    assert fit.shape == pytest.approx(shape, rel=0.02)
    assert fit.scale == pytest.approx(scale, rel=0.02)


def log_density(fit, x):
    return float(np.log(fit.density(x)).mean())


def test_no_neighbor_is_more_likely():
    gaps = np.array([1.0, 2.0, 2.5, 30.0, 400.0])
    fit = fit_gamma(gaps, np.ones(5))
    best = log_density(fit, gaps)
    assert best == pytest.approx(fit.mean_log_density)
    for shape, scale in ((1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99), (1.01, 0.99)):
        assert log_density(GammaFit(shape * fit.shape, scale * fit.scale, 0), gaps) < best


def test_the_mean_is_that_of_the_gaps():
    gaps = np.array([0.5, 7.0, 11.0])
    fit = fit_gamma(gaps, np.ones(3))
    assert fit.shape * fit.scale == pytest.approx(gaps.mean())


def test_counts_are_repetitions():
    values, counts = np.array([1.0, 5.0, 60.0]), np.array([3, 1, 2])
    repeated = np.repeat(values, counts)
    for fit in (fit_gamma, fit_lognormal):
        assert vars_of(fit(values, counts)) == pytest.approx(
            vars_of(fit(repeated, np.ones(6))), rel=1e-9
        )


def vars_of(fit):
    return [getattr(fit, name) for name in fit.__slots__]


def test_the_lognormal_fit_by_hand():
    fit = fit_lognormal(np.exp([1.0, 3.0]), np.array([1, 1]))
    assert (fit.mean_log, fit.sd_log) == pytest.approx((2.0, 1.0))
    assert log_density(fit, np.exp([1.0, 3.0])) == pytest.approx(fit.mean_log_density)


def test_densities_add_up_to_one():
    x = np.geomspace(1e-6, 1e5, 200_001)
    for fit in (GammaFit(0.6, 200.0, 0), fit_lognormal(np.array([3.0, 90.0]), np.ones(2))):
        assert np.trapezoid(fit.density(x), x) == pytest.approx(1, abs=1e-3)


def test_equal_gaps_have_no_fit():
    assert fit_gamma(np.array([20.0]), np.array([9])) is None
    assert fit_lognormal(np.array([20.0]), np.array([9])) is None
