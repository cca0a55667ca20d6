"""Opens tables with typed columns, such as Parquet, as columns of plain values.

- A field of a struct is a column, named by its path: `event.item.id`.
- A field of the structs of a list is a column of lists: `items.item_id`. The list is a column, too.
- Binary values become text: UTF-8 if they are valid UTF-8; the canonical form of UUIDs if they have
  16 bytes; else hexadecimal digits. The first values of a column decide.
- Categories become text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from nextclick.data.readers.read_errors import read_errors
from nextclick.data.readers.sources import lazy_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nextclick.data.readers.sources import LogSource

SAMPLE_ROWS = 100  # rows that decide what the values of a binary column are

_UUID_BYTES = 16
_UUID_GROUPS = ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))  # offset and number of digits


def typed_source(table: pl.LazyFrame, label: str, *, remedy: str = "check the file") -> LogSource:
    """Return the source of a table with typed columns.

    Raises:
        SourceError: the table cannot be read.
    """
    with read_errors(label, remedy):
        types = table.collect_schema()
        has_binary = any(dtype == pl.Binary or dtype.is_nested() for dtype in types.values())
        sample = table.head(SAMPLE_ROWS if has_binary else 0)
        return lazy_source(table.select(**plain_columns(types, sample)), label, remedy=remedy)


def plain_columns(types: Mapping[str, pl.DataType], sample: pl.LazyFrame) -> dict[str, pl.Expr]:
    """Return the expression of each plain column of a table.

    Args:
        types: type of each column of the table.
        sample: the first rows of the table.
    """
    leaves = {name: (dtype, value) for name, dtype, value in _leaves(types)}
    binary = {name: value for name, (dtype, value) in leaves.items() if dtype == pl.Binary}
    values = sample.select(**binary).collect() if binary else pl.DataFrame()
    plain = {}
    for name, (dtype, value) in leaves.items():
        if dtype == pl.Binary:
            plain[name] = _binary_as_text(value, values[name])
        elif isinstance(dtype, pl.Categorical | pl.Enum):
            plain[name] = value.cast(pl.String)
        else:
            plain[name] = value
    return plain


def _leaves(types: Mapping[str, pl.DataType]) -> Iterator[tuple[str, pl.DataType, pl.Expr]]:
    """Yield the columns, and the fields of structs in place of the structs."""
    for name, dtype in types.items():
        yield from _fields(name, dtype, pl.col(name))


def _fields(
    name: str, dtype: pl.DataType, value: pl.Expr
) -> Iterator[tuple[str, pl.DataType, pl.Expr]]:
    if isinstance(dtype, pl.Struct):
        for field, inner in pl.Schema(dtype.to_schema()).items():
            yield from _fields(f"{name}.{field}", inner, value.struct.field(field))
        return
    yield name, dtype, value
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct):
        for path, inner, field_value in _fields(name, dtype.inner, pl.element()):
            yield path, pl.List(inner), value.list.eval(field_value)


def _binary_as_text(value: pl.Expr, sample: pl.Series) -> pl.Expr:
    digits = value.bin.encode("hex")
    if _is_text(sample):
        return value.map_batches(_decoded, return_dtype=pl.String)
    groups = [digits.str.slice(offset, length) for offset, length in _UUID_GROUPS]
    uuid = pl.concat_str(groups, separator="-")
    return pl.when(value.bin.size() == _UUID_BYTES).then(uuid).otherwise(digits)


def _is_text(sample: pl.Series) -> bool:
    """Return whether all values are UTF-8 text without control characters."""
    try:
        text = sample.cast(pl.String)
    except pl.exceptions.ComputeError:
        return False
    return not text.str.contains(r"[\x00-\x08]").any()


def _decoded(values: pl.Series) -> pl.Series:
    """Return binary values as text; a value that is not UTF-8 becomes hexadecimal digits."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:
        decoded = [None if value is None else _text_or_digits(value) for value in values]
        return pl.Series(values.name, decoded, dtype=pl.String)


def _text_or_digits(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()
