"""What the figures share: a page of panels, colors, axes that people can read.

Figures are drawn on objects of their own, never through pyplot: several threads may draw, and a
program that embeds nextclick keeps its own settings and windows.
"""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, TypeVar

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

T = TypeVar("T")

# told apart also by those who see no red and green (Okabe and Ito)
ITEMS = "#D55E00"
CATEGORIES = "#0072B2"
NEUTRAL = "#4D4D4D"
FIT = "#000000"
_DPI = 150
_PANEL_INCHES = (5.2, 3.9)
_REASON_WIDTH = 46  # characters
_SHORT_AXIS = 300  # ends of a logarithmic axis whose ratio is smaller get more ticks
_DURATIONS = (
    (0.001, "1 ms"),
    (0.01, "10 ms"),
    (0.1, "0.1 s"),
    (1, "1 s"),
    (10, "10 s"),
    (60, "1 min"),
    (600, "10 min"),
    (3600, "1 h"),
    (6 * 3600, "6 h"),
    (86_400, "1 d"),
    (7 * 86_400, "1 wk"),
    (30 * 86_400, "30 d"),
    (365 * 86_400, "1 y"),
)


class Page:
    """A figure of rows × columns of panels, filled one after the other."""

    def __init__(
        self,
        title: str,
        subtitle: str,
        rows: int,
        columns: int,
        panel_inches: tuple[float, float] = _PANEL_INCHES,
    ):
        width, height = panel_inches
        size = (width * columns, height * rows + (0.9 if title else 0))
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        self._figure = Figure(figsize=size, layout=layout, facecolor="white")
        FigureCanvasAgg(self._figure)
        if title:
            # a name may have a $, which would begin a formula
            self._figure.suptitle(
                f"{title}\n{subtitle}", fontsize=12, x=0.01, ha="left", parse_math=False
            )
        self._free = list(self._figure.subplots(rows, columns, squeeze=False).flat)

    def panel(self, title: str) -> Axes:
        """Return the next panel, its title and grid set."""
        axes: Axes = self._free.pop(0)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, color="#E3E3E3", linewidth=0.7)
        axes.set_axisbelow(True)
        return axes

    def draw(
        self,
        name: str,
        found: T | None,
        missing: Mapping[str, str],
        panels: Mapping[str, Callable[[Axes, T], None]],
    ) -> None:
        """Draw what was found in panels by title, or say in each what `missing` says of it."""
        for title, draw in panels.items():
            if found is None:
                self.without(title, missing[name])
            else:
                draw(self.panel(title), found)

    def without(self, title: str, reason: str) -> None:
        """Say in the next panel why it is empty."""
        axes = self.panel(title)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_xticks([])
        axes.set_yticks([])
        wrapped = textwrap.fill(f"Left out. {reason}", _REASON_WIDTH)
        axes.text(0.02, 0.92, wrapped, va="top", color=NEUTRAL, parse_math=False)

    def save(self, path: Path) -> None:
        """Write a PNG, or an SVG that is the same for the same figure."""
        self._settle()
        made = {"Date": None} if path.suffix == ".svg" else None
        with rc_context({"svg.hashsalt": "nextclick"}):
            self._figure.savefig(path, dpi=_DPI, format=path.suffix[1:], metadata=made)

    def svg(self, name: str) -> str:
        """The figure as SVG whose texts are texts, for a page that has fonts of its own.

        Args:
            name: of the figure, so that ids of two figures on a page differ.
        """
        self._settle()
        text = io.StringIO()
        with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
            self._figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
        return text.getvalue()

    def _settle(self) -> None:
        """Lay out once: it takes longer than drawing, and every format is drawn."""
        if self._figure.get_layout_engine() is not None:
            self._figure.draw_without_rendering()
            self._figure.set_layout_engine("none")


def note(axes: Axes, text: str, *, x: float = 0.98, y: float = 0.97, align: str = "right") -> None:
    """Put a few lines into a corner of a panel."""
    axes.text(
        x,
        y,
        text,
        transform=axes.transAxes,
        ha=align,
        va="top" if y > 0.5 else "bottom",
        fontsize=9,
        color=NEUTRAL,
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )


def durations_on_x(axes: Axes, least: float, most: float) -> None:
    """A logarithmic axis of seconds with ticks at times that have a name."""
    axes.set_xscale("log")
    axes.set_xlim(least, most)
    ticks = [(at, name) for at, name in _DURATIONS if least <= at <= most]
    if len(ticks) < 2:
        ticks = [(at, seconds(at)) for at in (least, most)]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([at for at, _ in ticks], [name for _, name in ticks])


def log_counts(axes: Axes, which: str) -> None:
    """A logarithmic axis of counts or percents: 1, 10, 1k; where it is short also 2 and 5."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    least, most = axis.get_view_interval()
    subs = (1, 2, 5) if most < _SHORT_AXIS * least else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axis.set_minor_formatter(NullFormatter())


def short(value: float) -> str:
    """Write a number with at most three digits.

    >>> [short(n) for n in (0.5, 7, 999_999, 25_040, 1_500_000)]
    ['0.5', '7', '1M', '25k', '1.5M']
    """
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """Write seconds with three digits or more.

    >>> [seconds(s) for s in (0.04321, 12.34, 2017.4)]
    ['0.0432 s', '12.3 s', '2,017 s']
    """
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"
