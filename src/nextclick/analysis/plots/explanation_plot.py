"""Explanations as pictures: how much each click counts, as rows and as maps.

Rows of weights below each other are Figure 6 of NARM and Figure 8 of LGSR, maps of self-attention
its Figure 7. The darkest cell of a row is its largest weight; red stands below 0.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.analysis.plots.canvas import CATEGORIES, Page, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from nextclick.core.types import AnyArray

_COLUMNS = 2  # of panels
_MAPS = 2  # sessions whose maps are drawn
_TICKS = 25  # more have no names
_NUMBERS = 15  # columns that have room for figures
_NAME = 14  # letters of an id
_LINKS = 12
_PLAIN = 10  # numbers below have two places
_DARK = 0.6  # part of the darkest from which on figures are white


def draw_explained(
    explained: Sequence[Mapping[str, Any]], path: Path, *, names: Sequence[str], title: str
) -> None:
    """Write explanations as `explain/1` has them, as PNG or SVG.

    Args:
        explained: of one model, at least one.
        path: ends in .png or .svg.
        names: of the sessions.
        title: of the picture.
    """
    panels = [*(_of_one(explained[0]) if len(explained) == 1 else _of_many(explained, names))]
    columns = min(_COLUMNS, len(panels))
    told = "darkest: the largest weight of a row" + (
        "; red: below 0" if any(_has_negative(one) for one in explained) else ""
    )
    page = Page(title, told, ceil(len(panels) / columns), columns)
    for name, draw in panels:
        draw(page.panel(name))
    for _ in range(-len(panels) % columns):
        page.panel("").set_axis_off()
    page.save(path)


def _of_one(one: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[Axes], None]]]:
    clicks = [_short(click) for click in one["clicks"]]
    items = [_short(item) for item in one["items"]]
    rows = [layer for layer in one["attention"] if layer["map"] is None]
    if rows:
        weights = np.full((len(rows), len(clicks)), np.nan)
        for row, layer in zip(weights, rows, strict=True):
            row[layer["clicks"]] = layer["weights"]
        labels = [layer["layer"] for layer in rows]
        yield "attention to each click", _heat(_by_row(weights), labels, clicks, weights)
    for layer in one["attention"]:
        if layer["map"] is not None:
            yield _map(layer, clicks, "")
    fall = _fall(one)  # (K, n)
    ranks = np.array([stands["ranks"] for stands in one["without"]], dtype=object).T  # (K, n)
    told = [
        f"{item} (rank {rank or 'none'})"
        for item, rank in zip(items, one["now"]["ranks"], strict=True)
    ]
    name = "fall without each click (rank then)"
    yield name, _heat(_by_row(fall), told, clicks, ranks)
    if one["parts"] is not None:
        yield _parts(one["parts"], items, clicks)
    if one["neighbors"]:
        yield "sessions that vote most", _bars(*_votes(one["neighbors"]))
    if one["links"]:
        yield "neighbors in the graph of the days", _bars(*_edges(one["links"]))


def _of_many(
    explained: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Iterator[tuple[str, Callable[[Axes], None]]]:
    layers = {layer["layer"]: layer["map"] for one in explained for layer in one["attention"]}
    falls = [_fall(one)[0].tolist() for one in explained]
    longest = min(max(map(len, falls)), _TICKS)
    for name, map_of_one in layers.items():
        found = [
            (session, one, layer)
            for session, one in zip(names, explained, strict=True)
            for layer in one["attention"]
            if layer["layer"] == name
        ]
        if map_of_one is None:
            rows = [layer["weights"] for _, _, layer in found]
            yield name, _strips(rows, [session for session, _, _ in found], longest)
            continue
        for session, one, layer in found[:_MAPS]:
            yield _map(layer, [_short(click) for click in one["clicks"]], f", {session}")
    yield "fall of what came next without each", _strips(falls, names, longest)


def _fall(one: Mapping[str, Any]) -> AnyArray:
    """(K, n) how far each item's lead falls without each click."""
    without = np.array([stands["leads"] for stands in one["without"]])  # (n, K)
    fall: AnyArray = (np.array(one["now"]["leads"]) - without).T
    return fall


def _has_negative(one: Mapping[str, Any]) -> bool:
    weights = [np.array(layer["weights"]) for layer in one["attention"]]
    return bool((np.concatenate([_fall(one).ravel(), *weights]) < 0).any())


