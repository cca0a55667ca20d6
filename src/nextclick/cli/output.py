"""Output of commands: results on standard output, notes and progress on standard error.

With --json, standard output holds one JSON object and nothing else, and the results as text are
printed on standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from nextclick.core.peak_memory import peak_memory_bytes
from nextclick.errors import NextclickWarning
from nextclick.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

_FILE_WIDTH = 10_000  # columns of a file or a pipe: a row of a table is one line

OUTPUT = "Output"  # panel of the options below

_as_json: ContextVar[bool] = ContextVar("as_json", default=False)


def choose_streams(as_json: bool) -> bool:
    """Set where results go: the callback of --json, which returns its value."""
    _as_json.set(as_json)
    return as_json


Json = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=choose_streams,
        help="Print one JSON object with all results on standard output.",
        rich_help_panel=OUTPUT,
    ),
]
IdsAsText = Annotated[
    bool,
    typer.Option(
        "--ids-as-text",
        help="Print ids as JSON strings; JavaScript rounds integers above 2^53.",
        rich_help_panel=OUTPUT,
    ),
]
StorePath = Annotated[
    str,
    typer.Argument(
        help="Folder of a store, from `prepare`, or its address (s3://, gs://, hdfs://, …)."
    ),
]
ArtifactPath = Annotated[
    str,
    typer.Argument(
        help="Artifact, from `train`, or a registry: a folder, or its address (s3://, gs://, az://)."
    ),
]
RegistryPath = Annotated[
    str, typer.Argument(help="Folder of versions, or its address (s3://, gs://, az://).")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing output.", rich_help_panel=OUTPUT)
]

_started = time.perf_counter()


@lru_cache
def console(*, results: bool = False) -> Console:
    """Return the console of the results or of the notes.

    Nothing is markup: ids such as [b] are printed as they are.
    """
    from rich.console import Console  # imported on first use: --help needs no rich

    class PlainConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # the entry point ends the program

    stream = sys.stdout if results else sys.stderr
    return PlainConsole(
        stderr=not results,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if stream.isatty() else _FILE_WIDTH,
    )


def is_first_process() -> bool:
    """Whether this process prints results and notes: all do but those that torchrun adds."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a note: what the program does, what it skipped, where it wrote."""
    if is_first_process():
        report(text)


def report(text: str) -> None:
    """Print a line on standard error, in any process."""
    console().print(text, soft_wrap=True)


def show(text: str) -> None:
    """Print a line of the results."""
    if is_first_process():
        _results().print(text, soft_wrap=True)


def _results() -> Console:
    return console(results=not _as_json.get())


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print each different warning of the package once, as a note."""
    printed: set[str] = set()

    def note(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, NextclickWarning):
            show_other(message, category, filename, lineno, file, line)
        elif str(message) not in printed:
            printed.add(str(message))
            say(f"note: {message}")

    with warnings.catch_warnings():
        show_other = warnings.showwarning
        warnings.showwarning = note
        warnings.simplefilter("always", NextclickWarning)
        yield


def print_json(schema: str, results: dict[str, Any]) -> None:
    """Print the one JSON object of a command (docs/json.md)."""
    if not is_first_process():
        return
    document = {
        "schema": f"nextclick.{schema}",
        "nextclick": __version__,
        **results,
        "seconds": round(time.perf_counter() - _started, 3),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    # ASCII: a pipe may have any encoding
    sys.stdout.write(json.dumps(document, allow_nan=False, default=str) + "\n")
    sys.stdout.flush()  # a closed pipe raises here, not at the exit of Python


def format_score(value: float, digits: int = 4) -> str:
    """Format a score without an exponent, however large it is, and zero without a sign.

    >>> [format_score(n) for n in (0.05, 12.3456, -1271.4, 43_210.9, -0.0)]
    ['0.05', '12.35', '-1,271', '43,211', '0']
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:z.{digits}g}"


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, n_text: int = 1
) -> None:
    """Print a table of results; the first `n_text` columns are text, the others are numbers."""
    if not is_first_process():
        return
    from rich import box
    from rich.table import Table

    output = _results()
    if title:
        output.print(title, style="bold", soft_wrap=True)
    grid = Table(box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        grid.add_column(column, justify="left" if number < n_text else "right")
    for row in rows:
        grid.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    output.print(grid)
