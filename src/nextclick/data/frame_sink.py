"""Writes a stream of data frames to one file: completely or not at all, in bounded memory."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.core.storage import sync_path
from nextclick.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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

    The frames are computed in the calling thread, so that an interrupt ends them at once.

    Args:
        frames: the rows, in order.
        schema: the columns and their types.
        path: the file.
        suffix: its format, one of `SUFFIXES`.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # a thread of Polars that outlives an interrupt writes into a folder that is gone
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            partial = Path(folder) / "whole"
            if suffix == ".parquet":
                _write_parquet(frames, schema, Path(folder), partial)
            else:
                _write_text(frames, schema, partial, suffix)
            sync_path(partial)
            partial.replace(path)
    except (OSError, pl.exceptions.ComputeError) as error:  # ComputeError: full disk (Parquet)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OutputError(f"cannot write {path}: {reason}") from error


def _write_parquet(
    frames: Iterator[pl.DataFrame], schema: Mapping[str, Any], folder: Path, target: Path
) -> None:
    """Write each frame to a file of its own, then join the files: Polars appends to none."""
    parts = []
    for number, frame in enumerate(frames):
        parts.append(folder / f"{number}.parquet")
        frame.write_parquet(parts[-1], compression="lz4")
    if not parts:
        pl.DataFrame(schema=dict(schema)).write_parquet(target)
        return
    pl.scan_parquet(parts).sink_parquet(target, row_group_size=ROW_GROUP)


def _write_text(
    frames: Iterator[pl.DataFrame], schema: Mapping[str, Any], target: Path, suffix: str
) -> None:
    separator = "\t" if suffix.startswith(".tsv") else ","
    with target.open("wb") as raw, _compressed(raw, suffix) as file:
        if suffix in (".jsonl", ".ndjson"):
            for frame in frames:
                frame.write_ndjson(file)
            return
        pl.DataFrame(schema=dict(schema)).write_csv(file, separator=separator)
        for frame in frames:
            frame.write_csv(file, separator=separator, include_header=False)


def _compressed(raw: Any, suffix: str) -> Any:
    """The file, or one whose bytes are compressed: the same bytes for the same rows."""
    if not suffix.endswith(".gz"):
        return raw
    return gzip.GzipFile(fileobj=raw, mode="wb", filename="", compresslevel=6, mtime=0)
