"""What commands show to people (standard error) and to programs (standard output, JSON)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from nextclick.core.peak_memory import peak_memory_bytes
from nextclick.version import __version__

if TYPE_CHECKING:
    from nextclick.core.types import Progress as Told

_FILE_WIDTH = 120  # where there is no terminal to measure
console = Console(
    stderr=True,
    highlight=False,
    markup=False,  # an id such as [b] or :bug: is shown as it is
    emoji=False,
    width=None if sys.stderr.isatty() else _FILE_WIDTH,
)

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object with all figures on standard output.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]

_started = time.perf_counter()


def say(text: str) -> None:
    """Print a line for people; ids and paths in it are shown as they are."""
    console.print(text, soft_wrap=True)


def print_json(schema: str, figures: dict[str, Any]) -> None:
    """Print the one JSON object of a command (docs/json.md)."""
    told = {
        "schema": f"nextclick.{schema}",
        "nextclick": __version__,
        **figures,
        "seconds": round(time.perf_counter() - _started, 3),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    # ASCII: a pipe may have any encoding
    sys.stdout.write(json.dumps(told, allow_nan=False, default=str) + "\n")


def shown(value: float, digits: int = 4) -> str:
    """Write a score so that people can compare it: never with an exponent for being large.

    >>> [shown(n) for n in (0.05, 12.3456, -1271.4, 43_210.9)]
    ['0.05', '12.35', '-1,271', '43,211']
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; the first column is text, the others are figures."""
    if title:
        console.print(title, style="bold", markup=False, soft_wrap=True)
    grid = Table(box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        grid.add_column(column, justify="right" if number else "left")
    for row in rows:
        grid.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    console.print(grid)


@contextmanager
def progress_bar() -> Iterator[Told]:
    """Yield a `nextclick.core.types.Progress` that draws a bar with the time left for each stage."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def told(stage: str, done: int, total: int | None) -> None:
        name, _, _ = stage.partition(" · ")  # figures follow
        if name not in tasks:
            for task in tasks.values():
                bar.stop_task(task)
            tasks[name] = bar.add_task(stage, total=total)
        bar.update(tasks[name], description=stage, completed=done, total=total)

    with bar:
        yield told
