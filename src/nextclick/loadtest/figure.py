"""The curve of a load test as a figure: latency against rate, and against the percentile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, NullLocator

from nextclick.analysis.plots.canvas import (
    FIT_COLOR,
    NEUTRAL_COLOR,
    PanelFigure,
    log_ticks,
    note,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from nextclick.loadtest.curve import Curve
    from nextclick.loadtest.measured import Measured

# from light to dark, told apart also by those who see no red and green
_LINES = {"p50": "#56B4E9", "p90": "#009E73", "p99": "#D55E00", "p99_9": "#7B3294"}
_TICKS = (0.0, 90.0, 99.0, 99.9, 99.99)


def draw_curve(curve: Curve, paths: Sequence[Path]) -> None:
    """Write the figure, once for each path; its ending names the format, PNG or SVG."""
    work, config = curve.work.config, curve.config
    subtitle = (
        f"{work.mode}, {config.arrivals} arrivals, {config.seconds:g} s at each rate, "
        f"{config.connections:,} connections; counted from when a request was due"
    )
    page = PanelFigure(f"Latency of {curve.url}", subtitle, 1, 2)
    answered = [one for one in curve.rates if one.latency_ms]
    if answered:
        _draw_rates(page.panel("Latency and rate"), answered, config.target_ms)
        _draw_percentiles(page.panel("Latency and percentile"), answered, config.target_ms)
    else:
        for title in ("Latency and rate", "Latency and percentile"):
            page.empty_panel(title, "No request was answered.")
    for path in paths:
        page.save(path)


def _draw_rates(axes: Axes, rates: list[Measured], target_ms: float) -> None:
    rates = sorted(rates, key=lambda one: one.rate)
    x = [one.rate for one in rates]
    for name, color in _LINES.items():
        y = [one.latency_ms[name] for one in rates]
        label = f"{name[1:].replace('_', '.')} %"
        axes.plot(x, y, "o-", color=color, markersize=4, label=label)
    _mark(axes, [one for one in rates if one.failed], "x", "with errors")
    _mark(axes, [one for one in rates if one.generator_was_late], "s", "generator was late")
    axes.axhline(target_ms, color=NEUTRAL_COLOR, linestyle="--", linewidth=1)
    if len(x) > 1 and max(x) > 20 * min(x):
        axes.set_xscale("log")
        axes.set_xticks(x, [f"{rate:,g}" for rate in x])
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    _milliseconds(axes)
    axes.set_xlabel("requests a second that were due")
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _mark(axes: Axes, marked: list[Measured], marker: str, label: str) -> None:
    if marked:
        axes.plot(
            [one.rate for one in marked],
            [one.latency_ms["p99"] for one in marked],
            marker,
            color=FIT_COLOR,
            markersize=9,
            fillstyle="none",
            label=label,
        )


def _draw_percentiles(axes: Axes, rates: list[Measured], target_ms: float) -> None:
    shades = np.linspace(0.75, 0.0, len(rates)) if len(rates) > 1 else np.zeros(1)
    for one, shade in zip(sorted(rates, key=lambda one: one.rate), shades, strict=True):
        # no further than the requests that were made can tell
        known = [(p, ms) for p, ms in one.curve_ms if (1 - p / 100) * one.sent >= 1]
        beyond = [1 / (1 - p / 100) for p, _ in known]
        axes.plot(
            beyond, [ms for _, ms in known], color=str(shade), label=f"{one.rate:,g} a second"
        )
    axes.set_xscale("log")
    axes.set_xticks([1 / (1 - p / 100) for p in _TICKS], [f"{p:g} %" for p in _TICKS])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axhline(target_ms, color=NEUTRAL_COLOR, linestyle="--", linewidth=1)
    _milliseconds(axes)
    axes.set_xlabel("share of the requests that took no longer")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    note(axes, f"dashed: the target, {target_ms:g} ms", y=0.03)


def _milliseconds(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.margins(y=0.12)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
    log_ticks(axes, "y")
    axes.set_ylabel("latency, ms")
