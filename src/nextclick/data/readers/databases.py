"""Opens tables of SQLite and DuckDB databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import polars as pl

from nextclick.core.extra_packages import import_extra
from nextclick.data.readers.columns import Columns, resolve_columns
from nextclick.data.readers.sources import ROW, LogSource, lazy_source
from nextclick.data.readers.typed_tables import SAMPLE_ROWS, plain_columns
from nextclick.errors import SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_FETCH_ROWS = 100_000


def sqlite_source(path: Path, label: str, table: str | None) -> LogSource:
    """Open a table of an SQLite database; every column is text.

    The values of a column of SQLite may have several types. Binary values become hexadecimal.

    Raises:
        SourceError: the database cannot be read, or the table cannot be chosen.
    """
    try:
        with closing(_connect(path)) as connection:
            tables = _sqlite_tables(connection)
    except sqlite3.Error as error:
        raise _sqlite_error(label, error) from error
    name = choose_table(tables, table, label)

    def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        try:
            with closing(_connect(path)) as connection:
                yield from _sqlite_rows(connection, name, columns)
        except sqlite3.Error as error:
            raise _sqlite_error(label, error) from error

    return LogSource(f"{label}, table {name}", dict.fromkeys(tables[name], pl.String()), read)


def duckdb_source(path: Path, label: str, table: str | None) -> LogSource:
    """Open a table of a DuckDB database.

    Raises:
        SourceError: the database cannot be read, the table cannot be chosen, or the package duckdb
            is not installed.
    """
    duckdb = import_extra("duckdb", "duckdb", label)
    try:
        connection = duckdb.connect(str(path), read_only=True)
        names = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL"
        ).fetchall()
        relations = {
            name if schema == "main" else f"{schema}.{name}": connection.table(
                f"{_quoted(schema)}.{_quoted(name)}"
            )
            for schema, name in names
        }
        columns = {name: tuple(relation.columns) for name, relation in relations.items()}
        chosen = choose_table(columns, table, label)
        return relation_source(relations[chosen], f"{label}, table {chosen}")
    except duckdb.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise SourceError(
            f"{label}: the DuckDB database cannot be read: {reason}; close the program that writes "
            "it, or export the table as Parquet"
        ) from error


def relation_source(relation: Any, label: str) -> LogSource:
    """Open a relation of DuckDB; it is computed again for each pass."""
    sample = pl.DataFrame(relation.limit(SAMPLE_ROWS))
    expressions = plain_columns(sample.schema, sample.lazy())

    def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        selected = {name: expressions[name] for name in columns}
        stored = dict.fromkeys(n for e in selected.values() for n in e.meta.root_names())
        inputs = relation.project(", ".join(map(_quoted, stored)) or "NULL AS __none")
        rows = pl.scan_arrow_c_stream(inputs).with_row_index(ROW)
        yield from lazy_source(rows.select(ROW, **selected), label).read(columns)

    types = sample.select(**expressions).schema
    return LogSource(label, dict(types), read)


def choose_table(tables: Mapping[str, Sequence[str]], requested: str | None, label: str) -> str:
    """Return the requested table, the only table, or the only one with the columns of a log.

    Raises:
        SourceError: there is no such table, or several tables may be the log.
    """
    if not tables:
        raise SourceError(f"{label}: the database has no table; check the file")
    if requested is not None:
        if requested in tables:
            return requested
        raise SourceError(
            f"{label}: there is no table {requested!r}: {nearest(requested, tables)}; name one "
            "with --table"
        )
    logs = list(tables) if len(tables) == 1 else [n for n, c in tables.items() if _is_log(c)]
    if len(logs) == 1:
        return logs[0]
    raise SourceError(
        f"{label}: the database has the tables {', '.join(tables)}; name the one of the clicks "
        "with --table"
    )


def _is_log(columns: Sequence[str]) -> bool:
    try:
        resolve_columns(Columns(), columns, "", sessions_by="auto")
    except SourceError:
        return False
    return True


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)


def _sqlite_tables(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') "
        "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    ).fetchall()
    return {
        name: tuple(row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(name)})"))
        for (name,) in names
    }


def _sqlite_rows(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...]
) -> Iterator[pl.DataFrame]:
    values = ", ".join(map(_as_text, columns)) or "NULL"
    cursor = connection.execute(f"SELECT {values} FROM {_quoted(table)}")  # noqa: S608
    schema = dict.fromkeys(columns or ("__none",), pl.String)
    row = 0
    while rows := cursor.fetchmany(_FETCH_ROWS):
        frame = pl.DataFrame(rows, schema=schema, orient="row").select(*columns)
        yield frame.select(pl.int_range(row, row + len(rows)).alias(ROW), *columns)
        row += len(rows)


def _as_text(column: str) -> str:
    """Return the SQL of a column as text; a number with a fraction keeps all of its digits."""
    name = _quoted(column)
    return (
        f"CASE typeof({name}) WHEN 'real' THEN printf('%!.17g', {name}) "
        f"WHEN 'blob' THEN lower(hex({name})) ELSE CAST({name} AS TEXT) END"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _sqlite_error(label: str, error: sqlite3.Error) -> SourceError:
    return SourceError(
        f"{label}: the SQLite database cannot be read: {error}; check the file, or export the "
        "table as CSV"
    )
