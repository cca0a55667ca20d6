"""A report as files.

FOLDER/
report.html         all of it, in one file
comparison.json     all numbers
*.csv               the tables
figures/            each as PNG and SVG
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextclick.core.storage import raising_output_errors, write_csv, write_json, write_text
from nextclick.report.csv_tables import tables
from nextclick.report.html import figure
from nextclick.report.html_page import page
from nextclick.report.svg import inlined

if TYPE_CHECKING:
    from pathlib import Path

REPORT, NUMBERS, FIGURES = "report.html", "comparison.json", "figures"


def write_report(folder: Path, numbers: dict[str, Any]) -> str | None:
    """Write all files; why there are no figures, or None if there are.

    Raises:
        OutputError: a file cannot be written.
    """
    not_drawn = _not_drawn()
    write_json(folder / NUMBERS, numbers)
    for name, rows in tables(numbers).items():
        write_csv(folder / f"{name}.csv", rows)
    drawn = {}
    if not_drawn is None and numbers["leaderboard"]:
        from nextclick.report.report_plots import draw_files, draw_inline, figures

        for name, (title, _, _) in figures(numbers).items():
            drawn[name] = figure(inlined(draw_inline(numbers, name), title), title)
            with raising_output_errors(folder / FIGURES):
                (folder / FIGURES).mkdir(exist_ok=True)
                draw_files(numbers, name, folder / FIGURES)
    write_text(folder / REPORT, page(numbers, drawn, not_drawn))
    return not_drawn


def _not_drawn() -> str | None:
    try:
        import_module("matplotlib")
    except ImportError:
        return (
            "The figures are left out: they are drawn with matplotlib, which is not installed. "
            "pip install 'nextclick[report]', and say the same again."
        )
    return None
