"""Student's t against printed tables."""

import math

import pytest

from nextclick.evaluation.student import quantile, two_sided_p


@pytest.mark.parametrize(
    ("freedom", "t"),
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
def test_the_975th_point_of_the_tables(freedom, t):
    assert quantile(0.95, freedom) == pytest.approx(t, abs=6e-5)
    assert two_sided_p(t, freedom) == pytest.approx(0.05, abs=1e-5)
    assert two_sided_p(-t, freedom) == two_sided_p(t, freedom)


def test_one_degree_of_freedom_is_cauchy():
    for t in (0.1, 1.0, 7.0, 500.0):
        assert two_sided_p(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, rel=1e-9)


def test_the_ends():
    assert two_sided_p(0.0, 5) == 1.0
    assert two_sided_p(math.inf, 5) == 0.0
    assert two_sided_p(60.0, 4000) == 0.0 or two_sided_p(60.0, 4000) < 1e-200
    assert 3.9 < quantile(0.95, 2.2) < quantile(0.95, 2.0)
