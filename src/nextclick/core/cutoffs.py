"""The cut-offs K of a catalog: a list of recommendations is at most as long as the catalog."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from nextclick.core.metrics import parse_metric
from nextclick.errors import ConfigError, NextclickWarning

if TYPE_CHECKING:
    from collections.abc import Sequence


def catalog_cutoff(k: int, n_items: int, name: str = "k") -> int:
    """K, or N if K is above the number of items N; a warning then states both.

    Args:
        k: cut-off.
        n_items: N.
        name: the option, for the error.

    Raises:
        ConfigError: K is below 1.
    """
    if k < 1:
        raise ConfigError(f"{name} must be in 1..{n_items}, the number of items; got {k}")
    if k > n_items:
        warnings.warn(
            f"the catalog has {n_items} items: K = {k} is lowered to {n_items}",
            NextclickWarning,
            stacklevel=3,
        )
    return min(int(k), n_items)


def catalog_cutoffs(ks: Sequence[int], n_items: int) -> tuple[int, ...]:
    """The distinct cut-offs, ascending, each at most N.

    Raises:
        ConfigError: there is no cut-off, or one is below 1.
    """
    if not len(ks):
        raise ConfigError(f"ks must name at least one cut-off in 1..{n_items}, got none")
    return tuple(sorted({catalog_cutoff(k, n_items, "ks") for k in ks}))


def catalog_metric(metric: str, n_items: int) -> str:
    """`recall@20`, or `recall@N` if N is smaller.

    Raises:
        ConfigError: no such metric.
    """
    name, k = parse_metric(metric)
    return f"{name}@{catalog_cutoff(k, n_items)}"
