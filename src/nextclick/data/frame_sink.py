"""Writes a stream of data frames to one file: completely or not at all, in bounded memory."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

from nextclick.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

ROW_GROUP = 500_000
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".ndjson", ".parquet")


def table_suffix(path: Path, suffixes: Sequence[str] = SUFFIXES) -> str:
    """The suffix of a file name, which names its format.

    Raises:
        ConfigError: it is none of `suffixes`.
    """
    for suffix in suffixes:
        if path.name.lower().endswith(suffix):
            return suffix
    raise ConfigError(f"{path}: unknown file format; use one of the suffixes {', '.join(suffixes)}")


def write_frames(
    frames: Iterator[pl.DataFrame], schema: Mapping[str, Any], path: Path, suffix: str
) -> None:
    """Write frames of one schema to a file, atomically; an existing file is replaced.

    Polars requests the next frame when it has buffer space.

    Args:
        frames: the rows, in order. What they raise is raised here.
        schema: the columns and their types.
        path: the file.
        suffix: its format, one of `SUFFIXES`.

    Raises:
        OutputError: the file cannot be written.
    """
    raised: list[BaseException] = []

    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del with_columns, predicate, n_rows, batch_size  # the sink writes everything
        try:
            yield from frames
        except BaseException as error:
            raised.append(error)  # Polars wraps it in an error of its own
            raise

    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sink(register_io_source(source, schema=dict(schema)), partial, suffix)
        partial.replace(path)
    except (OSError, pl.exceptions.PolarsError) as error:  # ComputeError: full disk (Parquet)
        if raised:
            raise raised[0] from None
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OutputError(f"cannot write {path}: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _sink(rows: pl.LazyFrame, target: Path, suffix: str) -> None:
    if suffix == ".parquet":
        rows.sink_parquet(target, row_group_size=ROW_GROUP, sync_on_close="all")
    elif suffix in (".jsonl", ".ndjson"):
        rows.sink_ndjson(target, sync_on_close="all")
    else:
        options: dict[str, Any] = {"separator": "\t" if suffix.startswith(".tsv") else ","}
        if suffix.endswith(".gz"):
            options |= {"compression": "gzip", "check_extension": False}
        rows.sink_csv(target, sync_on_close="all", **options)
