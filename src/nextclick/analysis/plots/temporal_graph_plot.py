"""The graph of the days as a figure: TASRec's edges per day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nextclick.analysis.plots.canvas import CATEGORIES, ITEMS, Page, note, short

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from nextclick.analysis.log_statistics import Analysis
    from nextclick.analysis.temporal_graph_stats import DayGraph

_ALIVE = "Pairs of neighbors for the sessions of a block"
_KNOWN = "Pairs clicked in a block that were neighbors"


def draw_day_graph(found: Analysis, path: Path, *, title: str, subtitle: str) -> None:
    """Write the PNG."""
    page = Page(title, subtitle, 1, 2)
    panels = {_ALIVE: _draw_alive, _KNOWN: _draw_known}
    page.draw("day_graph", found.day_graph, found.missing, panels)
    page.save(path)


def _draw_alive(axes: Axes, found: DayGraph) -> None:
    _bars(axes, found, found.alive, ITEMS)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.set_ylabel("pairs of items with e ≥ 1")


def _draw_known(axes: Axes, found: DayGraph) -> None:
    clicked = np.array(found.clicked)
    _bars(axes, found, 100 * np.array(found.known) / np.maximum(clicked, 1), CATEGORIES)
    axes.set_ylim(top=max(1.3 * axes.dataLim.ymax, 1.0))  # room for the note
    axes.set_ylabel("share of the pairs clicked, %")
    after = clicked[1:].sum()
    share = 100 * sum(found.known) / max(after, 1)
    note(axes, f"all but the first: {share:.1f} %\nof {short(after)} pairs")


def _bars(axes: Axes, found: DayGraph, heights: list[int] | np.ndarray, color: str) -> None:
    blocks = np.array(found.blocks)
    edges = np.append(blocks, blocks[-1] + 1) - 0.5
    axes.stairs(heights, edges, fill=True, color=color)
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("block of time, 0 the first of the log")
