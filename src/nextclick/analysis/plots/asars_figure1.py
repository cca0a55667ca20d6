"""Figure 1 of the ASARS paper for any log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.analysis.plots.canvas import (
    CATEGORY_COLOR,
    FIT_COLOR,
    ITEM_COLOR,
    NEUTRAL_COLOR,
    PanelFigure,
    duration_axis,
    format_seconds,
    note,
)
from nextclick.analysis.repeat_clicks import DEPTH
from nextclick.analysis.within_session import TOP

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from nextclick.analysis.click_gaps import GapStatistics
    from nextclick.analysis.log_statistics import ItemsAndCategories, LogStatistics, T
    from nextclick.analysis.repeat_clicks import RepeatClicks
    from nextclick.analysis.within_session import WithinSession

_WITHIN = "(1) Concentration within a session"
_REPEATS = "(2) Repeats from the user's earlier sessions"
_GAPS = "(3) Gaps between clicks"
_LOG_GAPS = "(3) Gaps between clicks, logarithmic axis"


def draw_figure1(statistics: LogStatistics, path: Path, *, title: str, subtitle: str) -> None:
    """Write the figure as PNG or SVG: two panels of items and categories, two of gaps."""
    figure = PanelFigure(title, subtitle, 2, 2)
    missing = statistics.missing
    figure.draw_panels(
        "within_session", statistics.within_session, missing, {_WITHIN: _draw_within_session}
    )
    figure.draw_panels("repeats", statistics.repeats, missing, {_REPEATS: _draw_repeats})
    panels = {_GAPS: _draw_gaps, _LOG_GAPS: _draw_log_gaps}
    figure.draw_panels("gaps", statistics.gaps, missing, panels)
    figure.save(path)


def _series(statistic: ItemsAndCategories[T]) -> list[tuple[T, str, str]]:
    """The statistic of categories, if known, and of items, each with its color and name."""
    series = [(statistic.items, ITEM_COLOR, "items")]
    if statistic.categories is not None:
        series.insert(0, (statistic.categories, CATEGORY_COLOR, "categories"))
    return series


def _draw_within_session(axes: Axes, statistic: ItemsAndCategories[WithinSession]) -> None:
    ranks = np.arange(1, TOP + 1)
    series = _series(statistic)
    width = 0.8 / len(series)
    x = ranks.astype(float)
    for n, (values, color, name) in enumerate(series):
        x = ranks + (n - (len(series) - 1) / 2) * width
        label = f"{name}, {values.sessions:,} sessions"
        axes.bar(x, 100 * np.array(values.shares), width, color=color, label=label)
    axes.hlines(
        100 * np.array(statistic.items.shares_without_repeats),
        x - width / 2,  # over the bars of the items, the last series
        x + width / 2,
        color=FIT_COLOR,
        linewidth=1.8,
        label="items, if no session repeated an item",
    )
    axes.set_xticks(ranks)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("rank within the session, by clicks")
    axes.set_ylabel("mean share of the session's clicks, %")
    axes.legend(frameon=False, fontsize=9)


def _draw_repeats(axes: Axes, statistic: ItemsAndCategories[RepeatClicks]) -> None:
    k = np.arange(1, DEPTH + 1)
    for values, color, name in _series(statistic):
        label = f"{name}, {values.sessions:,} sessions with an earlier one"
        axes.plot(k, 100 * np.array(values.shares), "o-", color=color, label=label)
        if values.long_history_shares is not None:
            shares = 100 * np.array(values.long_history_shares)
            label = f"{name}, {values.long_history_sessions:,} sessions with {DEPTH} or more"
            axes.plot(k, shares, "s--", color=color, label=label)
    axes.set_xticks(k)
    axes.set_ylim(0, 1.4 * axes.dataLim.ymax or 1)  # room for the legend
    axes.set_xlabel("number of earlier sessions of the user")
    axes.set_ylabel("mean share of the session seen there, %")
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _draw_gaps(axes: Axes, gaps: GapStatistics) -> None:
    edges = np.array(gaps.histogram.edges_seconds)
    density = np.array(gaps.histogram.counts) / (np.diff(edges) * gaps.used)
    axes.stairs(density, edges, fill=True, color=ITEM_COLOR, alpha=0.55, label="gaps")
    x = np.linspace(edges[0], edges[-1], 1000)[1:]
    _draw_fits(axes, gaps, x, np.ones_like(x))
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, 1.15 * density.max())  # a gamma density with shape below 1 is unbounded
    axes.set_xlabel("gap, seconds (up to the 95th percentile)")
    axes.set_ylabel("density, per second")
    axes.legend(frameon=False, fontsize=9)


def _draw_log_gaps(axes: Axes, gaps: GapStatistics) -> None:
    edges = np.array(gaps.log_histogram.edges_seconds)
    density = np.array(gaps.log_histogram.counts) / (np.diff(np.log10(edges)) * gaps.used)
    axes.stairs(100 * density, edges, fill=True, color=ITEM_COLOR, alpha=0.55, label="gaps")
    x = np.geomspace(edges[0], edges[-1], 1000)
    _draw_fits(axes, gaps, x, 100 * x * np.log(10))  # from per second to per factor of ten
    visible = np.flatnonzero(density >= density.max() / 1000)
    duration_axis(axes, edges[visible[0]], edges[visible[-1] + 1])
    axes.set_ylim(0, 1.3 * axes.dataLim.ymax)  # room for the note
    axes.set_xlabel("gap (logarithmic)")
    axes.set_ylabel("share of the gaps per factor of ten, %")
    note(axes, _gap_summary(gaps), x=0.02, align="left")


def _draw_fits(axes: Axes, gaps: GapStatistics, x: np.ndarray, factor: np.ndarray) -> None:
    if gaps.gamma is not None:
        label = f"gamma, shape {gaps.gamma.shape:.2f}, scale {format_seconds(gaps.gamma.scale)}"
        axes.plot(x, factor * gaps.gamma.density(x), color=FIT_COLOR, label=label)
    if gaps.lognormal is not None:
        density = factor * gaps.lognormal.density(x)
        axes.plot(x, density, "--", color=NEUTRAL_COLOR, label="log-normal")


def _gap_summary(gaps: GapStatistics) -> str:
    median, mean = (format_seconds(s) for s in (gaps.quantiles_seconds["p50"], gaps.mean_seconds))
    lines = [f"{gaps.used:,} gaps: median {median}, mean {mean}"]
    lines.append(f"excluded: {gaps.zeros:,} of 0 s")
    if gaps.most_frequent.is_placeholder:
        lines[1] += (
            f", {gaps.most_frequent.before_last:,} of exactly {gaps.most_frequent.seconds:g} s\n"
            "before a last click (placeholder times)"
        )
    return "\n".join(lines)