def _map(
    layer: Mapping[str, Any], clicks: Sequence[str], which: str
) -> tuple[str, Callable[[Axes], None]]:
    weights = np.array(layer["map"])
    later = np.triu(np.ones(weights.shape, dtype=np.bool_), 1)
    read = [clicks[at] for at in layer["clicks"]]
    # by row: the first click has but itself to read, and would be darker than all that follow
    heat = _heat(_by_row(np.where(later, np.nan, weights)), read, read)

    def draw(axes: Axes) -> None:
        heat(axes)
        axes.set_xlabel("click that is read")
        axes.set_ylabel("click that reads")

    return f"{layer['layer']}{which}", draw


def _parts(
    parts: Mapping[str, Any], items: Sequence[str], clicks: Sequence[str]
) -> tuple[str, Callable[[Axes], None]]:
    rest = parts["rest"]
    values = np.array([*parts["clicks"], *rest.values()]).T  # (K, n + rest)
    return "parts of the score", _heat(_by_row(values), items, [*clicks, *rest], values)


def _votes(neighbors: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[str]]:
    named = [
        f"session {one['session']}"
        if one["items"] is None
        else " ".join(_short(item) for item in one["items"][:4])
        + (" …" if len(one["items"]) > 4 else "")
        for one in neighbors
    ]
    return [one["vote"] for one in neighbors], named


def _edges(links: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[str]]:
    edges = [
        (weight, f"{_short(link['item'])} – {_short(other)}")
        for link in reversed(links)  # the last click first
        for other, weight in zip(link["neighbors"], link["weights"], strict=True)
    ][:_LINKS]
    return [weight for weight, _ in edges], [name for _, name in edges]


def _bars(lengths: Sequence[float], names: Sequence[str]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        axes.barh(range(len(lengths)), lengths, color=CATEGORIES)
        axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
        axes.invert_yaxis()

    return draw


def _strips(
    rows: Sequence[Sequence[float]], names: Sequence[str], longest: int
) -> Callable[[Axes], None]:
    """The latest clicks of each row; the last one stands on the right."""
    rows = [row[-longest:] for row in rows]
    weights = np.full((len(rows), longest), np.nan)
    for at, row in enumerate(rows):
        weights[at, longest - len(row) :] = row
    before = [str(n) if n else "last" for n in range(longest - 1, -1, -1)]
    heat = _heat(_by_row(weights), names, before)

    def draw(axes: Axes) -> None:
        heat(axes)
        axes.set_xlabel("clicks before the last one")

    return draw


def _by_row(weights: AnyArray) -> AnyArray:
    """Each row (n,) as parts of its largest weight, -1..1."""
    most = np.nanmax(np.abs(weights), axis=1, keepdims=True)
    parts: AnyArray = weights / np.where(most > 0, most, 1.0)
    return parts


def _heat(
    cells: AnyArray, rows: Sequence[str], columns: Sequence[str], figures: AnyArray | None = None
) -> Callable[[Axes], None]:
    """Cells in -1..1, NaN for none, with figures in them where there is room."""

    def draw(axes: Axes) -> None:
        axes.grid(visible=False)
        axes.imshow(cells, cmap="RdBu", vmin=-1.0, vmax=1.0, aspect="auto")
        axes.set_xticks(np.arange(cells.shape[1] + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(cells.shape[0] + 1) - 0.5, minor=True)
        axes.grid(visible=True, which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        axes.spines[:].set_visible(False)
        _name(axes, rows, columns)
        if figures is not None and cells.shape[1] <= _NUMBERS:
            for (y, x), part in np.ndenumerate(cells):
                if not np.isnan(part):
                    _write(axes, x, y, _figure(figures[y, x]), white=abs(part) > _DARK)

    return draw


def _name(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    step = ceil(len(columns) / _TICKS)
    at = range(len(columns) - 1, -1, -step)  # the last one has a name
    axes.set_xticks(at, [columns[n] for n in at], fontsize=8, parse_math=False)
    if max(len(name) for name in columns) * len(columns) > 50:
        axes.tick_params(axis="x", labelrotation=90)
    step = ceil(len(rows) / _TICKS)
    at = range(0, len(rows), step)
    axes.set_yticks(at, [rows[n] for n in at], fontsize=8, parse_math=False)


def _write(axes: Axes, x: int, y: int, text: str, *, white: bool) -> None:
    axes.text(x, y, text, ha="center", va="center", fontsize=7, color="white" if white else "black")


def _figure(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < _PLAIN else short(value)
    return f"{value:,}"


def _short(raw: int | str) -> str:
    text = str(raw)
    return text if len(text) <= _NAME else f"{text[: _NAME - 1]}…"
