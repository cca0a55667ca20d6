"""Reads an item table: a file with one row per item, in any form that a log may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from nextclick.core.item_columns import KINDS
from nextclick.core.item_table import ItemTable
from nextclick.data.item_values import (
    detected_kind,
    typed_column,
    unreadable_numbers,
    without_missing_words,
)
from nextclick.data.options import ReadOptions
from nextclick.data.readers.click_rows import BadRows
from nextclick.data.readers.columns import item_id_column
from nextclick.data.readers.formats import get_log_format
from nextclick.data.readers.frames import as_sources
from nextclick.data.readers.log_tables import open_sources, source_notes
from nextclick.data.readers.raw_ids import clean_ids
from nextclick.data.readers.sources import BAD, LINE, ROW
from nextclick.errors import ConfigError, SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextclick.core.item_columns import ItemColumn
    from nextclick.data.options import ItemOptions
    from nextclick.data.readers.sources import LogSource

_SOURCE = "__source"  # number of the source of a row
_ID = "__id"
_SPACE = " "


@dataclass(frozen=True, slots=True)
class ItemRows:
    """The rows of an item table, before they are matched to the items of a log.

    Attributes:
        label: name of the table in messages.
        ids: (R,) distinct ids, Int64 or text.
        table: the features; row r + 1 is that of `ids[r]`.
        id_column: the column of the ids.
        repeated_rows: rows that are equal to an earlier one and were dropped.
        bad_rows: rows that were skipped.
        notes: what a reader of the report should know.
    """

    label: str
    ids: pl.Series
    table: ItemTable
    id_column: str
    repeated_rows: int
    bad_rows: BadRows
    notes: list[str] = field(default_factory=list)


def read_item_rows(options: ItemOptions, read: ReadOptions) -> ItemRows:
    """Read an item table.

    Args:
        options: where it is, its id column and the kinds of its columns.
        read: how missing values and bad rows of the log are treated, which holds here as well.

    Raises:
        SourceError: the table cannot be read, has no id column or no other column, or a row is bad.
        ConfigError: a kind of an unknown column, or an unknown kind.
    """
    of_table = ReadOptions(missing=read.missing, on_bad_row=read.on_bad_row)
    sources = open_sources(as_sources(options.source), get_log_format("table"), of_table)
    label = sources[0].label
    id_column = item_id_column(options.id_column, sources[0].columns, label)
    names = [name for name in sources[0].columns if name != id_column]
    kinds = _requested_kinds(options.kinds, names, label)
    notes = source_notes([sources])
    names, nested = _storable(sources[0], names)
    notes += [
        f"{label}: the column {name!r} holds lists or objects and was left out" for name in nested
    ]
    if not names:
        raise SourceError(
            f"{label}: the item table has no column besides the ids in {id_column!r}; add columns "
            "such as category or price, or omit --items"
        )
    bad_rows = BadRows(skip=read.on_bad_row == "skip")
    frames = [
        _readable(source, number, id_column, names, read, bad_rows)
        for number, source in enumerate(sources)
    ]
    rows = pl.concat(_with_same_types(frames))
    every = rows.height
    rows = rows.unique([_ID, *names], keep="first", maintain_order=True)
    n_repeated = every - rows.height
    rows = _without_conflicts(rows, sources, id_column, bad_rows)
    if rows.height == 0:
        raise SourceError(f"{label}: the item table has no row with an id; check --items-id-column")
    columns: list[ItemColumn] = []
    for name in names:
        values = without_missing_words(rows[name], read.missing)
        kind = kinds.get(name) or detected_kind(name, values)
        if kind == "number":
            bad = unreadable_numbers(values)
            if bad.any():
                _reject_number(rows.filter(bad), name, sources)
        columns.append(typed_column(name, kind, values))
    table = ItemTable(rows.height, columns)
    return ItemRows(label, rows[_ID], table, id_column, n_repeated, bad_rows, notes)


def _requested_kinds(texts: Sequence[str], names: Sequence[str], label: str) -> dict[str, str]:
    """The kinds of `--items-kind`, by column."""
    kinds = {}
    for text in texts:
        name, _, kind = text.rpartition("=")
        if kind not in KINDS or not name:
            raise ConfigError(
                f"--items-kind must be NAME={'|'.join(KINDS)}, got {text!r}; write for example "
                "size=category"
            )
        if name not in names:
            raise ConfigError(
                f"--items-kind {text}: {label} has no column {name!r}: {nearest(name, names)}"
            )
        kinds[name] = kind
    return kinds


def _storable(source: LogSource, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns with one value, or a list of values, per row; and all others."""
    types = source.types
    nested = [
        name
        for name in names
        if types[name] == pl.Object
        or (types[name].is_nested() and not _is_list_of_values(types[name]))
    ]
    return [name for name in names if name not in nested], nested


