"""When requests are due. Nothing that a server does changes these times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import Float64Array


def due_times(rate: float, seconds: float, kind: str, rng: np.random.Generator) -> Float64Array:
    """(n,) float64, ascending: seconds from the start at which requests are due.

    Args:
        rate: requests a second.
        seconds: all times lie in 0..seconds.
        kind: "poisson", independent arrivals whose number varies, too; or "uniform", evenly.
        rng: draws the Poisson arrivals.

    Raises:
        ValueError: another kind.

    >>> due_times(4, 1, "uniform", np.random.default_rng(0)).tolist()
    [0.0, 0.25, 0.5, 0.75]
    """
    if kind == "uniform":
        return np.arange(max(1, round(rate * seconds))) / rate
    if kind == "poisson":
        # given their number, the points of a Poisson process are uniform and independent
        return np.sort(rng.uniform(0, seconds, max(1, rng.poisson(rate * seconds))))
    raise ValueError(f"arrivals must be poisson or uniform, got {kind!r}")
