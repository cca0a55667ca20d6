"""Figures of explanations: the weight of each click, as rows and as attention maps.

Stacked rows of weights correspond to Figure 6 of NARM and Figure 8 of LGSR, self-attention maps to
Figure 7 of LGSR. All maps of a layer have one color scale, which is that of the largest weight in
them, with a color bar; red cells are negative.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.analysis.plots.canvas import CATEGORY_COLOR, PanelFigure, format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from nextclick.core.types import AnyArray

    DrawPanel = Callable[[Axes], None]
    ExplanationData = Mapping[str, Any]  # an element of `explanations` in `explain/1`

_PANEL_COLUMNS = 2
_MAX_MAPS = 2  # sessions whose attention maps are drawn
_MAX_TICKS = 25  # per axis
_MAX_NUMBERED_COLUMNS = 15  # wider heat maps have no room for numbers
_MAX_ID_LENGTH = 14  # characters
_MAX_EDGES = 12
_MAX_VOTE_ITEMS = 4  # of a neighboring session
_TWO_DECIMALS_BELOW = 10
_WHITE_TEXT_FROM = 0.6  # share of the scale from which numbers are white
_MAX_TICK_CHARACTERS = 50  # along x; longer labels are rotated


def draw_explained(
    explanations: Sequence[ExplanationData], path: Path, *, names: Sequence[str], title: str
) -> None:
    """Draw explanations in the layout of `explain/1`, as PNG or SVG.

    Args:
        explanations: at least one, all of the same model.
        path: ends in .png or .svg.
        names: names of the sessions.
        title: title of the figure.
    """
    if len(explanations) == 1:
        panels = [*_panels_of_one(explanations[0])]
    else:
        panels = [*_panels_of_many(explanations, names)]
    columns = min(_PANEL_COLUMNS, len(panels))
    subtitle = "one color scale per layer"
    if any(_has_negative(explanation) for explanation in explanations):
        subtitle += "; red: negative"
    figure = PanelFigure(title, subtitle, ceil(len(panels) / columns), columns)
    for name, draw in panels:
        draw(figure.panel(name))
    for _ in range(-len(panels) % columns):
        figure.panel("").set_axis_off()
    figure.save(path)


def _panels_of_one(explanation: ExplanationData) -> Iterator[tuple[str, DrawPanel]]:
    clicks = [_shorten(click) for click in explanation["clicks"]]
    items = [_shorten(item) for item in explanation["items"]]
    vectors = [layer for layer in explanation["attention"] if layer["map"] is None]
    if vectors:
        weights = np.full((len(vectors), len(clicks)), np.nan)
        for row, layer in zip(weights, vectors, strict=True):
            row[layer["clicks"]] = layer["weights"]
        layers = [layer["layer"] for layer in vectors]
        yield "attention to each click", _heat_map(weights, layers, clicks, weights)
    for layer in explanation["attention"]:
        if layer["map"] is not None:
            yield _attention_map(layer, clicks, "", _largest([layer["map"]]))
    decrease = _lead_decrease(explanation)  # (K, n)
    ranks = np.array([e["ranks"] for e in explanation["without"]], dtype=object).T  # (K, n)
    ranked_items = [
        f"{item} (rank {rank or 'none'})"
        for item, rank in zip(items, explanation["now"]["ranks"], strict=True)
    ]
    ablation = _heat_map(decrease, ranked_items, clicks, ranks)
    yield "decrease without each click (resulting rank)", ablation
    if explanation["parts"] is not None:
        yield _score_parts(explanation["parts"], items, clicks)
    if explanation["neighbors"]:
        yield "sessions with the largest votes", _bars(*_votes(explanation["neighbors"]))
    if explanation["links"]:
        yield "neighbors in the temporal item graph", _bars(*_edges(explanation["links"]))


def _panels_of_many(
    explanations: Sequence[ExplanationData], names: Sequence[str]
) -> Iterator[tuple[str, DrawPanel]]:
    layers = {layer["layer"]: layer["map"] for e in explanations for layer in e["attention"]}
    decreases = [_lead_decrease(explanation)[0].tolist() for explanation in explanations]
    longest = min(max(map(len, decreases)), _MAX_TICKS)
    for name, attention_map in layers.items():
        with_layer = [
            (session, explanation, layer)
            for session, explanation in zip(names, explanations, strict=True)
            for layer in explanation["attention"]
            if layer["layer"] == name
        ]
        if attention_map is None:
            rows = [layer["weights"] for _, _, layer in with_layer]
            yield name, _aligned_rows(rows, [session for session, _, _ in with_layer], longest)
            continue
        largest = _largest([layer["map"] for _, _, layer in with_layer[:_MAX_MAPS]])
        for session, explanation, layer in with_layer[:_MAX_MAPS]:
            clicks = [_shorten(click) for click in explanation["clicks"]]
            yield _attention_map(layer, clicks, f", {session}", largest)
    yield "decrease of the next item without each click", _aligned_rows(decreases, names, longest)


def _lead_decrease(explanation: ExplanationData) -> AnyArray:
    """(K, n) decrease of each item's lead when a click is removed."""
    without = np.array([ablated["above_mean"] for ablated in explanation["without"]])  # (n, K)
    decrease: AnyArray = (np.array(explanation["now"]["above_mean"]) - without).T
    return decrease


def _has_negative(explanation: ExplanationData) -> bool:
    weights = [np.array(layer["weights"]) for layer in explanation["attention"]]
    return bool((np.concatenate([_lead_decrease(explanation).ravel(), *weights]) < 0).any())


