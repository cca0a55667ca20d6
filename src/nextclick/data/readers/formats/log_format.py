"""The layout of the files of a log format."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nextclick.data.readers.columns import Columns
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.log_file import LogFile
    from nextclick.data.readers.sources import LogSource
    from nextclick.data.readers.text_fields import Quote

TABLE_SUFFIXES = (
    *(".csv", ".tsv", ".txt", ".dat", ".inter"),
    *(".json", ".jsonl", ".ndjson"),
    *(".parquet", ".pq", ".arrow", ".feather", ".ipc", ".arrows", ".avro"),
    *(".sqlite", ".sqlite3", ".db", ".duckdb"),
)


@dataclass(frozen=True, slots=True)
class LogFormat:
    """The layout of the files of a dataset.

    Attributes:
        name: value of `--format`.
        summary: one line for help texts.
        suffixes: suffixes of the files to read from a folder.
        prefix: prefix of the names of these files.
        separator: field separator, None to detect it.
        names: column names of files without a header; `_` skips a column.
        quote: how quotes of text files are read.
        json_records: path of the array whose elements are the rows, in JSON files.
        columns: the column of each role.
        unit: unit of the times, None to detect it.
        events: event types that count as clicks, None for all.
        has_times: False if the log has only the order of its rows.
        open_file: opens a file that is not a plain table.
        transform: converts an opened table to one row per click with the columns of `columns`.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...] = TABLE_SUFFIXES
    prefix: str = ""
    separator: str | None = None
    names: tuple[str, ...] | None = None
    quote: Quote = "auto"
    json_records: str | None = None
    columns: Columns = field(default_factory=Columns)
    unit: str | None = None
    events: tuple[str, ...] | None = None
    has_times: bool = True
    open_file: Callable[[LogFile], LogSource] | None = None
    transform: Callable[[LogSource, ReadOptions], LogSource] | None = None

    def sources(self, paths: Iterable[str | Path], read: ReadOptions) -> list[LogSource]:
        """Open the files behind `paths`.

        Files whose names have the prefix are preferred; without one, all files are opened.
        """
        from nextclick.data.readers.log_files import find_files, skip_empty

        paths = list(paths)
        files = find_files(paths, self.suffixes)
        with_prefix = [file for file in files if file.name.startswith(self.prefix)]
        files, notes = skip_empty(with_prefix or files, named=paths)
        sources: list[LogSource] = []
        for file in files:
            try:
                sources.append(self._open(file, read))
            except SourceError as error:
                raise _with_names_of(sources, error) from error
        sources[0] = replace(sources[0], notes=(*notes, *sources[0].notes))
        return sources if self.transform is None else [self.transform(s, read) for s in sources]

    def _open(self, file: LogFile, read: ReadOptions) -> LogSource:
        from nextclick.data.readers.open_file import scan_file

        if self.open_file is not None:
            return self.open_file(file)
        return scan_file(
            file,
            separator=read.separator or self.separator,
            names=read.names or self.names,
            quote=self.quote if read.quote == "auto" else read.quote,
            records=read.records,
            json_records=self.json_records,
            table=read.table,
        )


def _with_names_of(sources: list[LogSource], error: SourceError) -> SourceError:
    """Return the error; a file without a header may have the columns of the first file."""
    from nextclick.data.readers.text_layout import MissingHeaderError

    if not (sources and isinstance(error, MissingHeaderError)):
        return error
    names = sources[0].columns
    if len(names) != error.n_fields or not all(map(str.isidentifier, names)):
        return error
    return SourceError(
        f"{str(error).partition('; name its')[0]}; if its columns are those of "
        f"{sources[0].label}, add --columns {','.join(names)}"
    )
