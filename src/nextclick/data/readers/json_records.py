"""Reads the objects of a JSON file as rows.

The fields are collected over the whole file, so a field of a few late rows is a column. Polars
parses blocks of values; every value becomes text, so the type of the first rows does not matter. A
block that Polars rejects is parsed value by value, and a value that cannot be read is a bad row.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick.data.readers.columns import has_common_name
from nextclick.data.readers.json_fields import (
    FieldNames,
    FieldPath,
    Row,
    Selection,
    kind_of,
    loads,
    read_fields,
    walk_rows,
)
from nextclick.data.readers.json_values import JsonBlock, read_json_blocks
from nextclick.data.readers.sources import BAD, LINE, ROW, LogSource
from nextclick.errors import SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import Int64Array
    from nextclick.data.readers.line_blocks import Opener

_VALUE = "__value"  # number of the JSON value in its block
_SAMPLE_VALUES = 200
_MAX_KEYS = 2_000  # objects whose keys are ids have more
_KEY = r'"([^"\\]+)\\?"\s*:'
_LONG = 16  # digits
_LONG_WHOLE = re.compile(rb"\d{16}\.0")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def json_source(opener: Opener, label: str, *, records: str | None = None) -> LogSource:
    """Open JSON lines, an array of objects, objects one after another, or one object with an array.

    Args:
        opener: opens the decompressed bytes from their start; called for each pass.
        label: name of the source in messages.
        records: path of the array whose elements are the rows, such as `events`. None: the objects
            are the rows; in a file of one object with one array of objects, the elements are.

    Raises:
        SourceError: the file has no object or no such array, or cannot be decoded.
    """
    names = _find_fields(opener, label, records)
    columns = names.columns()
    types: dict[str, pl.DataType] = dict.fromkeys(columns, pl.String())
    for path in names.arrays:
        if not names.values.get(path):  # else text, which an array is not
            types[".".join(path)] = pl.List(pl.String())

    def read(selected: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        paths = {name: columns.get(name) or tuple(name.split(".")) for name in selected}
        selection = Selection(paths, names)
        row = 0
        for block in read_json_blocks(opener, label):
            frame = _read_block(block, selection)
            yield frame.with_columns(pl.int_range(row, row + frame.height).alias(ROW))
            row += frame.height

    return LogSource(label, types, read)


def _find_fields(opener: Opener, label: str, records: str | None) -> FieldNames:
    """Return the fields of all objects.

    Raises:
        SourceError: the file has no object, or no array of this name.
    """
    objects = _collect(opener, label, FieldNames())
    if not objects.values and not objects.arrays:
        reason = _first_error(opener, label)
        raise SourceError(
            f"{label}: no JSON object with a field{reason}; expected one object per click"
        )
    if records is not None:
        arrays = {".".join(path): path for path in objects.arrays}
        if records not in arrays:
            known = nearest(records, arrays) if arrays else "the objects have no array"
            raise SourceError(f"{label}: there is no array {records!r} (--records): {known}")
        return _collect(opener, label, FieldNames(arrays[records]))
    if (path := _only_array(opener, label, objects)) is not None:
        return _collect(opener, label, FieldNames(path))
    return objects


def _first_error(opener: Opener, label: str) -> str:
    """Return why the first value of a file is not an object, in parentheses."""
    block = next(read_json_blocks(opener, label), None)
    values = [] if block is None else [v for v in block.data.split(b"\n") if v.strip()]
    try:
        value = loads(values[0]) if values else {}
    except ValueError as error:
        return f" ({error})"
    return "" if isinstance(value, dict) else f" (the first is {kind_of(value)})"


def _only_array(opener: Opener, label: str, objects: FieldNames) -> FieldPath | None:
    """Return the array of objects of a file that is one object around it, else None."""
    if len(objects.object_arrays) != 1 or has_common_name("item", list(objects.columns())):
        return None
    first = list(islice(read_json_blocks(opener, label), 2))
    if len(first) > 1 or sum(1 for line in first[0].data.split(b"\n") if line.strip()) > 1:
        return None
    return next(iter(objects.object_arrays))


def _collect(opener: Opener, label: str, names: FieldNames) -> FieldNames:
    """Add the fields of the first values, and of the first value with each other key."""
    keys: set[str] = set()
    for number, block in enumerate(read_json_blocks(opener, label)):
        if number == 0:
            for line in block.data.split(b"\n", _SAMPLE_VALUES)[:_SAMPLE_VALUES]:
                keys |= _add_fields(line, names)
        if len(keys) > _MAX_KEYS:
            break
        text = pl.Series([block.data.decode(errors="replace")])
        found = text.str.extract_all(_KEY).explode().unique()
        for key in sorted(set(found.str.extract(_KEY).drop_nulls().to_list()) - keys):
            if key not in keys:
                line = _line_with_key(block.data, key)
                keys |= _add_fields(line, names)
    return names


def _line_with_key(data: bytes, key: str) -> bytes:
    match = re.search(rb'"' + re.escape(key.encode()) + rb'\\?"\s*:', data)
    if match is None:
        return b""
    return data[data.rfind(b"\n", 0, match.start()) + 1 : data.find(b"\n", match.start())]


def _add_fields(line: bytes, names: FieldNames) -> set[str]:
    """Add the fields of one value; return its keys, none if it cannot be decoded."""
    if not line.strip():
        return set()
    try:
        value = loads(line)
    except ValueError:
        return set()
    if isinstance(value, dict):
        names.add(value)
    return set(re.findall(_KEY, line.decode()))


def _read_block(block: JsonBlock, selection: Selection) -> pl.DataFrame:
    """Return the rows of a block, with `LINE`, and `BAD` if a row is blank or cannot be read."""
    rows = None
    if not _SURROGATE.search(block.data):
        rows = _parse_block(block, selection)
    if rows is None:
        rows = _parse_values(block, selection)
    rows = _with_reasons(rows, selection)
    if rows[_VALUE].n_unique() < len(block.lines):
        rows = _with_missing_values(rows, block)
    lines = block.lines[rows[_VALUE].to_numpy()]
    return rows.with_columns(pl.Series(LINE, lines)).drop(_VALUE)


def _with_reasons(rows: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    """Add why a row without any of the fields is bad."""
    has_none = pl.all_horizontal(pl.exclude(_VALUE, BAD).is_null())
    if rows.filter(has_none).height == 0:
        return rows
    reason = pl.lit(f"the object has no field {', '.join(selection.columns)}")
    known = pl.col(BAD) if BAD in rows.columns else pl.lit(None)
    return rows.with_columns(pl.coalesce(known, pl.when(has_none).then(reason)).alias(BAD))


def _with_missing_values(rows: pl.DataFrame, block: JsonBlock) -> pl.DataFrame:
    """Add a row for each bad value, and a blank row for each blank line and each empty array."""
    values = pl.DataFrame({_VALUE: np.arange(len(block.lines))})
    rows = values.join(rows, on=_VALUE, how="left", maintain_order="left_right")
    reasons = pl.Series([block.bad.get(value) for value in rows[_VALUE]], dtype=pl.String)
    known = pl.col(BAD) if BAD in rows.columns else pl.lit(None)
    return rows.with_columns(pl.coalesce(known, reasons).alias(BAD))


def _parse_block(block: JsonBlock, selection: Selection) -> pl.DataFrame | None:
    """Parse all values of a block at once; return None if one of them needs `walk_rows`."""
    if selection.needs_walk():
        return None
    try:
        rows = read_fields(block.data, selection)
    except pl.exceptions.PolarsError:
        return None
    values = _value_numbers(block, rows.height)
    if rows.height != len(values):
        return None
    rows = rows.with_columns(pl.Series(_VALUE, values))
    if selection.records is not None:
        rows = _explode(rows, selection)
    if _may_have_a_key_twice(block.data, len(values), rows.height, selection):
        return None
    selected = rows.select(_VALUE, *selection.columns)
    if _may_be_rounded(selected, block.data):
        return None
    # an array or an object became text
    scalars = pl.exclude(_VALUE, *selection.arrays())
    is_nested = scalars.str.starts_with("{") | scalars.str.starts_with("[")
    return None if selected.filter(pl.any_horizontal(is_nested)).height else selected


def _value_numbers(block: JsonBlock, n_parsed: int) -> Int64Array:
    """Return the numbers of the values that are not blank."""
    if n_parsed == len(block.lines):
        return np.arange(n_parsed)
    lines = block.data.split(b"\n")[:-1]
    is_value = [line != b"" and not line.isspace() for line in lines]
    return np.flatnonzero(is_value)


def _may_have_a_key_twice(data: bytes, n_values: int, n_rows: int, selection: Selection) -> bool:
    """Return whether a key of one place occurs more often than once per object."""
    for path in selection.columns.values():
        depth = len(selection.records or ()) if selection.in_records(path) else 0
        for number, key in enumerate(path):
            n_objects = n_rows if depth and number >= depth else n_values
            n_keys = data.count(b'"%b"' % key.encode())
            if n_keys > n_objects and selection.names.n_places(key) == 1:
                return True
    return False


def _may_be_rounded(selected: pl.DataFrame, data: bytes) -> bool:
    """Return whether Polars may have read 1152921504606847077.0 as a float."""
    texts = [column for column in selected.iter_columns() if column.dtype == pl.String]
    has_long = any((column.str.len_bytes() >= _LONG).any() for column in texts)
    return has_long and _LONG_WHOLE.search(data) is not None


def _explode(rows: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    records = selection.records
    assert records is not None
    array = ".".join(records)
    elements = rows.filter(pl.col(array).list.len() > 0).explode(array)
    inside: dict[str, pl.Expr] = {}
    for name, path in selection.columns.items():
        if selection.in_records(path):
            inside[name] = pl.col(array)
            for key in path[len(records) :]:
                inside[name] = inside[name].struct.field(key)
    return elements.with_columns(**inside)


def _parse_values(block: JsonBlock, selection: Selection) -> pl.DataFrame:
    """Parse the values of a block one by one."""
    values: list[int] = []
    reasons: list[str | None] = []
    columns: dict[str, list[Any]] = {name: [] for name in selection.columns}
    for number, line in enumerate(block.data.split(b"\n")[:-1]):
        for row in _rows_of_value(line, selection):
            values.append(number)
            reasons.append(str(row) if isinstance(row, ValueError) else None)
            fields = {} if isinstance(row, ValueError) else row
            for name, column in columns.items():
                column.append(fields.get(name))
    data: dict[str, Any] = {_VALUE: values, **columns, BAD: reasons}
    schema: dict[str, pl.DataType] = {_VALUE: pl.Int64()}
    schema |= dict.fromkeys([*columns, BAD], pl.String())
    schema |= dict.fromkeys(selection.arrays(), pl.List(pl.String()))
    return pl.DataFrame(data, schema=schema)


def _rows_of_value(line: bytes, selection: Selection) -> Iterator[Row | ValueError]:
    if line.strip():
        try:
            value = loads(line)
        except ValueError as error:
            yield error
        else:
            yield from walk_rows(value, selection)