def _attention_map(
    layer: Mapping[str, Any], clicks: Sequence[str], suffix: str, largest: float
) -> tuple[str, DrawPanel]:
    weights = np.array(layer["map"])
    later = np.triu(np.ones(weights.shape, dtype=np.bool_), 1)
    attended = [clicks[position] for position in layer["clicks"]]
    draw_cells = _heat_map(np.where(later, np.nan, weights), attended, attended, largest=largest)

    def draw(axes: Axes) -> None:
        draw_cells(axes)
        axes.set_xlabel("attended click (key)")
        axes.set_ylabel("attending click (query)")

    return f"{layer['layer']}{suffix}", draw


def _score_parts(
    parts: Mapping[str, Any], items: Sequence[str], clicks: Sequence[str]
) -> tuple[str, DrawPanel]:
    rest = parts["rest"]
    values = np.array([*parts["clicks"], *rest.values()]).T  # (K, n + rest)
    return "parts of the score", _heat_map(values, items, [*clicks, *rest], values)


def _votes(neighbors: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[str]]:
    names = []
    for neighbor in neighbors:
        if neighbor["items"] is None:
            names.append(f"session {neighbor['session']}")
            continue
        name = " ".join(_shorten(item) for item in neighbor["items"][:_MAX_VOTE_ITEMS])
        names.append(name + (" …" if len(neighbor["items"]) > _MAX_VOTE_ITEMS else ""))
    return [neighbor["vote"] for neighbor in neighbors], names


def _edges(links: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[str]]:
    edges = [
        (weight, f"{_shorten(link['item'])} – {_shorten(neighbor)}")
        for link in reversed(links)  # last click first
        for neighbor, weight in zip(link["neighbors"], link["weights"], strict=True)
    ][:_MAX_EDGES]
    return [weight for weight, _ in edges], [name for _, name in edges]


def _bars(lengths: Sequence[float], names: Sequence[str]) -> DrawPanel:
    def draw(axes: Axes) -> None:
        axes.barh(range(len(lengths)), lengths, color=CATEGORY_COLOR)
        axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
        axes.invert_yaxis()

    return draw


def _aligned_rows(rows: Sequence[Sequence[float]], names: Sequence[str], longest: int) -> DrawPanel:
    """Heat map with one row per session, aligned at the last click, `longest` clicks at most."""
    weights = np.full((len(rows), longest), np.nan)
    for n, row in enumerate(rows):
        latest = row[-longest:]
        weights[n, longest - len(latest) :] = latest
    distances = [str(n) if n else "last" for n in range(longest - 1, -1, -1)]
    draw_cells = _heat_map(weights, names, distances)

    def draw(axes: Axes) -> None:
        draw_cells(axes)
        axes.set_xlabel("clicks before the last one")

    return draw


def _largest(maps: Sequence[Any]) -> float:
    """The largest absolute value of some arrays, NaN ignored; 1 if all are 0."""
    values = np.concatenate([np.abs(np.asarray(one, dtype=np.float64)).ravel() for one in maps])
    largest = float(np.nanmax(values))
    return largest if largest > 0 else 1.0


def _heat_map(
    cells: AnyArray,
    rows: Sequence[str],
    columns: Sequence[str],
    numbers: AnyArray | None = None,
    *,
    largest: float | None = None,
) -> DrawPanel:
    """Cells on one scale with a color bar, annotated with `numbers` where there is room.

    Args:
        cells: values; NaN is an empty cell.
        rows: names of the rows.
        columns: names of the columns.
        numbers: text of each cell.
        largest: end of the scale, which is symmetric around 0; None is the largest absolute value.
    """
    scale = _largest([cells]) if largest is None else largest
    lowest = -scale if bool((cells < 0).any()) else 0.0

    def draw(axes: Axes) -> None:
        axes.grid(visible=False)
        image = axes.imshow(cells, cmap="RdBu", vmin=-scale, vmax=scale, aspect="auto")
        figure = axes.get_figure()
        assert figure is not None
        bar = figure.colorbar(image, ax=axes)
        bar.ax.set_ylim(lowest, scale)
        bar.set_ticks(np.linspace(lowest, scale, 5).tolist())
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)
        axes.set_xticks(np.arange(cells.shape[1] + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(cells.shape[0] + 1) - 0.5, minor=True)
        axes.grid(visible=True, which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        axes.spines[:].set_visible(False)
        _label_ticks(axes, rows, columns)
        if numbers is not None and cells.shape[1] <= _MAX_NUMBERED_COLUMNS:
            for (y, x), cell in np.ndenumerate(cells):
                if not np.isnan(cell):
                    color = "white" if abs(cell) > _WHITE_TEXT_FROM * scale else "black"
                    text = _format_number(numbers[y, x])
                    axes.text(x, y, text, ha="center", va="center", fontsize=7, color=color)

    return draw


def _label_ticks(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    step = ceil(len(columns) / _MAX_TICKS)
    positions = range(len(columns) - 1, -1, -step)  # always labels the last column
    axes.set_xticks(positions, [columns[n] for n in positions], fontsize=8, parse_math=False)
    if max(len(name) for name in columns) * len(columns) > _MAX_TICK_CHARACTERS:
        axes.tick_params(axis="x", labelrotation=90)
    step = ceil(len(rows) / _MAX_TICKS)
    positions = range(0, len(rows), step)
    axes.set_yticks(positions, [rows[n] for n in positions], fontsize=8, parse_math=False)


def _format_number(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < _TWO_DECIMALS_BELOW else format_count(value)
    return f"{value:,}"


def _shorten(raw_id: int | str) -> str:
    text = str(raw_id)
    return text if len(text) <= _MAX_ID_LENGTH else f"{text[: _MAX_ID_LENGTH - 1]}…"
