"""A sweep as a figure: one or two parameters against accuracy, training time and answer time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.analysis.plots.canvas import CATEGORIES, FIT, ITEMS, NEUTRAL, Page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

_COLORS = (ITEMS, CATEGORIES, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", FIT, NEUTRAL)
_PARTS = {"valid": "the validation part", "test": "the TEST part: no choice may be made on it"}


def draw_sweep(numbers: Mapping[str, Any], path: Path, *, name: str) -> None:
    """Write what `sweep.json` says, as PNG or SVG. Bars are 95 % intervals, or all seeds' times."""
    seeds = numbers["seeds"]
    leaks = {point["leaky"] for point in numbers["points"]} - {None}
    page = Page(
        f"{numbers['model']} on {name}: {' and '.join(numbers['params'])}",
        f"{_PARTS[numbers['part']]}, {seeds} seed{'s' if seeds > 1 else ''}"
        + (f", leaky: {', '.join(sorted(leaks))}" if leaks else ""),
        1,
        3,
    )
    _draw(page.panel(f"{numbers['metric']}, %"), numbers, _accuracy)
    for title, cost in (("training, s", _training), ("one answer, median, ms", _scoring)):
        panel = page.panel(title)
        _draw(panel, numbers, cost)
        panel.set_ylim(0, 1.1 * panel.dataLim.ymax)  # from 0, or noise would look like a trend
    page.save(path)


def _accuracy(point: Mapping[str, Any]) -> tuple[float, float, float]:
    value = point["value"]
    low, high = (value if point[end] is None else point[end] for end in ("low", "high"))
    return 100 * value, 100 * low, 100 * high


def _training(point: Mapping[str, Any]) -> tuple[float, float, float]:
    told = point["training_seconds"]
    return told["mean"], told["least"], told["most"]


def _scoring(point: Mapping[str, Any]) -> tuple[float, float, float]:
    told = point["scoring_ms"]
    return told["mean"], told["least"], told["most"]


def _draw(axes: Axes, numbers: Mapping[str, Any], figure: Any) -> None:
    first, *second = numbers["params"]
    labels = numbers["params"][first]
    lines = numbers["params"][second[0]] if second else [None]
    for n, line in enumerate(lines):
        # values stand in their order, as far from each other: they may be text
        points = [
            point
            for point in numbers["points"]
            if line is None or point["parameters"][second[0]] == line
        ]
        x = [labels.index(point["parameters"][first]) for point in points]
        y, low, high = zip(*(figure(point) for point in points), strict=True)
        below = [max(v - at, 0.0) for v, at in zip(y, low, strict=True)]
        above = [max(at - v, 0.0) for v, at in zip(y, high, strict=True)]
        shift = 0.12 * (n - (len(lines) - 1) / 2) if len(lines) > 1 else 0.0
        axes.errorbar(
            [at + shift for at in x],
            y,
            yerr=(below, above),
            fmt="o-",
            color=_COLORS[n % len(_COLORS)],
            capsize=3,
            markersize=4,
            label=None if line is None else f"{second[0]} {line}",
        )
    axes.set_xticks(range(len(labels)), [str(label) for label in labels])
    axes.set_xlabel(first)
    axes.margins(x=0.08)
    if second:
        axes.legend(fontsize=9, frameon=False)
