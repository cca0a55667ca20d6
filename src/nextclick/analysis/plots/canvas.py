"""Shared parts of all figures: a grid of panels, colors and readable axes.

Figures are created directly, never through pyplot: pyplot keeps global state, which is neither
thread-safe nor ours in a program that embeds nextclick.
"""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, TypeVar

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

T = TypeVar("T")

# colors that remain distinguishable with red-green color blindness (Okabe and Ito)
ITEM_COLOR = "#D55E00"
CATEGORY_COLOR = "#0072B2"
NEUTRAL_COLOR = "#4D4D4D"
FIT_COLOR = "#000000"
GRID_COLOR = "#E3E3E3"
SERIES_COLORS = (ITEM_COLOR, CATEGORY_COLOR, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DPI = 150
_PANEL_INCHES = (5.2, 3.9)
_REASON_WIDTH = 46  # characters
_SHORT_AXIS_RATIO = 300  # shorter logarithmic axes also get ticks at 2 and 5
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


class PanelFigure:
    """A figure with a grid of panels, filled row by row."""

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
            # a $ in a name would start a formula
            self._figure.suptitle(
                f"{title}\n{subtitle}", fontsize=12, x=0.01, ha="left", parse_math=False
            )
        self._free_axes = list(self._figure.subplots(rows, columns, squeeze=False).flat)

    def panel(self, title: str) -> Axes:
        """Return the next panel with its title and grid."""
        axes: Axes = self._free_axes.pop(0)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, color=GRID_COLOR, linewidth=0.7)
        axes.set_axisbelow(True)
        return axes

    def draw_panels(
        self,
        name: str,
        data: T | None,
        missing: Mapping[str, str],
        panels: Mapping[str, Callable[[Axes, T], None]],
    ) -> None:
        """Draw `data` in one panel per title, or the reason `missing[name]` if it is None."""
        for title, draw in panels.items():
            if data is None:
                self.empty_panel(title, missing[name])
            else:
                draw(self.panel(title), data)

    def empty_panel(self, title: str, reason: str) -> None:
        """Fill the next panel with the reason why it has no data."""
        axes = self.panel(title)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_xticks([])
        axes.set_yticks([])
        text = textwrap.fill(f"Not available. {reason}", _REASON_WIDTH)
        axes.text(0.02, 0.92, text, va="top", color=NEUTRAL_COLOR, parse_math=False)

    def save(self, path: Path) -> None:
        """Write PNG or SVG, depending on the suffix; the SVG is byte-identical between runs."""
        self._fix_layout()
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with rc_context({"svg.hashsalt": "nextclick"}):
            self._figure.savefig(path, dpi=_DPI, format=path.suffix[1:], metadata=metadata)

    def svg(self, name: str) -> str:
        """Render as SVG with real text, so that a web page can apply its own fonts.

        Args:
            name: name of the figure; makes its ids unique on a page with several figures.
        """
        self._fix_layout()
        buffer = io.StringIO()
        with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
            self._figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
        return buffer.getvalue()

    def _fix_layout(self) -> None:
        """Compute the layout once for all formats: it takes longer than drawing."""
        if self._figure.get_layout_engine() is not None:
            self._figure.draw_without_rendering()
            self._figure.set_layout_engine("none")


def note(axes: Axes, text: str, *, x: float = 0.98, y: float = 0.97, align: str = "right") -> None:
    """Write a few lines into a corner of a panel."""
    axes.text(
        x,
        y,
        text,
        transform=axes.transAxes,
        ha=align,
        va="top" if y > 0.5 else "bottom",
        fontsize=9,
        color=NEUTRAL_COLOR,
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )


def duration_axis(axes: Axes, minimum: float, maximum: float) -> None:
    """Make x a logarithmic axis of seconds with ticks at round durations."""
    axes.set_xscale("log")
    axes.set_xlim(minimum, maximum)
    ticks = [(value, name) for value, name in _DURATIONS if minimum <= value <= maximum]
    if len(ticks) < 2:
        ticks = [(value, format_seconds(value)) for value in (minimum, maximum)]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([value for value, _ in ticks], [name for _, name in ticks])


def log_ticks(axes: Axes, which: str) -> None:
    """Label a logarithmic axis, `x` or `y`, with 1, 10, 1k; a short one also with 2 and 5."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    minimum, maximum = axis.get_view_interval()
    subs = (1, 2, 5) if maximum < _SHORT_AXIS_RATIO * minimum else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_count(value)))
    axis.set_minor_formatter(NullFormatter())


def format_count(value: float) -> str:
    """Format a number with three significant digits and a unit prefix.

    >>> [format_count(n) for n in (0.5, 7, 999_999, 25_040, 1_500_000)]
    ['0.5', '7', '1M', '25k', '1.5M']
    """
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def format_seconds(value: float) -> str:
    """Format seconds with at least three significant digits.

    >>> [format_seconds(s) for s in (0.04321, 12.34, 2017.4)]
    ['0.0432 s', '12.3 s', '2,017 s']
    """
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"
