"""The files of a report.

FOLDER/
report.html         the whole report in one file
comparison.json     all data
*.csv               the tables
figures/            each figure as PNG and SVG
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextclick.core.storage import raising_output_errors, write_csv, write_json, write_text
from nextclick.report.html_page import InlinePlot, render_page

if TYPE_CHECKING:
    from pathlib import Path

REPORT, COMPARISON, FIGURES = "report.html", "comparison.json", "figures"
_TABLES = ("leaderboard", "differences", "by-length", "segments", "cutoffs")
OUTPUTS = (REPORT, COMPARISON, FIGURES, *(f"{name}.csv" for name in _TABLES))
_CSV_COSTS = (
    "training_seconds", "epochs", "iterations_per_second", "samples_per_second",
    "memory_bytes", "device_memory_bytes", "device", "threads", "size_bytes",
)  # fmt: skip


def write_report(folder: Path, data: dict[str, Any]) -> str | None:
    """Write all files.

    Returns:
        Why the figures are missing, or None if they were drawn.

    Raises:
        OutputError: a file cannot be written.
    """
    no_plots_reason = why_no_plots()
    write_json(folder / COMPARISON, data)
    for name, rows in csv_tables(data).items():
        write_csv(folder / f"{name}.csv", rows)
    plots = {}
    if no_plots_reason is None and data["leaderboard"]:
        plots = _write_plots(folder / FIGURES, data)
    write_text(folder / REPORT, render_page(data, plots, no_plots_reason))
    return no_plots_reason


def csv_tables(data: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Flatten the tables that have rows; each row carries the data fingerprint and protocol."""
    if not data["leaderboard"]:
        return {}
    tables = {
        "leaderboard": [_leaderboard_cells(row) for row in data["leaderboard"]],
        "differences": [dict(pair) for pair in data["pairs"]],
        "by-length": [
            {"clicks": row["length"], "prefixes": row["prefixes"], "label": label, "hits": hits}
            for row in data["by_length"]["rows"]
            for label, hits in row["hits"].items()
        ],
        "segments": _segment_cells(data["segments"]),
        "cutoffs": [
            {"metric": metric, "k": k, "label": label, "value": value}
            for metric, labels in data["cutoffs"].items()
            for label, values in labels.items()
            for k, value in values.items()
        ],
    }
    provenance = {
        "data_fingerprint": data["data_fingerprint"],
        **{f"protocol_{name}": value for name, value in data["protocol"].items()},
    }
    return {name: [row | provenance for row in rows] for name, rows in tables.items() if rows}


def _segment_cells(segments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "by": segmentation["name"],
            "segment": row["segment"],
            "label": label,
            "prefixes": row["prefixes"],
            "sessions": row["sessions"],
        }
        | _estimate_cells(metrics)
        for segmentation in segments
        for row in segmentation["rows"]
        for label, metrics in row["metrics"].items()
    ]


def _estimate_cells(metrics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    cells = {}
    for name, estimate in metrics.items():
        cells[name] = estimate["value"]
        cells |= {f"{name}_{end}": estimate[end] for end in ("low", "high")}
    return cells


def _leaderboard_cells(row: dict[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "rank": row["rank"],
        "label": row["label"],
        "model": row["model"],
        "config": json.dumps(row["config"]),
        "seeds": len(row["seeds"]),
        "leaky": row["leaky"],
        "prequential": row["prequential"],
    }
    cells |= _estimate_cells(row["metrics"])
    popularity, costs = row["popularity"] or {}, row["costs"] or {}
    response = costs.get("response_ms") or {}
    return cells | {
        "coverage": row["coverage"],
        "popularity_support": popularity.get("support"),
        "popularity_percentile": popularity.get("percentile"),
        **{name: costs.get(name) for name in _CSV_COSTS},
        "response_ms_median": response.get("median"),
        "response_ms_p99": response.get("p99"),
    }


def _write_plots(folder: Path, data: dict[str, Any]) -> dict[str, InlinePlot]:
    """Write every figure to the folder; return the figures for the page, by name."""
    from nextclick.report.report_plots import available_plots  # matplotlib takes a second

    plots = {}
    for plot in available_plots(data):
        plots[plot.name] = InlinePlot(plot.title, plot.render_svg(data))
        with raising_output_errors(folder):
            folder.mkdir(exist_ok=True)
            plot.save(data, folder)
    return plots


def why_no_plots() -> str | None:
    """Why a report has no figures, or None if they can be drawn."""
    try:
        import_module("matplotlib")
    except ImportError:
        return (
            "The report has no figures because matplotlib is not installed. Run pip install "
            "'nextclick[report]', then rerun the same command."
        )
    return None
