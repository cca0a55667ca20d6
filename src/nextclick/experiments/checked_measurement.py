"""Checks of seeds, cut-offs and metric before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.core.cutoffs import catalog_cutoffs, catalog_metric
from nextclick.core.metrics import METRICS
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_seeds(seeds: Sequence[int]) -> None:
    """Check that the seeds are different integers, at least one.

    Raises:
        ConfigError: they are not.
    """
    if not list(seeds) or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must be one or more different integers, got {list(seeds)}")


def checked_cutoffs(
    ks: Sequence[int], metric: str | None, n_items: int
) -> tuple[tuple[int, ...], str]:
    """The distinct cut-offs, ascending, and the metric, by default recall at the largest.

    Raises:
        ConfigError: no cut-off, a cut-off below 1, or a metric without a cut-off of `ks`.
    """
    cutoffs = catalog_cutoffs(ks, n_items)
    metric = f"recall@{cutoffs[-1]}" if metric is None else catalog_metric(metric, n_items)
    metrics = [f"{name}@{k}" for k in cutoffs for name in METRICS]
    if metric not in metrics:
        raise ConfigError(f"metric must be one of {', '.join(metrics)}, got {metric!r}")
    return cutoffs, metric
