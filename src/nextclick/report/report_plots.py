"""The figures of a report, drawn with matplotlib out of its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.analysis.plots.canvas import CATEGORIES, ITEMS, NEUTRAL, Page, log_counts, short
from nextclick.models.model_registry import known_capabilities
from nextclick.report.accuracy_by_length import drawn
from nextclick.report.labels import name_points
from nextclick.report.summary import metric_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes

    Draw = Callable[[Axes, dict[str, Any]], None]

_PANEL = (4.4, 3.3)  # inches; letters can be read on a phone
_ROW_INCHES = 0.23  # of a line in a figure that has one for each model
_COLORS = (ITEMS, CATEGORIES, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MOST_LINES = len(_COLORS)  # a figure of lines shows the best ones alone
_MOST_BARS = 2 * _MOST_LINES  # the second half is hatched
_LONGEST = 24  # letters of a label
_MOST_LENGTHS = 12  # with a name on the axis
_MIB = 1 << 20


def figures(numbers: dict[str, Any]) -> dict[str, tuple[str, Draw, int]]:
    """Name of each figure that can be drawn to its title, how, and how many lines it has."""
    rows = numbers["leaderboard"]
    metric = metric_name(numbers["metric"])
    n = len(rows)
    found: dict[str, tuple[str, Draw, int]] = {
        "leaderboard": (f"{metric} with 95 % intervals", _leaderboard(numbers["metric"]), n)
    }
    name, _, k = numbers["metric"].partition("@")
    for other in ("recall", "mrr"):
        beside = f"{other}@{k}"
        if other != name and all(beside in row["metrics"] for row in rows):
            title = f"{metric_name(beside)} with 95 % intervals"
            found[f"leaderboard-{other}"] = (title, _leaderboard(beside), n)
    if any(row["costs"] for row in rows):
        found |= {
            "training-time": (f"{metric} and training time", _against(_training), 0),
            "latency": (f"{metric} and the time of an answer", _latency, 0),
            "size": (f"{metric} and size on disk", _against(_size), 0),
        }
    found["by-length"] = (f"Recall@{numbers['k']} by clicks before the target", _by_length, 0)
    if numbers["cutoffs"]["recall"]:
        found |= {
            "recall-at-k": ("Recall at K", _cutoffs("recall"), 0),
            "mrr-at-k": ("MRR at K", _cutoffs("mrr"), 0),
        }
    for name, title, cost, unit in (
        ("iterations", "Training: iterations a second", "iterations_per_second", 1),
        ("samples", "Training: samples a second", "samples_per_second", 1),
        ("memory", "Most memory in training, MiB", "memory_bytes", _MIB),
    ):
        known = sum(_cost(row, cost) is not None for row in rows)
        if known:
            found[name] = (title, _bars(cost, unit), known)
    if any(row["popularity"] for row in rows):
        found["coverage"] = ("Coverage and popularity of what is recommended", _coverage, 0)
    return found


def draw_inline(numbers: dict[str, Any], name: str) -> str:
    """A figure alone, as SVG for the page."""
    _, draw, lines = figures(numbers)[name]
    page = Page("", "", 1, 1, _panel(lines))
    draw(page.panel(""), numbers)
    return page.svg(name)


def draw_files(numbers: dict[str, Any], name: str, folder: Path) -> None:
    """The same with a title, and what it was measured on, as NAME.png and NAME.svg."""
    title, draw, lines = figures(numbers)[name]
    about = f"{numbers['name']}, part {numbers['protocol']['part']}\n"
    page = Page(title, f"{about}data {numbers['data_fingerprint']}", 1, 1, _panel(lines))
    draw(page.panel(""), numbers)
    for kind in ("png", "svg"):
        page.save(folder / f"{name}.{kind}")


def _panel(lines: int) -> tuple[float, float]:
    width, height = _PANEL
    return (width, max(0.7 + _ROW_INCHES * lines, 1.3)) if lines else (width, height)


def _color(row: dict[str, Any]) -> str:
    capabilities = known_capabilities(row["model"])
    return ITEMS if capabilities is None or capabilities.neural else CATEGORIES


def _cost(row: dict[str, Any], name: str) -> float | None:
    value: float | None = None if row["costs"] is None else row["costs"][name]
    return value


def _value(row: dict[str, Any], metric: str) -> tuple[float, float, float]:
    """Of the metric, with the ends of its interval, in percent."""
    told = row["metrics"][metric]
    value = told["value"]
    low, high = (value if told[end] is None else told[end] for end in ("low", "high"))
    return 100 * value, 100 * low, 100 * high


def _one_line_each(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), [_plain(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.tick_params(axis="x", labelsize=9)


def _leaderboard(metric: str) -> Draw:
    def draw(axes: Axes, numbers: dict[str, Any]) -> None:
        rows = numbers["leaderboard"]
        for n, row in enumerate(rows):
            value, low, high = _value(row, metric)
            filled = _color(row) if row["leaky"] is None else "none"
            axes.plot([low, high], [n, n], color=_color(row), linewidth=1.6, solid_capstyle="butt")
            axes.plot(value, n, "o", color=_color(row), markerfacecolor=filled, markersize=5)
        _one_line_each(axes, [row["label"] for row in rows])
        axes.set_xlabel(f"{metric_name(metric)}, %", fontsize=9)

    return draw


def _bars(name: str, unit: float) -> Draw:
    def draw(axes: Axes, numbers: dict[str, Any]) -> None:
        rows = [row for row in numbers["leaderboard"] if _cost(row, name)]
        values = [(_cost(row, name) or 0) / unit for row in rows]
        axes.barh(range(len(rows)), values, 0.62, color=[_color(row) for row in rows])
        for n, value in enumerate(values):
            axes.annotate(
                short(value),
                (value, n),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=NEUTRAL,
            )
        _one_line_each(axes, [row["label"] for row in rows])
        axes.set_xlim(0, 1.18 * max(values))
        axes.xaxis.set_major_formatter(lambda value, _: short(value))

    return draw


def _scatter(
    axes: Axes,
    numbers: dict[str, Any],
    at: Callable[[dict[str, Any]], float],
    to: Callable[[dict[str, Any]], float] | None = None,
) -> None:
    """Cost `at` on a logarithmic axis against accuracy, with a line `to` another cost."""
    rows = [row for row in numbers["leaderboard"] if row["costs"] and at(row)]
    points = [(at(row), _value(row, numbers["metric"])[0]) for row in rows]
    ends = [x for x, _ in points] if to is None else [to(row) for row in rows]
    for row, (x, y), end in zip(rows, points, ends, strict=True):
        filled = _color(row) if row["leaky"] is None else "none"
        axes.plot([x, end], [y, y], color=_color(row), linewidth=1, alpha=0.6)
        axes.plot(x, y, "o", color=_color(row), markerfacecolor=filled, markersize=6)
    axes.set_xscale("log")
    low, high = min(x for x, _ in points), max(ends)
    spread = max(high / low, 10)
    axes.set_xlim(low / spread**0.12, high * spread ** (0.22 if to is None else 0.06))
    axes.margins(y=0.12)
    log_counts(axes, "x")
    axes.tick_params(labelsize=9)
    axes.set_ylabel(f"{metric_name(numbers['metric'])}, %", fontsize=9)
    lines = [(x, y, end) for (x, y), end in zip(points, ends, strict=True)]
    name_points(axes, lines, [_plain(row["label"]) for row in rows])


def _training(row: dict[str, Any]) -> float:
    return float(row["costs"]["training_seconds"])


def _size(row: dict[str, Any]) -> float:
    return float(row["costs"]["size_bytes"]) / _MIB


def _against(cost: Callable[[dict[str, Any]], float]) -> Draw:
    def draw(axes: Axes, numbers: dict[str, Any]) -> None:
        axes.set_xlabel("training, s" if cost is _training else "MiB on disk", fontsize=9)
        _scatter(axes, numbers, cost)

    return draw


def _latency(axes: Axes, numbers: dict[str, Any]) -> None:
    axes.set_xlabel("one answer, ms: median, and a line to the 99th percentile", fontsize=9)
    _scatter(
        axes,
        numbers,
        lambda row: float(row["costs"]["answer_ms"]["median"]),
        lambda row: float(row["costs"]["answer_ms"]["p99"]),
    )


def _by_length(axes: Axes, numbers: dict[str, Any]) -> None:
    rows = drawn(numbers["by_length"]["rows"])
    x = range(len(rows))
    counts = axes.twinx()
    counts.bar(x, [row["prefixes"] for row in rows], 0.8, color="#E3E3E3", zorder=0)
    counts.set_ylim(0, 3 * max(row["prefixes"] for row in rows))
    counts.yaxis.set_visible(False)
    counts.spines[:].set_visible(False)
    axes.set_zorder(counts.get_zorder() + 1)
    axes.patch.set_visible(False)
    for row, color in zip(numbers["leaderboard"], _COLORS, strict=False):
        label = row["label"]
        y = [100 * at["hits"][label] / at["prefixes"] for at in rows]
        axes.plot(x, y, "o-", color=color, markersize=3, linewidth=1.3, label=_plain(label))
    named = x[::-2] if len(rows) > _MOST_LENGTHS else x  # 20+, 18, 16, …
    axes.set_xticks(named, [rows[n]["length"] for n in named])
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", labelsize=9)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("clicks before the target (gray: how many such prefixes)", fontsize=9)
    axes.set_ylabel(f"Recall@{numbers['k']}, %", fontsize=9)
    _legend(axes)


def _cutoffs(metric: str) -> Draw:
    def draw(axes: Axes, numbers: dict[str, Any]) -> None:
        told = numbers["cutoffs"][metric]
        labels = [row["label"] for row in numbers["leaderboard"] if row["label"] in told]
        shown = labels[:_MOST_BARS]
        width = 0.8 / len(shown)
        ks = list(next(iter(told.values())))
        for n, label in enumerate(shown):
            axes.bar(
                [x + (n - (len(shown) - 1) / 2) * width for x in range(len(ks))],
                [100 * told[label][k] for k in ks],
                0.92 * width,
                color=_COLORS[n % _MOST_LINES],
                hatch="/////" if n >= _MOST_LINES else None,
                edgecolor="white",  # of the hatching
                linewidth=0,
                label=_plain(label),
            )
        axes.set_xticks(range(len(ks)), [f"@{k}" for k in ks])
        axes.tick_params(labelsize=9)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("%", fontsize=9)
        _legend(axes)

    return draw


def _coverage(axes: Axes, numbers: dict[str, Any]) -> None:
    rows = [row for row in numbers["leaderboard"] if row["popularity"]]
    points = [(100 * row["coverage"], row["popularity"]["percentile"]) for row in rows]
    for row, (x, y) in zip(rows, points, strict=True):
        axes.plot(x, y, "o", color=_color(row), markersize=6)
    axes.set_xlim(-10, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.margins(y=0.15)
    axes.tick_params(labelsize=9)
    axes.set_xlabel(f"coverage@{numbers['k']}: items in at least one list, %", fontsize=9)
    axes.set_ylabel("popularity: place in the catalog", fontsize=9)
    name_points(axes, [(x, y, x) for x, y in points], [_plain(row["label"]) for row in rows])


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        fontsize=8,
        frameon=False,
        ncols=3,
        handlelength=1.2,
        columnspacing=1.2,
    )


def _plain(label: str) -> str:
    """A label as a figure has room for it, without what means something to matplotlib.

    >>> _plain("asars@variant=time_user+epochs=5")
    'asars@varian…r+epochs=5'
    """
    if len(label) > _LONGEST:
        label = f"{label[:12]}…{label[-10:]}"  # variants may differ at their ends alone
    # a $ would begin a formula, and a _ in front keep a line out of the legend
    return label.replace("$", r"\$") if label[0] != "_" else f" {label}"
