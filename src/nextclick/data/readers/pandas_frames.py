"""Converts pandas frames without pyarrow."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from nextclick.data.readers.columns import check_unique


def from_pandas(frame: Any, label: str) -> pl.DataFrame:
    """Convert a pandas frame or series; the levels of the index that have a name are columns.

    Raises:
        SourceError: two columns have the same name.
    """
    if frame.ndim == 1:
        frame = frame.to_frame()
    levels = [frame.index.get_level_values(n) for n in range(frame.index.nlevels)]
    stored = [frame.iloc[:, number] for number in range(frame.shape[1])]
    names = [_name(name) for name in frame.columns]
    columns = dict(zip(names, stored, strict=False))
    check_unique(names, label)
    index = {str(level.name): level.to_series() for level in levels if level.name is not None}
    return pl.DataFrame({name: _column(values) for name, values in {**index, **columns}.items()})


def _name(name: Any) -> str:
    """Return the name of a column; the levels of a name are joined by dots."""
    if isinstance(name, tuple):
        return ".".join(str(level) for level in name if level != "")
    return str(name)


def _column(column: Any) -> pl.Series:
    """Convert a column; values of Python objects become text."""
    if column.dtype.name == "category":
        values = _column(column.cat.categories.to_series())
        codes = pl.Series(column.cat.codes.to_numpy(), dtype=pl.Int64)
        return values.gather(codes.set(codes < 0, None))
    kind = column.dtype.kind
    if kind == "M":
        return _times(column)
    if kind in "iufb":
        return _numbers(column)
    return _objects(column.to_numpy(dtype=object), column.isna().to_numpy())


def _times(column: Any) -> pl.Series:
    if column.dt.tz is None:
        return pl.Series(column.to_numpy(dtype="datetime64[us]"))
    utc = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return pl.Series(utc.to_numpy(dtype="datetime64[us]")).dt.replace_time_zone("UTC")


def _numbers(column: Any) -> pl.Series:
    if isinstance(column.dtype, np.dtype):
        return pl.Series(column.to_numpy(), nan_to_null=True)
    # a type with missing values, such as Int64, which is exact beyond 2**53
    missing = column.isna().to_numpy()
    filled = column.fillna(column.dtype.type(0))
    values = pl.Series(filled.to_numpy(dtype=column.dtype.type), nan_to_null=True)
    return values.set(pl.Series(missing), None)


def _objects(values: Any, missing: Any) -> pl.Series:
    present = values[~missing]
    if len(present) and isinstance(present[0], bytes):
        kept = [None if null else v for v, null in zip(values, missing, strict=True)]
        return pl.Series(kept, dtype=pl.Binary)
    if len(present) and isinstance(present[0], list | tuple | dict | np.ndarray):
        return pl.Series(values.tolist(), strict=False)  # nested values are no ids
    return pl.Series(
        [None if null else str(value) for value, null in zip(values, missing, strict=True)],
        dtype=pl.String,
    )
