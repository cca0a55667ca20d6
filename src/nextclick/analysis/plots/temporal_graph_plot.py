"""Figure of TASRec's temporal item graph: neighbors per block of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nextclick.analysis.plots.canvas import (
    CATEGORY_COLOR,
    ITEM_COLOR,
    PanelFigure,
    format_count,
    note,
)

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from nextclick.analysis.log_statistics import LogStatistics
    from nextclick.analysis.temporal_graph_stats import TemporalGraphStats

_NEIGHBORS = "Neighbor pairs at the start of a block"
_COVERAGE = "Clicked pairs that were neighbors"


def draw_temporal_graph(
    statistics: LogStatistics, path: Path, *, title: str, subtitle: str
) -> None:
    """Write the figure as PNG or SVG."""
    figure = PanelFigure(title, subtitle, 1, 2)
    panels = {_NEIGHBORS: _draw_neighbors, _COVERAGE: _draw_coverage}
    figure.draw_panels("temporal_graph", statistics.temporal_graph, statistics.missing, panels)
    figure.save(path)


def _draw_neighbors(axes: Axes, graph: TemporalGraphStats) -> None:
    _draw_blocks(axes, graph, graph.neighbor_pairs, ITEM_COLOR)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(value)))
    axes.set_ylabel("pairs of items with e ≥ 1")


def _draw_coverage(axes: Axes, graph: TemporalGraphStats) -> None:
    clicked = np.array(graph.clicked_pairs)
    covered = np.array(graph.clicked_neighbor_pairs)
    _draw_blocks(axes, graph, 100 * covered / np.maximum(clicked, 1), CATEGORY_COLOR)
    axes.set_ylim(top=max(1.3 * axes.dataLim.ymax, 1.0))  # room for the note
    axes.set_ylabel("share of the clicked pairs, %")
    n_after_first = clicked[1:].sum()
    share = 100 * covered.sum() / max(n_after_first, 1)
    note(axes, f"all blocks but the first: {share:.1f} %\nof {format_count(n_after_first)} pairs")


def _draw_blocks(
    axes: Axes, graph: TemporalGraphStats, heights: list[int] | np.ndarray, color: str
) -> None:
    blocks = np.array(graph.blocks)
    edges = np.append(blocks, blocks[-1] + 1) - 0.5
    axes.stairs(heights, edges, fill=True, color=color)
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("block of time, counted from the start of the log")
