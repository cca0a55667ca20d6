"""Scatter plots of accuracy against costs, and of coverage against popularity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from nextclick.analysis.plots.canvas import NEUTRAL_COLOR, log_ticks
from nextclick.core.metrics import metric_label
from nextclick.report.model_style import marker_fill, model_color, percent_interval, plot_label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

_MIB = 1 << 20
_FONT_POINTS = 8
_CHARACTER_WIDTH, _LINE_HEIGHT = 0.56, 1.25  # relative to the font size
_CLEARANCE = 5  # points around a marker
_DISTANCES = (6, 14, 24, 36)  # from the marker in points; from the second on with a leader line
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_HORIZONTAL_ALIGNMENT = {1: "left", -1: "right", 0: "center"}
_VERTICAL_ALIGNMENT = {1: "bottom", -1: "top", 0: "center"}
_LEADER_LINE = {"arrowstyle": "-", "color": NEUTRAL_COLOR, "linewidth": 0.5, "shrinkB": 4}

Box = tuple[float, float, float, float]  # left, bottom, right, top, in points


def draw_training_time(axes: Axes, data: dict[str, Any]) -> None:
    """Accuracy against training time."""
    axes.set_xlabel("training time, s", fontsize=9)
    _scatter(axes, data, lambda row: float(row["costs"]["training_seconds"]))


def draw_size(axes: Axes, data: dict[str, Any]) -> None:
    """Accuracy against size on disk."""
    axes.set_xlabel("MiB on disk", fontsize=9)
    _scatter(axes, data, lambda row: float(row["costs"]["size_bytes"]) / _MIB)


def draw_response_time(axes: Axes, data: dict[str, Any]) -> None:
    """Accuracy against response time."""
    axes.set_xlabel("median response time, ms (line: to the 99th percentile)", fontsize=9)
    _scatter(
        axes,
        data,
        lambda row: float(row["costs"]["response_ms"]["median"]),
        lambda row: float(row["costs"]["response_ms"]["p99"]),
    )


def _scatter(
    axes: Axes,
    data: dict[str, Any],
    x_of: Callable[[dict[str, Any]], float],
    line_end_of: Callable[[dict[str, Any]], float] | None = None,
) -> None:
    """Accuracy against a cost on a logarithmic axis, with a line from x to a second cost."""
    rows = [row for row in data["leaderboard"] if row["costs"] and x_of(row)]
    points = [(x_of(row), percent_interval(row, data["metric"])[0]) for row in rows]
    ends = [x for x, _ in points] if line_end_of is None else [line_end_of(row) for row in rows]
    for row, (x, y), end in zip(rows, points, ends, strict=True):
        color, fill = model_color(row), marker_fill(row)
        axes.plot([x, end], [y, y], color=color, linewidth=1, alpha=0.6)
        axes.plot(x, y, "o", color=color, markerfacecolor=fill, markersize=6)
    axes.set_xscale("log")
    minimum, maximum = min(x for x, _ in points), max(ends)
    ratio = max(maximum / minimum, 10)
    right_margin = 0.22 if line_end_of is None else 0.06
    axes.set_xlim(minimum / ratio**0.12, maximum * ratio**right_margin)
    axes.margins(y=0.12)
    log_ticks(axes, "x")
    axes.tick_params(labelsize=9)
    axes.set_ylabel(f"{metric_label(data['metric'])}, %", fontsize=9)
    lines = [(x, y, end) for (x, y), end in zip(points, ends, strict=True)]
    _place_labels(axes, lines, [plot_label(row["label"]) for row in rows])


def draw_coverage(axes: Axes, data: dict[str, Any]) -> None:
    """Popularity of the recommended items against coverage."""
    rows = [row for row in data["leaderboard"] if row["popularity"]]
    points = [(100 * row["coverage"], row["popularity"]["percentile"]) for row in rows]
    for row, (x, y) in zip(rows, points, strict=True):
        axes.plot(x, y, "o", color=model_color(row), markersize=6)
    axes.set_xlim(-10, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.margins(y=0.15)
    axes.tick_params(labelsize=9)
    axes.set_xlabel(f"coverage@{data['k']}: items in at least one list, %", fontsize=9)
    axes.set_ylabel("mean popularity percentile", fontsize=9)
    labels = [plot_label(row["label"]) for row in rows]
    _place_labels(axes, [(x, y, x) for x, y in points], labels)


def _place_labels(
    axes: Axes, points: Sequence[tuple[float, float, float]], labels: Sequence[str]
) -> None:
    """Write each label as close to its point as possible; labels that do not fit are left out.

    Args:
        axes: axes with final limits and scales.
        points: x and y of each point, and the x at which a horizontal line from it ends.
        labels: labels of the points; earlier ones are placed first.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()  # fixes the layout, which data coordinates depend on
    points_per_pixel = 72 / figure.dpi
    starts = [points_per_pixel * axes.transData.transform((x, y)) for x, y, _ in points]
    ends = [points_per_pixel * axes.transData.transform((end, y)) for _, y, end in points]
    extent = axes.get_window_extent()
    left, bottom, right, top = (
        points_per_pixel * v for v in (extent.x0, extent.y0, extent.x1, extent.y1)
    )
    occupied = [
        *((x - _CLEARANCE, y - _CLEARANCE, x + _CLEARANCE, y + _CLEARANCE) for x, y in starts),
        *((x, y - 1, end, y + 1) for (x, y), (end, _) in zip(starts, ends, strict=True)),
    ]
    for (x, y), (data_x, data_y, _), label in zip(starts, points, labels, strict=True):
        position = _free_position((x, y), label, (left, bottom, right, top), occupied)
        if position is None:
            continue
        box, distance, (dx, dy) = position
        occupied.append(box)
        axes.annotate(
            label,
            (data_x, data_y),
            xytext=(distance * dx, distance * dy),
            textcoords="offset points",
            ha=_HORIZONTAL_ALIGNMENT[dx],
            va=_VERTICAL_ALIGNMENT[dy],
            fontsize=_FONT_POINTS,
            arrowprops=None if distance == _DISTANCES[0] else _LEADER_LINE,
        )


def _free_position(
    point: tuple[float, float], label: str, bounds: Box, occupied: Sequence[Box]
) -> tuple[Box, int, tuple[int, int]] | None:
    """The nearest free box for a label, its distance from the point and its direction."""
    x, y = point
    width = _CHARACTER_WIDTH * _FONT_POINTS * len(label)
    height = _LINE_HEIGHT * _FONT_POINTS
    for distance in _DISTANCES:
        for dx, dy in _DIRECTIONS:
            left = x + distance * dx - {1: 0, -1: width, 0: width / 2}[dx]
            bottom = y + distance * dy - {1: 0, -1: height, 0: height / 2}[dy]
            box = (left, bottom, left + width, bottom + height)
            if _inside(box, bounds) and not any(_overlap(box, other) for other in occupied):
                return box, distance, (dx, dy)
    return None


def _inside(box: Box, bounds: Box) -> bool:
    return (
        box[0] >= bounds[0] and box[1] >= bounds[1] and box[2] <= bounds[2] and box[3] <= bounds[3]
    )


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
