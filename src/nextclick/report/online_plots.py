"""The figures of an online report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.analysis.plots.canvas import NEUTRAL_COLOR, SERIES_COLORS, PanelFigure
from nextclick.evaluation.online_metrics import ONLINE_METRICS
from nextclick.report.html_page import InlinePlot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from matplotlib.axes import Axes

_PANEL_INCHES = (4.4, 3.3)
_MAX_TICKS = 10


def online_plots(report: dict[str, Any]) -> dict[str, InlinePlot]:
    """The figures for which a report has data, by name."""
    draws: dict[str, tuple[str, Callable[[Axes, dict[str, Any]], None]]] = {
        "positions": ("Click rate by position", _draw_positions),
        "days": ("Click-through by day", _draw_days),
    }
    if report["comparison"] is not None:
        draws["comparison"] = ("Difference of the two versions after each day", _draw_comparison)
    plots = {}
    for name, (title, draw) in draws.items():
        figure = PanelFigure("", "", 1, 1, _PANEL_INCHES)
        draw(figure.panel(""), report)
        plots[name] = InlinePlot(title, figure.svg(name))
    return plots


def version_label(row: dict[str, Any], report: dict[str, Any]) -> str:
    """The version of a row, with its model if the report has several."""
    one_model = len({other["model"] for other in report["by_version"]}) == 1
    return str(row["version"]) if one_model else f"{row['model']} {row['version']}"


def _draw_positions(axes: Axes, report: dict[str, Any]) -> None:
    for row, color in zip(report["by_version"], SERIES_COLORS, strict=False):
        points = [(p["position"], p["click_rate"]) for p in row["positions"]]
        _draw_band(axes, points, color, version_label(row, report))
    axes.set_xlabel("position", fontsize=9)
    _finish(axes, "click rate, %")


def _draw_days(axes: Axes, report: dict[str, Any]) -> None:
    days = [row["day"] for row in report["by_day"]]
    for row, color in zip(report["by_version"], SERIES_COLORS, strict=False):
        own = [
            (days.index(day["day"]), day["metrics"]["click_through"])
            for day in report["by_version_and_day"]
            if (day["model"], day["version"]) == (row["model"], row["version"])
        ]
        _draw_band(axes, own, color, version_label(row, report))
    _day_axis(axes, days)
    _finish(axes, "click-through, %")


def _draw_comparison(axes: Axes, report: dict[str, Any]) -> None:
    comparison = report["comparison"]
    looks = comparison["looks"]
    known = [(n, look) for n, look in enumerate(looks) if look["low"] is not None]
    axes.axhline(0, color=NEUTRAL_COLOR, linewidth=0.8)
    values = [
        (n, {"value": look["difference"], "low": look["low"], "high": look["high"]})
        for n, look in known
    ]
    first, second = comparison["versions"]
    _draw_band(axes, values, SERIES_COLORS[0], f"{second} − {first}")
    _day_axis(axes, [look["day"] for look in looks])
    _finish(axes, f"{ONLINE_METRICS[comparison['metric']]}, points", from_zero=False)


def _draw_band(
    axes: Axes, points: Iterable[tuple[float, dict[str, Any] | None]], color: str, label: str
) -> None:
    """A line in percent, with vertical lines for its intervals."""
    known = [(x, value) for x, value in points if value is not None]
    axes.plot(
        [x for x, _ in known], [100 * value["value"] for _, value in known],
        "o-", color=color, markersize=3, linewidth=1.3, label=label,
    )  # fmt: skip
    for x, value in known:
        if value["low"] is not None:
            axes.plot([x, x], [100 * value["low"], 100 * value["high"]], color=color, linewidth=0.9)


def _day_axis(axes: Axes, days: list[str]) -> None:
    step = max(1, -(-len(days) // _MAX_TICKS))
    axes.set_xticks(range(0, len(days), step), [day[5:] for day in days[::step]], rotation=45)


def _finish(axes: Axes, label: str, *, from_zero: bool = True) -> None:
    axes.tick_params(labelsize=8)
    if from_zero:
        axes.set_ylim(bottom=0)
    axes.set_ylabel(label, fontsize=9)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, frameon=False, ncols=3,
        handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip
