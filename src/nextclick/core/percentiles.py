"""Percentiles of measured times, by the nearest rank: never rounded down, never interpolated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float64Array


def percentiles(values: Sequence[float] | Float64Array, percents: Sequence[float]) -> list[float]:
    """The smallest value that at least p percent of the values do not exceed, for each p.

    Args:
        values: at least one.
        percents: numbers above 0 and up to 100.

    >>> percentiles([15, 20, 35, 40, 50], [5, 30, 40, 50, 100])
    [15.0, 20.0, 20.0, 35.0, 50.0]
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    # a rank such as 0.07 * 100 is not above 7: the product is rounded before it is raised
    ranks = np.ceil(np.round(np.asarray(percents) * len(ordered) / 100, 9)).astype(np.int64)
    chosen: list[float] = ordered[np.maximum(ranks, 1) - 1].tolist()
    return chosen
