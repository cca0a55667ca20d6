"""Figure of a parameter sweep: accuracy, training time and response time by parameter value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.analysis.plots.canvas import FIT_COLOR, NEUTRAL_COLOR, SERIES_COLORS, PanelFigure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

    Point = Mapping[str, Any]

_COLORS = (*SERIES_COLORS, FIT_COLOR, NEUTRAL_COLOR)
_PARTS = {
    "valid": "validation split",
    "test": "TEST split: do not select parameters on it",
}


def draw_sweep(sweep: Mapping[str, Any], path: Path, *, name: str) -> None:
    """Write `sweep.json` as PNG or SVG.

    Error bars are 95 % intervals of the metric, and the range over the seeds of the times.
    """
    seeds = sweep["seeds"]
    leaks = {point["leaky"] for point in sweep["points"]} - {None}
    figure = PanelFigure(
        f"{sweep['model']} on {name}: {' and '.join(sweep['params'])}",
        f"{_PARTS[sweep['part']]}, {seeds} seed{'s' if seeds > 1 else ''}"
        + (f", leaky: {', '.join(sorted(leaks))}" if leaks else ""),
        1,
        3,
    )
    _draw(figure.panel(f"{sweep['metric']}, %"), sweep, _accuracy)
    by_processor = all(point["processor_seconds"] for point in sweep["points"])
    training = ("training, processor seconds", _processor_time)
    if not by_processor:  # a resumed training has no processor time
        training = ("training time, s", _training_time)
    for title, cost in (training, ("median response time, ms", _response_time)):
        axes = figure.panel(title)
        _draw(axes, sweep, cost)
        axes.set_ylim(0, 1.1 * axes.dataLim.ymax)  # from 0, or noise would look like a trend
    figure.save(path)


def _accuracy(point: Point) -> tuple[float, float, float]:
    value = point["value"]
    low, high = (value if point[end] is None else point[end] for end in ("low", "high"))
    return 100 * value, 100 * low, 100 * high


def _processor_time(point: Point) -> tuple[float, float, float]:
    seconds = point["processor_seconds"]
    return seconds["mean"], seconds["min"], seconds["max"]


def _training_time(point: Point) -> tuple[float, float, float]:
    seconds = point["training_seconds"]
    return seconds["mean"], seconds["min"], seconds["max"]


def _response_time(point: Point) -> tuple[float, float, float]:
    milliseconds = point["response_ms"]
    return milliseconds["mean"], milliseconds["min"], milliseconds["max"]


def _draw(
    axes: Axes, sweep: Mapping[str, Any], value_of: Callable[[Point], tuple[float, float, float]]
) -> None:
    """Draw value, low and high of each point, with one line per value of a second parameter."""
    x_parameter, *line_parameters = sweep["params"]
    x_values = sweep["params"][x_parameter]
    line_values = sweep["params"][line_parameters[0]] if line_parameters else [None]
    for n, line_value in enumerate(line_values):
        points = [
            point
            for point in sweep["points"]
            if line_value is None or point["parameters"][line_parameters[0]] == line_value
        ]
        # evenly spaced in the given order: values may be text
        x = [x_values.index(point["parameters"][x_parameter]) for point in points]
        y, low, high = zip(*(value_of(point) for point in points), strict=True)
        below = [max(value - end, 0.0) for value, end in zip(y, low, strict=True)]
        above = [max(end - value, 0.0) for value, end in zip(y, high, strict=True)]
        shift = 0.12 * (n - (len(line_values) - 1) / 2) if len(line_values) > 1 else 0.0
        axes.errorbar(
            [position + shift for position in x],
            y,
            yerr=(below, above),
            fmt="o-",
            color=_COLORS[n % len(_COLORS)],
            capsize=3,
            markersize=4,
            label=None if line_value is None else f"{line_parameters[0]} {line_value}",
        )
    axes.set_xticks(range(len(x_values)), [str(value) for value in x_values])
    axes.set_xlabel(x_parameter)
    axes.margins(x=0.08)
    if line_parameters:
        axes.legend(fontsize=9, frameon=False)
