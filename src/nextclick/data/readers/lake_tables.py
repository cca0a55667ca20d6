"""Opens Delta and Iceberg tables: folders of Parquet files with a log of their changes."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import polars as pl

from nextclick.core.extra_packages import import_extra
from nextclick.core.object_storage import store_options
from nextclick.data.readers.read_errors import reason_of
from nextclick.data.readers.typed_tables import typed_source
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextclick.data.readers.log_file import LogFile
    from nextclick.data.readers.sources import LogSource

_METADATA = re.compile(r"v?(\d+).*\.metadata\.json")


def table_layout(folder: Path) -> Literal["delta", "iceberg"] | None:
    """Return the kind of table that a folder holds, None if it is a plain folder."""
    if (folder / "_delta_log").is_dir():
        return "delta"
    return "iceberg" if _metadata_files(folder) else None


def lake_source(file: LogFile) -> LogSource:
    """Open the current version of a Delta or Iceberg table; rows that were deleted are not read.

    Raises:
        SourceError: the table cannot be read, or the package for it is not installed.
    """
    package = "deltalake" if file.layout == "delta" else "pyiceberg"
    import_extra(package, "lake", file.label)
    try:
        source = typed_source(_scan(file), file.label, remedy=_REMEDY)
    except Exception as error:  # the packages raise errors of many kinds
        raise SourceError(
            f"{file}: the {file.layout.capitalize()} table cannot be read: {reason_of(error)}; "
            f"{_REMEDY}"
        ) from error

    def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        with warnings.catch_warnings():
            # Polars plans the scan of an Iceberg table faster with one more package
            warnings.simplefilter("ignore", pl.exceptions.PerformanceWarning)
            yield from source.read(columns)

    return replace(source, read=read)


_REMEDY = "check its log of changes, or export the table as Parquet"


def _scan(file: LogFile) -> pl.LazyFrame:
    if file.layout == "delta":
        options = store_options(file.url) if file.url else None
        return pl.scan_delta(file.url or str(file.path), storage_options=options)
    assert file.path is not None
    return pl.scan_iceberg(str(_metadata_files(file.path)[-1]))


def _metadata_files(folder: Path) -> list[Path]:
    """Return the metadata of the versions of an Iceberg table, the newest last."""
    if not (folder / "metadata").is_dir():
        return []
    matches = {path: _METADATA.fullmatch(path.name) for path in (folder / "metadata").iterdir()}
    numbers = {path: int(match[1]) for path, match in matches.items() if match is not None}
    return sorted(numbers, key=lambda path: (numbers[path], path.stat().st_mtime))
