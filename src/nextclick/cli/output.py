"""Output of commands: text on standard error, one JSON object on standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextclick.core.peak_memory import peak_memory_bytes
from nextclick.version import __version__

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from nextclick.core.types import Progress

_FILE_WIDTH = 120  # columns, where no terminal can be measured

OUTPUT = "Output"  # panel of the options below

Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON object with all results on standard output.",
        rich_help_panel=OUTPUT,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing output.", rich_help_panel=OUTPUT)
]

_started = time.perf_counter()


@lru_cache
def console() -> Console:
    """Return the console on standard error, without markup: ids such as [b] are printed as is."""
    from rich.console import Console  # imported on first use: --help needs no rich

    return Console(
        stderr=True,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if sys.stderr.isatty() else _FILE_WIDTH,
    )


def say(text: str) -> None:
    """Print a line for people."""
    console().print(text, soft_wrap=True)


def print_json(schema: str, results: dict[str, Any]) -> None:
    """Print the one JSON object of a command (docs/json.md)."""
    document = {
        "schema": f"nextclick.{schema}",
        "nextclick": __version__,
        **results,
        "seconds": round(time.perf_counter() - _started, 3),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    # ASCII: a pipe may have any encoding
    sys.stdout.write(json.dumps(document, allow_nan=False, default=str) + "\n")


def format_score(value: float, digits: int = 4) -> str:
    """Format a score without an exponent, however large it is.

    >>> [format_score(n) for n in (0.05, 12.3456, -1271.4, 43_210.9)]
    ['0.05', '12.35', '-1,271', '43,211']
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    from rich import box
    from rich.table import Table

    if title:
        console().print(title, style="bold", markup=False, soft_wrap=True)
    grid = Table(box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        grid.add_column(column, justify="right" if number else "left")
    for row in rows:
        grid.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    console().print(grid)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yield a progress callback that draws a bar with the remaining time of each stage."""
    from rich import progress as bars

    bar = bars.Progress(
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TextColumn("{task.completed:,.0f}"),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
        console=console(),
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int | None) -> None:
        name, _, _ = stage.partition(" · ")  # what follows changes within a stage
        if name not in tasks:
            for task in tasks.values():
                bar.stop_task(task)
            tasks[name] = bar.add_task(stage, total=total)
        bar.update(tasks[name], description=stage, completed=done, total=total)

    with bar:
        yield report
