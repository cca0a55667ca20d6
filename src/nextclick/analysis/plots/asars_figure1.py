"""Figure 1 of the ASARS paper, drawn for any log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.analysis.plots.canvas import (
    CATEGORIES,
    FIT,
    ITEMS,
    NEUTRAL,
    Page,
    durations_on_x,
    note,
    seconds,
)
from nextclick.analysis.repeat_clicks import DEPTH
from nextclick.analysis.within_session import TOP

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from nextclick.analysis.click_gaps import Gaps
    from nextclick.analysis.log_statistics import Analysis, ByLabel
    from nextclick.analysis.repeat_clicks import Repeats
    from nextclick.analysis.within_session import WithinSession

_WITHIN = "(1) Within a session"
_REPEATS = "(2) From the user's earlier sessions"
_GAPS = "(3) Gaps between clicks"
_LOG_GAPS = "(3) The same, logarithmic axis"


def draw_figure1(found: Analysis, path: Path, *, title: str, subtitle: str) -> None:
    """Write the PNG: two panels of items and categories, two of gaps."""
    page = Page(title, subtitle, 2, 2)
    missing = found.missing
    page.draw("within_session", found.within_session, missing, {_WITHIN: _draw_within})
    page.draw("repeats", found.repeats, missing, {_REPEATS: _draw_repeats})
    page.draw("gaps", found.gaps, missing, {_GAPS: _draw_gaps, _LOG_GAPS: _draw_log_gaps})
    page.save(path)


def _draw_within(axes: Axes, found: ByLabel[WithinSession]) -> None:
    ranks = np.arange(1, TOP + 1)
    groups = [(found.items, ITEMS, "items")]
    if found.categories is not None:
        groups.insert(0, (found.categories, CATEGORIES, "categories"))
    width = 0.8 / len(groups)
    for n, (group, color, name) in enumerate(groups):
        at = ranks + (n - (len(groups) - 1) / 2) * width
        label = f"{name}, {group.sessions:,} sessions"
        axes.bar(at, 100 * np.array(group.shares), width, color=color, label=label)
    axes.hlines(
        100 * np.array(found.items.if_all_differ),
        at - width / 2,  # over the bars of the items, which come last
        at + width / 2,
        color=FIT,
        linewidth=1.8,
        label="if all clicks were on different items",
    )
    axes.set_xticks(ranks)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("rank within the session, by clicks")
    axes.set_ylabel("mean share of the session's clicks, %")
    axes.legend(frameon=False, fontsize=9)


def _draw_repeats(axes: Axes, found: ByLabel[Repeats]) -> None:
    back = np.arange(1, DEPTH + 1)
    groups = [(found.items, ITEMS, "items")]
    if found.categories is not None:
        groups.insert(0, (found.categories, CATEGORIES, "categories"))
    for group, color, name in groups:
        label = f"{name}, {group.sessions:,} sessions with an earlier one"
        axes.plot(back, 100 * np.array(group.shares), "o-", color=color, label=label)
        if group.deep_shares is not None:
            label = f"{name}, {group.deep_sessions:,} sessions with {DEPTH} or more"
            axes.plot(back, 100 * np.array(group.deep_shares), "s--", color=color, label=label)
    axes.set_xticks(back)
    axes.set_ylim(0, 1.4 * axes.dataLim.ymax or 1)  # room for the legend
    axes.set_xlabel("earlier sessions of the user that are looked at")
    axes.set_ylabel("mean share of the session seen there, %")
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _draw_gaps(axes: Axes, found: Gaps) -> None:
    edges = np.array(found.histogram.edges_seconds)
    density = np.array(found.histogram.counts) / (np.diff(edges) * found.used)
    axes.stairs(density, edges, fill=True, color=ITEMS, alpha=0.55, label="gaps")
    x = np.linspace(edges[0], edges[-1], 1000)[1:]
    _draw_fits(axes, found, x, np.ones_like(x))
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, 1.15 * density.max())  # a gamma density of shape below 1 has no bound
    axes.set_xlabel("gap, seconds (up to the 95th percentile)")
    axes.set_ylabel("density, per second")
    axes.legend(frameon=False, fontsize=9)


def _draw_log_gaps(axes: Axes, found: Gaps) -> None:
    edges = np.array(found.log_histogram.edges_seconds)
    density = np.array(found.log_histogram.counts) / (np.diff(np.log10(edges)) * found.used)
    axes.stairs(100 * density, edges, fill=True, color=ITEMS, alpha=0.55, label="gaps")
    x = np.geomspace(edges[0], edges[-1], 1000)
    _draw_fits(axes, found, x, 100 * x * np.log(10))  # from per second to per factor of ten
    shown = np.flatnonzero(density >= density.max() / 1000)
    durations_on_x(axes, edges[shown[0]], edges[shown[-1] + 1])
    axes.set_ylim(0, 1.3 * axes.dataLim.ymax)  # room for the note
    axes.set_xlabel("gap (logarithmic)")
    axes.set_ylabel("share of the gaps per factor of ten, %")
    note(axes, _told(found), x=0.02, align="left")


def _draw_fits(axes: Axes, found: Gaps, x: np.ndarray, factor: np.ndarray) -> None:
    if found.gamma is not None:
        label = f"gamma, shape {found.gamma.shape:.2f}, scale {seconds(found.gamma.scale)}"
        axes.plot(x, factor * found.gamma.density(x), color=FIT, label=label)
    if found.lognormal is not None:
        label = "log-normal"
        axes.plot(x, factor * found.lognormal.density(x), "--", color=NEUTRAL, label=label)


def _told(found: Gaps) -> str:
    at = found.quantiles_seconds
    lines = [
        f"{found.used:,} gaps: median {seconds(at['p50'])}, mean {seconds(found.mean_seconds)}",
        f"left out: {found.zeros:,} of 0 s",
    ]
    if found.commonest.invented:
        lines[1] += (
            f", {found.commonest.before_last:,} of exactly {found.commonest.seconds:g} s\n"
            "before a last click, taken as invented"
        )
    return "\n".join(lines)
