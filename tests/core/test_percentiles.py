"""Percentiles by the nearest rank."""

import math
from fractions import Fraction

import pytest

from nextclick.core.percentiles import percentiles


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        (range(1, 11), 50, 5),
        (range(1, 11), 51, 6),
        (range(1, 11), 90, 9),
        (range(1, 11), 91, 10),  # 9.1 values: the tenth
        (range(1, 101), 99, 99),
        (range(1, 101), 99.9, 100),
        (range(1, 1001), 99.9, 999),
        (range(1, 101), 7, 7),  # 0.07 * 100 is above 7 in floating point
        ([3, 1, 2], 1, 1),
        ([8], 50, 8),
    ],
)
def test_hand_worked(values, percent, expected):
    assert percentiles([*values], [percent]) == [expected]


def test_the_rank_is_never_rounded_down():
    for n in [*range(1, 120), 997, 1000]:
        for percent in ("0.1", "7", "14", "29", "50", "57", "90", "95", "99", "99.9", "100"):
            rank = math.ceil(Fraction(percent) * n / 100)
            assert percentiles(range(1, n + 1), [float(percent)]) == [rank], (n, percent)
