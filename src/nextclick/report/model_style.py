"""Appearance of a model in the figures of a report."""

from __future__ import annotations

from typing import Any

from nextclick.analysis.plots.canvas import CATEGORY_COLOR, ITEM_COLOR
from nextclick.models.model_registry import find_capabilities

_MAX_LABEL_LENGTH = 24  # characters


def model_color(row: dict[str, Any]) -> str:
    """Color of a leaderboard row: one for neural models, one for all others."""
    capabilities = find_capabilities(row["model"])
    return ITEM_COLOR if capabilities is None or capabilities.neural else CATEGORY_COLOR


def marker_fill(row: dict[str, Any]) -> str:
    """Fill of a marker: hollow for a leaky model."""
    return model_color(row) if row["leaky"] is None else "none"


def percent_interval(row: dict[str, Any], metric: str) -> tuple[float, float, float]:
    """Value, low and high in percent; low and high equal the value if there is no interval."""
    estimate = row["metrics"][metric]
    value = estimate["value"]
    low, high = (value if estimate[end] is None else estimate[end] for end in ("low", "high"))
    return 100 * value, 100 * low, 100 * high


def plot_label(label: str) -> str:
    """Shorten a label and neutralize the characters that matplotlib interprets.

    >>> plot_label("asars@variant=time_user+epochs=5")
    'asars@varian…r+epochs=5'
    """
    if len(label) > _MAX_LABEL_LENGTH:
        label = f"{label[:12]}…{label[-10:]}"  # variants may differ only at the end
    # $ starts a formula, and a leading _ hides an entry from the legend
    return label.replace("$", r"\$") if label[0] != "_" else f" {label}"
