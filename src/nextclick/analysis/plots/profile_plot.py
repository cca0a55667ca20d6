"""The basic profile of a log as one figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nextclick.analysis.log_profile import HOURS
from nextclick.analysis.plots.canvas import ITEMS, NEUTRAL, Page, log_counts, note, short

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from nextclick.analysis.log_profile import Activity, Popularity, SessionLengths
    from nextclick.analysis.log_statistics import Analysis
    from nextclick.analysis.popularity_drift import Drift

_LENGTHS = "Session lengths"
_FREQUENCY = "Popularity: clicks by rank"
_CONCENTRATION = "Popularity: share of the top items"
_HOUR = "Activity by hour of the day"
_DAY = "Activity by day"
_DRIFT = "Drift of popularity"
_DAY_TICKS = 7
_YEAR = 366  # days


def draw_profile(found: Analysis, path: Path, *, title: str, subtitle: str) -> None:
    """Write the PNG."""
    page = Page(title, subtitle, 2, 3)
    _draw_lengths(page.panel(_LENGTHS), found.session_lengths)
    missing = found.missing
    page.draw(
        "popularity",
        found.popularity,
        missing,
        {_FREQUENCY: _draw_frequency, _CONCENTRATION: _draw_concentration},
    )
    page.draw("activity", found.activity, missing, {_HOUR: _draw_hours, _DAY: _draw_days})
    page.draw("drift", found.drift, missing, {_DRIFT: _draw_drift})
    page.save(path)


def _draw_lengths(axes: Axes, found: SessionLengths) -> None:
    lengths, sessions = np.array(found.lengths), np.array(found.sessions)
    at_least = 100 * np.cumsum(sessions[::-1])[::-1] / sessions.sum()
    axes.loglog(lengths, at_least, "o-", color=ITEMS, markersize=3)
    log_counts(axes, "x")
    log_counts(axes, "y")
    axes.set_xlabel("clicks n")
    axes.set_ylabel("sessions of n clicks or more, %")
    at = found.quantiles
    note(
        axes,
        f"mean {found.mean:.2f}, median {at['p50']}\n"
        f"99 % have {at['p99']} or fewer\nlongest {found.longest:,}",
    )


def _draw_frequency(axes: Axes, found: Popularity) -> None:
    axes.loglog(found.ranks, found.frequencies, color=ITEMS, linewidth=2)
    log_counts(axes, "x")
    log_counts(axes, "y")
    axes.set_xlabel("rank of the item")
    axes.set_ylabel("clicks on it")
    note(axes, f"{found.items:,} items\n{found.clicks:,} clicks")


def _draw_concentration(axes: Axes, found: Popularity) -> None:
    percent = 100 * np.array(found.ranks) / found.items
    axes.semilogx(percent, 100 * np.array(found.cumulative_shares), color=ITEMS, linewidth=2)
    for name in ("1%", "10%"):
        x, share = float(name.rstrip("%")), 100 * found.shares_of_top[name]
        axes.plot(x, share, "o", color=NEUTRAL)
        axes.annotate(
            f"top {x:g} %: {share:.0f} % ",
            (x, share),
            xytext=(-6, 4),
            textcoords="offset points",
            ha="right",
            fontsize=9,
        )
    axes.set_ylim(0, 102)
    log_counts(axes, "x")
    axes.set_xlabel("most clicked items, % of all")
    axes.set_ylabel("their share of the clicks, %")


def _draw_hours(axes: Axes, found: Activity) -> None:
    clicks = np.array(found.clicks_by_hour)
    axes.bar(np.arange(HOURS) + 0.5, 100 * clicks / clicks.sum(), 0.9, color=ITEMS)
    axes.set_xticks(range(0, HOURS + 1, 3))
    axes.set_xlim(0, HOURS)
    axes.grid(visible=False, axis="x")
    dates = found.clock == "UTC"
    axes.set_xlabel("hour of the day, UTC" if dates else "hour, counted from the start of the log")
    axes.set_ylabel("share of the clicks, %")


def _draw_days(axes: Axes, found: Activity) -> None:
    days = np.array(found.days, dtype="datetime64[D]")
    every = np.arange(days[0], days[-1] + 1)
    clicks = np.zeros(len(every))
    clicks[(days - days[0]).astype(int)] = found.clicks_by_day
    axes.stairs(clicks, np.arange(len(every) + 1) - 0.5, fill=True, color=ITEMS)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.2 * clicks.max())  # room for the note
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ticks = np.arange(0, len(every), -(-len(every) // _DAY_TICKS))
    if found.clock == "UTC":
        # MM-DD, of a log of more than a year YYYY-MM
        part = slice(5, None) if len(every) <= _YEAR else slice(7)
        axes.set_xticks(ticks, [str(every[n])[part] for n in ticks])
        axes.set_xlabel(f"day, UTC ({every[0]} to {every[-1]})")
    else:
        axes.set_xticks(ticks, [str(n + 1) for n in ticks])
        axes.set_xlabel("day, counted from the start of the log")
    axes.set_ylabel("clicks")
    note(axes, f"busiest day: {short(clicks.max())} clicks")


def _draw_drift(axes: Axes, found: Drift) -> None:
    axes.plot(found.lags, found.similarity, "o-", color=ITEMS)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("days apart (0: two halves of one day)")
    axes.set_ylabel("mean cosine of clicks per item")
    left_out = f"; left out with few clicks: {found.small_days:,}" if found.small_days else ""
    note(axes, f"{found.days:,} days{left_out}")
