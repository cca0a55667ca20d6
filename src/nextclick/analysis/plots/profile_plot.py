"""Figure of the basic profile of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nextclick.analysis.log_profile import HOURS
from nextclick.analysis.plots.canvas import (
    ITEM_COLOR,
    NEUTRAL_COLOR,
    PanelFigure,
    format_count,
    log_ticks,
    note,
)

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from nextclick.analysis.log_profile import ClickActivity, PopularityProfile, SessionLengths
    from nextclick.analysis.log_statistics import LogStatistics
    from nextclick.analysis.popularity_drift import PopularityDrift

_LENGTHS = "Session lengths"
_FREQUENCY = "Popularity: clicks by rank"
_CONCENTRATION = "Popularity: share of the top items"
_HOUR = "Activity by hour of the day"
_DAY = "Activity by day"
_DRIFT = "Popularity drift"
_MAX_DAY_TICKS = 7
_DAYS_PER_YEAR = 366


def draw_profile(statistics: LogStatistics, path: Path, *, title: str, subtitle: str) -> None:
    """Write the figure as PNG or SVG."""
    figure = PanelFigure(title, subtitle, 2, 3)
    missing = statistics.missing
    _draw_lengths(figure.panel(_LENGTHS), statistics.session_lengths)
    panels = {_FREQUENCY: _draw_frequency, _CONCENTRATION: _draw_concentration}
    figure.draw_panels("popularity", statistics.popularity, missing, panels)
    by_time = {_HOUR: _draw_hours, _DAY: _draw_days}
    figure.draw_panels("activity", statistics.activity, missing, by_time)
    figure.draw_panels("drift", statistics.drift, missing, {_DRIFT: _draw_drift})
    figure.save(path)


def _draw_lengths(axes: Axes, profile: SessionLengths) -> None:
    lengths, sessions = np.array(profile.lengths), np.array(profile.sessions)
    at_least = 100 * np.cumsum(sessions[::-1])[::-1] / sessions.sum()
    axes.loglog(lengths, at_least, "o-", color=ITEM_COLOR, markersize=3)
    log_ticks(axes, "x")
    log_ticks(axes, "y")
    axes.set_xlabel("clicks n")
    axes.set_ylabel("sessions with at least n clicks, %")
    quantiles = profile.quantiles
    note(
        axes,
        f"mean {profile.mean:.2f}, median {quantiles['p50']}\n"
        f"99th percentile {quantiles['p99']}\nmaximum {profile.longest:,}",
    )


def _draw_frequency(axes: Axes, popularity: PopularityProfile) -> None:
    axes.loglog(popularity.ranks, popularity.frequencies, color=ITEM_COLOR, linewidth=2)
    log_ticks(axes, "x")
    log_ticks(axes, "y")
    axes.set_xlabel("rank of the item")
    axes.set_ylabel("clicks on the item")
    note(axes, f"{popularity.items:,} items\n{popularity.clicks:,} clicks")


def _draw_concentration(axes: Axes, popularity: PopularityProfile) -> None:
    percent = 100 * np.array(popularity.ranks) / popularity.items
    shares = 100 * np.array(popularity.cumulative_shares)
    axes.semilogx(percent, shares, color=ITEM_COLOR, linewidth=2)
    for name in ("1%", "10%"):
        x, share = float(name.rstrip("%")), 100 * popularity.shares_of_top[name]
        axes.plot(x, share, "o", color=NEUTRAL_COLOR)
        axes.annotate(
            f"top {x:g} %: {share:.0f} % ",
            (x, share),
            xytext=(-6, 4),
            textcoords="offset points",
            ha="right",
            fontsize=9,
        )
    axes.set_ylim(0, 102)
    log_ticks(axes, "x")
    axes.set_xlabel("most clicked items, % of all items")
    axes.set_ylabel("share of the clicks, %")


def _draw_hours(axes: Axes, activity: ClickActivity) -> None:
    clicks = np.array(activity.clicks_by_hour)
    axes.bar(np.arange(HOURS) + 0.5, 100 * clicks / clicks.sum(), 0.9, color=ITEM_COLOR)
    axes.set_xticks(range(0, HOURS + 1, 3))
    axes.set_xlim(0, HOURS)
    axes.grid(visible=False, axis="x")
    if activity.clock == "UTC":
        axes.set_xlabel("hour of the day, UTC")
    else:
        axes.set_xlabel("hour, counted from the start of the log")
    axes.set_ylabel("share of the clicks, %")


def _draw_days(axes: Axes, activity: ClickActivity) -> None:
    active = np.array(activity.days, dtype="datetime64[D]")
    days = np.arange(active[0], active[-1] + 1)
    clicks = np.zeros(len(days))
    clicks[(active - active[0]).astype(int)] = activity.clicks_by_day
    axes.stairs(clicks, np.arange(len(days) + 1) - 0.5, fill=True, color=ITEM_COLOR)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.2 * clicks.max())  # room for the note
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(value)))
    ticks = np.arange(0, len(days), -(-len(days) // _MAX_DAY_TICKS))
    if activity.clock == "UTC":
        # MM-DD, or YYYY-MM for a log of more than a year
        shown = slice(5, None) if len(days) <= _DAYS_PER_YEAR else slice(7)
        axes.set_xticks(ticks, [str(days[n])[shown] for n in ticks])
        axes.set_xlabel(f"day, UTC ({days[0]} to {days[-1]})")
    else:
        axes.set_xticks(ticks, [str(n + 1) for n in ticks])
        axes.set_xlabel("day, counted from the start of the log")
    axes.set_ylabel("clicks")
    note(axes, f"busiest day: {format_count(clicks.max())} clicks")


def _draw_drift(axes: Axes, drift: PopularityDrift) -> None:
    axes.plot(drift.lags, drift.similarity, "o-", color=ITEM_COLOR)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("lag, days (0: two halves of one day)")
    axes.set_ylabel("mean cosine similarity of clicks per item")
    skipped = f"; skipped with few clicks: {drift.skipped_days:,}" if drift.skipped_days else ""
    note(axes, f"{drift.days:,} days{skipped}")
