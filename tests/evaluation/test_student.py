"""Student's t against published tables and closed forms."""

import math

import pytest

from nextclick.evaluation.significance import t_p_value, t_quantile


@pytest.mark.parametrize(
    ("df", "t"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (10, 2.2281),
        (30, 2.0423),
        (120, 1.9799),
        (1e9, 1.96),
    ],
)
def test_the_975th_point_of_the_tables(df, t):
    assert t_quantile(0.95, df) == pytest.approx(t, abs=6e-5)
    assert t_p_value(t, df) == pytest.approx(0.05, abs=1e-5)
    assert t_p_value(-t, df) == t_p_value(t, df)


def test_one_degree_of_freedom_is_cauchy():
    for t in (0.1, 1.0, 7.0, 500.0):
        assert t_p_value(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, rel=1e-9)


def test_extreme_values():
    assert t_p_value(0.0, 5) == 1.0
    assert t_p_value(math.inf, 5) == 0.0
    assert t_p_value(60.0, 4000) == 0.0 or t_p_value(60.0, 4000) < 1e-200
    assert 3.9 < t_quantile(0.95, 2.2) < t_quantile(0.95, 2.0)
