"""Names beside points, none over another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_SIZE = 8  # points of the letters
_WIDE, _HIGH = 0.56, 1.25  # of a letter, in its size
_POINT = 5  # points around a marker that stay free
_DISTANCES = (6, 14, 24, 36)  # from the marker, in points; from the second on a line leads there
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))

Box = tuple[float, float, float, float]  # left, bottom, right, top, in points


def name_points(
    axes: Axes, points: Sequence[tuple[float, float, float]], names: Sequence[str]
) -> None:
    """Write each name near its point, the first ones nearest; one without room is left out.

    Args:
        axes: with their limits and scales.
        points: x and y of each, and the x to which a line leads from it.
        names: of the points.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()  # lays out, so that data have a place
    points_per_pixel = 72 / figure.dpi
    to_points = [points_per_pixel * axes.transData.transform((x, y)) for x, y, _ in points]
    ends = [points_per_pixel * axes.transData.transform((end, y)) for _, y, end in points]
    inner = axes.get_window_extent()
    room = [points_per_pixel * v for v in (inner.x0, inner.y0, inner.x1, inner.y1)]
    taken: list[Box] = [(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in to_points]
    taken += [(x, y - 1, end, y + 1) for (x, y), (end, _) in zip(to_points, ends, strict=True)]
    for (x, y), (at_x, at_y, _), name in zip(to_points, points, names, strict=True):
        size = (_WIDE * _SIZE * len(name), _HIGH * _SIZE)
        for distance in _DISTANCES:
            place = _free_place((x, y), size, distance, room, taken)
            if place is None:
                continue
            box, (dx, dy) = place
            taken.append(box)
            axes.annotate(
                name,
                (at_x, at_y),
                xytext=(distance * dx, distance * dy),
                textcoords="offset points",
                ha={1: "left", -1: "right", 0: "center"}[dx],
                va={1: "bottom", -1: "top", 0: "center"}[dy],
                fontsize=_SIZE,
                arrowprops=None
                if distance == _DISTANCES[0]
                else {"arrowstyle": "-", "color": "#4D4D4D", "linewidth": 0.5, "shrinkB": 4},
            )
            break


def _free_place(
    point: tuple[float, float],
    size: tuple[float, float],
    distance: float,
    room: Sequence[float],
    taken: Sequence[Box],
) -> tuple[Box, tuple[int, int]] | None:
    (x, y), (width, height) = point, size
    for dx, dy in _DIRECTIONS:
        left = x + distance * dx - {1: 0, -1: width, 0: width / 2}[dx]
        bottom = y + distance * dy - {1: 0, -1: height, 0: height / 2}[dy]
        box = (left, bottom, left + width, bottom + height)
        inside = box[0] >= room[0] and box[1] >= room[1] and box[2] <= room[2] and box[3] <= room[3]
        if inside and not any(_overlap(box, other) for other in taken):
            return box, (dx, dy)
    return None


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
