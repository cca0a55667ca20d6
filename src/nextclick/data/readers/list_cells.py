"""Reads tables whose cells hold lists: one row per element."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from nextclick.data.readers.sources import BAD, LINE, ROW, LogSource
from nextclick.errors import SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROW_ID = "row"  # column with an id of the row of a list
_ELEMENT = r"[^\s,;\[\](){}'\"]+"
_UNEQUAL = "the lists have different lengths"


def explode_cells(source: LogSource, lists: Sequence[str]) -> LogSource:
    """Return a source with one row per element of the lists, in their order.

    A list is a list column, or text such as `['a' 'b']`, `["a", "b"]` or `a b`. Several lists of a
    row are read in parallel. The column `row` identifies the row, as the session of its elements.

    Raises:
        SourceError: there is no such column.
    """
    for name in lists:
        if name not in source.types:
            known = nearest(name, source.columns)
            raise SourceError(f"{source.label}: there is no column {name!r} (--records): {known}")
    types = {
        name: _element_type(dtype) if name in lists else dtype
        for name, dtype in source.types.items()
    }

    def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        stored = [name for name in columns if name in source.types]
        for frame in source.read(tuple(dict.fromkeys((*stored, *lists)))):
            yield _explode(frame, lists, source.label).select(
                ROW,
                *(name for name in (LINE, BAD) if name in frame.columns or name == BAD),
                *columns,
            )

    return replace(source, types={**types, ROW_ID: pl.String()}, read=read)


def text_lists(source: LogSource, name: str) -> LogSource:
    """Return a source whose column of text such as `["a", "b"]` or `a b` is one of lists."""
    elements = pl.col(name).str.extract_all(_ELEMENT)
    return source.with_column(name, pl.List(pl.String()), [name], elements)


def _element_type(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.List | pl.Array):
        inner = dtype.inner
        return inner if isinstance(inner, pl.DataType) else inner()
    return pl.String()


def _explode(frame: pl.DataFrame, lists: Sequence[str], label: str) -> pl.DataFrame:
    columns = {name: _as_list(frame[name]) for name in lists}
    bad = pl.col(BAD) if BAD in frame.columns else pl.lit(None, pl.String)
    row_id = pl.lit(f"{label}:") + pl.col(ROW).cast(pl.String)
    frame = frame.with_columns(**columns).with_columns(bad.alias(BAD), row_id.alias(ROW_ID))
    first = pl.col(lists[0]).list.len()
    unequal = pl.any_horizontal(pl.col(name).list.len() != first for name in lists)
    is_bad = (unequal & pl.col(BAD).is_null()).fill_null(value=False)
    frame = frame.with_columns(
        pl.when(is_bad).then(pl.lit(_UNEQUAL)).otherwise(pl.col(BAD)).alias(BAD),
        *(pl.when(~is_bad).then(pl.col(name)).alias(name) for name in lists),
    )
    # a row without elements has no click; a row that cannot be read remains one row
    has_rows = (pl.col(lists[0]).list.len() > 0) | pl.col(BAD).is_not_null()
    return frame.filter(has_rows.fill_null(value=False)).explode(*lists, empty_as_null=True)


def _as_list(values: pl.Series) -> pl.Series:
    if values.dtype == pl.String:
        return values.str.extract_all(_ELEMENT)
    return values
