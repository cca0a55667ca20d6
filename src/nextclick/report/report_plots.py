"""The figures of a report, drawn with matplotlib from its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextclick.analysis.plots.canvas import (
    GRID_COLOR,
    NEUTRAL_COLOR,
    SERIES_COLORS,
    PanelFigure,
    format_count,
)
from nextclick.core.metrics import metric_label
from nextclick.report.accuracy_breakdowns import plotted_lengths
from nextclick.report.model_style import marker_fill, model_color, percent_interval, plot_label
from nextclick.report.scatter_plots import (
    draw_coverage,
    draw_response_time,
    draw_size,
    draw_training_time,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes

    Draw = Callable[[Axes, dict[str, Any]], None]

_PANEL_INCHES = (4.4, 3.3)  # small enough that text is legible on a phone
_MODEL_ROW_INCHES = 0.23  # in figures with one row per model
_MAX_BARS = 2 * len(SERIES_COLORS)  # the second half is hatched
_MAX_LENGTH_TICKS = 12
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ReportPlot:
    """A figure of the report.

    Attributes:
        name: file name without suffix.
        title: what it shows.
        draw: draws it from the report data.
        model_rows: number of models in a figure with one row per model, else 0.
    """

    name: str
    title: str
    draw: Draw
    model_rows: int = 0

    def render_svg(self, data: dict[str, Any]) -> str:
        """Render as SVG for the page, without title."""
        return self._figure("", "", data).svg(self.name)

    def save(self, data: dict[str, Any], folder: Path) -> None:
        """Write NAME.png and NAME.svg, with title, part and data fingerprint."""
        part = f"{data['name']}, part {data['protocol']['part']}"
        figure = self._figure(self.title, f"{part}\ndata {data['data_fingerprint']}", data)
        for suffix in ("png", "svg"):
            figure.save(folder / f"{self.name}.{suffix}")

    def _figure(self, title: str, subtitle: str, data: dict[str, Any]) -> PanelFigure:
        width, height = _PANEL_INCHES
        if self.model_rows:
            height = max(0.7 + _MODEL_ROW_INCHES * self.model_rows, 1.3)
        figure = PanelFigure(title, subtitle, 1, 1, (width, height))
        self.draw(figure.panel(""), data)
        return figure


def available_plots(data: dict[str, Any]) -> list[ReportPlot]:
    """The figures for which the report has data."""
    rows, metric = data["leaderboard"], metric_label(data["metric"])
    plots = _leaderboard_plots(data)
    if any(row["costs"] for row in rows):
        plots += [
            ReportPlot("training-time", f"{metric} and training time", draw_training_time),
            ReportPlot("latency", f"{metric} and response time", draw_response_time),
            ReportPlot("size", f"{metric} and size on disk", draw_size),
        ]
    title = f"Recall@{data['k']} by clicks before the target"
    plots.append(ReportPlot("by-length", title, _draw_by_length))
    if data["cutoffs"]["recall"]:
        plots += [
            ReportPlot("recall-at-k", "Recall at K", _cutoff_bars("recall")),
            ReportPlot("mrr-at-k", "MRR at K", _cutoff_bars("mrr")),
        ]
    for name, title, cost, unit in (
        ("iterations", "Training iterations per second", "iterations_per_second", 1),
        ("samples", "Training samples per second", "samples_per_second", 1),
        ("memory", "Peak memory in training, MiB", "memory_bytes", _MIB),
    ):
        n_models = sum(_cost(row, cost) is not None for row in rows)
        if n_models:
            plots.append(ReportPlot(name, title, _cost_bars(cost, unit), n_models))
    if any(row["popularity"] for row in rows):
        title = "Coverage and popularity of the recommended items"
        plots.append(ReportPlot("coverage", title, draw_coverage))
    return plots


def _leaderboard_plots(data: dict[str, Any]) -> list[ReportPlot]:
    """The main metric, and Recall and MRR at the same K if they are others."""
    rows = data["leaderboard"]
    name, _, k = data["metric"].partition("@")
    metrics = {"leaderboard": data["metric"]}
    for other in ("recall", "mrr"):
        metric = f"{other}@{k}"
        if other != name and all(metric in row["metrics"] for row in rows):
            metrics[f"leaderboard-{other}"] = metric
    return [
        ReportPlot(
            plot, f"{metric_label(metric)} with 95 % intervals", _interval_plot(metric), len(rows)
        )
        for plot, metric in metrics.items()
    ]


def _cost(row: dict[str, Any], name: str) -> float | None:
    value: float | None = None if row["costs"] is None else row["costs"][name]
    return value


def _model_axis(axes: Axes, labels: list[str]) -> None:
    """One row per model, best on top."""
    axes.set_yticks(range(len(labels)), [plot_label(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.tick_params(axis="x", labelsize=9)


def _interval_plot(metric: str) -> Draw:
    def draw(axes: Axes, data: dict[str, Any]) -> None:
        rows = data["leaderboard"]
        for n, row in enumerate(rows):
            value, low, high = percent_interval(row, metric)
            color, fill = model_color(row), marker_fill(row)
            axes.plot([low, high], [n, n], color=color, linewidth=1.6, solid_capstyle="butt")
            axes.plot(value, n, "o", color=color, markerfacecolor=fill, markersize=5)
        _model_axis(axes, [row["label"] for row in rows])
        axes.set_xlabel(f"{metric_label(metric)}, %", fontsize=9)

    return draw


def _cost_bars(name: str, unit: float) -> Draw:
    def draw(axes: Axes, data: dict[str, Any]) -> None:
        rows = [row for row in data["leaderboard"] if _cost(row, name)]
        values = [(_cost(row, name) or 0) / unit for row in rows]
        axes.barh(range(len(rows)), values, 0.62, color=[model_color(row) for row in rows])
        for n, value in enumerate(values):
            axes.annotate(
                format_count(value),
                (value, n),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=NEUTRAL_COLOR,
            )
        _model_axis(axes, [row["label"] for row in rows])
        axes.set_xlim(0, 1.18 * max(values))
        axes.xaxis.set_major_formatter(lambda value, _: format_count(value))

    return draw


def _draw_by_length(axes: Axes, data: dict[str, Any]) -> None:
    rows = plotted_lengths(data["by_length"]["rows"])
    x = range(len(rows))
    _draw_prefix_counts(axes, [row["prefixes"] for row in rows])
    for entry, color in zip(data["leaderboard"], SERIES_COLORS, strict=False):
        label = entry["label"]
        y = [100 * row["hits"][label] / row["prefixes"] for row in rows]
        axes.plot(x, y, "o-", color=color, markersize=3, linewidth=1.3, label=plot_label(label))
    ticks = x[::-2] if len(rows) > _MAX_LENGTH_TICKS else x  # 20+, 18, 16, …
    axes.set_xticks(ticks, [rows[n]["length"] for n in ticks])
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", labelsize=9)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("clicks before the target (gray: number of prefixes)", fontsize=9)
    axes.set_ylabel(f"Recall@{data['k']}, %", fontsize=9)
    _add_legend(axes)


def _draw_prefix_counts(axes: Axes, counts: list[int]) -> None:
    """Bars behind the lines, a third of the panel high."""
    background = axes.twinx()
    background.bar(range(len(counts)), counts, 0.8, color=GRID_COLOR, zorder=0)
    background.set_ylim(0, 3 * max(counts))
    background.yaxis.set_visible(False)
    background.spines[:].set_visible(False)
    axes.set_zorder(background.get_zorder() + 1)
    axes.patch.set_visible(False)


def _cutoff_bars(metric: str) -> Draw:
    def draw(axes: Axes, data: dict[str, Any]) -> None:
        values = data["cutoffs"][metric]
        labels = [row["label"] for row in data["leaderboard"] if row["label"] in values]
        labels = labels[:_MAX_BARS]
        cutoffs = list(values[labels[0]])
        width = 0.8 / len(labels)
        for n, label in enumerate(labels):
            shift = (n - (len(labels) - 1) / 2) * width
            axes.bar(
                [position + shift for position in range(len(cutoffs))],
                [100 * values[label][k] for k in cutoffs],
                0.92 * width,
                color=SERIES_COLORS[n % len(SERIES_COLORS)],
                hatch="/////" if n >= len(SERIES_COLORS) else None,
                edgecolor="white",  # of the hatching
                linewidth=0,
                label=plot_label(label),
            )
        axes.set_xticks(range(len(cutoffs)), [f"@{k}" for k in cutoffs])
        axes.tick_params(labelsize=9)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("%", fontsize=9)
        _add_legend(axes)

    return draw


def _add_legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        fontsize=8,
        frameon=False,
        ncols=3,
        handlelength=1.2,
        columnspacing=1.2,
    )