def _is_list_of_values(dtype: Any) -> bool:
    return isinstance(dtype, pl.List) and not dtype.inner.is_nested()


def _readable(
    source: LogSource,
    number: int,
    id_column: str,
    names: Sequence[str],
    read: ReadOptions,
    bad_rows: BadRows,
) -> pl.DataFrame:
    """The rows of a source with an id, in the columns `_ID` and `names`."""
    missing = [name for name in (id_column, *names) if name not in source.columns]
    if missing:
        raise SourceError(
            f"{source.label}: the item table has no column {missing[0]!r}, which its first file "
            "has; pass files with the same columns"
        )
    frames = []
    for chunk in source.frames([id_column, *names]):
        if BAD in chunk.columns:
            is_bad = pl.col(BAD).is_not_null()
            if chunk.filter(is_bad).height:
                bad_rows.record(source, chunk.filter(is_bad), None, pl.col(BAD))
            chunk = chunk.filter(~is_bad).drop(BAD)
        if LINE not in chunk.columns:
            chunk = chunk.with_columns(pl.lit(None, pl.Int64).alias(LINE))
        frames.append(chunk)
    rows = pl.concat(frames, how="vertical_relaxed")
    rows = rows.filter(~pl.all_horizontal(pl.col(id_column, *names).is_null()))  # blank rows
    rows = rows.with_columns(clean_ids(rows[id_column], read.missing).alias(_ID))
    without = pl.col(_ID).is_null()
    if rows.filter(without).height:
        bad_rows.record(source, rows.filter(without), id_column, pl.lit("expected an item id"))
    lists = [name for name in names if rows.schema[name].is_nested()]
    joined = [pl.col(name).cast(pl.List(pl.String)).list.join(_SPACE) for name in lists]
    return rows.filter(~without).with_columns(
        *joined, pl.lit(number, pl.Int64).alias(_SOURCE), pl.col(ROW).cast(pl.Int64),
        pl.col(LINE).cast(pl.Int64),
    )  # fmt: skip


def _with_same_types(frames: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """The frames with text in each column whose types differ between files."""
    first = frames[0].schema
    names = [n for n in first if any(frame.schema[n] != first[n] for frame in frames)]
    columns = list(first)
    return [frame.select(columns).with_columns(pl.col(names).cast(pl.String)) for frame in frames]


def _without_conflicts(
    rows: pl.DataFrame, sources: Sequence[LogSource], id_column: str, bad_rows: BadRows
) -> pl.DataFrame:
    """The first row of each id; other rows of an id are bad, because their values differ."""
    repeated = ~pl.col(_ID).is_first_distinct()
    others = rows.filter(repeated)
    for number, source in enumerate(sources):
        of_source = others.filter(pl.col(_SOURCE) == number)
        if of_source.height:
            reason = pl.lit("expected one row per item, but an earlier row has this id")
            bad_rows.record(source, of_source, id_column, reason)
    return rows.filter(~repeated)


def _reject_number(bad: pl.DataFrame, name: str, sources: Sequence[LogSource]) -> None:
    row: Mapping[str, Any] = bad.row(0, named=True)
    where = sources[row[_SOURCE]].location(row[ROW], row[LINE])
    raise SourceError(
        f"{where}, column {name!r}: expected a finite number, got {str(row[name])[:60]!r}; correct "
        f"it, leave it empty, or store labels with --items-kind {name}=category"
    )
