"""Checks of arrays read from disk, before a kernel indexes with them; each is O(n).

A compiled kernel does not check its indices: a wrong one reads foreign memory or ends the process.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray

MAX_ITEMS = 2**31 - 2
MAX_TIME_MS = 1 << 60
MAGIC = b"\x93NUMPY\x01\x00"
_MAX_HEADER = 10_000  # as `np.load`
_CHUNK = 1 << 20  # bounds the memory of intermediate arrays


class ArrayError(ValueError):
    """An array does not have the expected type, shape or values; the message names the array."""


def check_array(name: str, array: AnyArray, dtype: type, ndim: int = 1) -> None:
    """Check the type and the number of axes.

    Raises:
        ArrayError: another type or number of axes.
    """
    expected = np.dtype(dtype)
    if array.dtype != expected or array.ndim != ndim:
        raise ArrayError(
            f"{name} must be {expected} with {ndim} axes, got {array.dtype} with shape "
            f"{array.shape}"
        )


def check_length(name: str, array: AnyArray, length: int) -> None:
    """Check the length of the first axis.

    Raises:
        ArrayError: another length.
    """
    if len(array) != length:
        raise ArrayError(f"{name} must have {length:,} rows, got {len(array):,}")


def check_range(name: str, array: AnyArray, lowest: int, highest: int) -> None:
    """Check that all values are in lowest..highest.

    Raises:
        ArrayError: a value outside.
    """
    if array.size == 0:
        return
    least, most = int(array.min()), int(array.max())
    if least < lowest or most > highest:
        raise ArrayError(f"{name} must be in {lowest}..{highest}, got {least}..{most}")


def check_offsets(name: str, offsets: AnyArray, total: int) -> None:
    """Check (n + 1,) int64 offsets: they ascend from 0 to `total`.

    Raises:
        ArrayError: another type, an empty array, another first or last value, or a descent.
    """
    check_array(name, offsets, np.int64)
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != total:
        ends = f"{offsets[0]} to {offsets[-1]}" if len(offsets) else "nothing"
        raise ArrayError(f"{name} must ascend from 0 to {total}, got {ends}")
    for start in range(0, len(offsets) - 1, _CHUNK):
        chunk = offsets[start : start + _CHUNK + 1]
        descent = np.flatnonzero(chunk[1:] < chunk[:-1])
        if len(descent):
            raise ArrayError(f"{name} must ascend, but falls after entry {start + int(descent[0])}")


def check_finite(name: str, array: AnyArray) -> None:
    """Check that no value is NaN or infinite; arrays of integers pass.

    Raises:
        ArrayError: a value that is not finite.
    """
    if array.dtype.kind not in "fc":
        return
    flat = array.reshape(-1)
    for start in range(0, len(flat), _CHUNK):
        if not np.isfinite(flat[start : start + _CHUNK]).all():
            raise ArrayError(f"{name} has a value that is not finite")


def check_positive(name: str, array: AnyArray) -> None:
    """Check that an array holds one number above 0.

    Raises:
        ArrayError: another shape, or a number that is not above 0.
    """
    if array.shape != (1,) or not array[0] > 0:
        raise ArrayError(f"{name} must be one number above 0, got shape {array.shape}")


def check_item_table(
    offsets: AnyArray, items: AnyArray, values: AnyArray | None, n_items: int
) -> None:
    """Check rows of items in CSR form: `offsets` (N + 2,), `items` (J,) and `values` (J,).

    Raises:
        ArrayError: an array that does not fit.
    """
    check_array("items", items, np.int32)
    check_offsets("offsets", offsets, len(items))
    check_length("offsets", offsets, n_items + 2)
    check_range("items", items, 1, n_items)
    if values is not None:
        check_array("values", values, np.float32)
        check_length("values", values, len(items))


def check_factors(
    state: Mapping[str, AnyArray],
    n_items: int | None,
    *,
    rows: tuple[str, ...] = (),
    tables: tuple[str, ...] = (),
    width: int | None = None,
) -> None:
    """Check float32 arrays with a number (`rows`) or a vector (`tables`) for each item.

    Args:
        state: the arrays by name.
        n_items: N for arrays of N + 1 rows; None for any number of rows above 0.
        rows: names of (N + 1,) arrays.
        tables: names of (N + 1, D) arrays.
        width: D, None for any.

    Raises:
        ArrayError: an array is missing, or has another type or shape.
    """
    for name in (*rows, *tables):
        array = named_array(state, name)
        check_array(name, array, np.float32, 2 if name in tables else 1)
        check_length(name, array, max(len(array), 1) if n_items is None else n_items + 1)
        if width is not None and array.shape[1] != width:
            raise ArrayError(f"{name} must have {width} columns, got {array.shape[1]}")


def check_sessions(sessions: Sessions) -> None:
    """Check the arrays of sessions against each other and against the numbers of items and users.

    Raises:
        ArrayError: an array that does not fit.
    """
    check_array("items", sessions.items, np.int32)
    check_offsets("offsets", sessions.offsets, len(sessions.items))
    check_range("items", sessions.items, 0, sessions.n_items)
    if sessions.times is not None:
        check_length("times", sessions.times, len(sessions.items))
        check_range("times", sessions.times, -MAX_TIME_MS, MAX_TIME_MS)
    if sessions.users is not None:
        check_length("users", sessions.users, len(sessions))
        check_range("users", sessions.users, 0, sessions.n_users)
    if sessions.blocks is not None:
        check_length("blocks", sessions.blocks, len(sessions))
        check_range("blocks", sessions.blocks, 0, 2**31 - 1)


def named_array(state: Mapping[str, AnyArray], name: str) -> AnyArray:
    """An array of a state.

    Raises:
        ArrayError: it is missing.
    """
    if name not in state:
        raise ArrayError(f"{name!r} is missing")
    return state[name]


def open_array(path: Path, dtype: type, *, in_memory: bool = False) -> AnyArray:
    """Open a one-dimensional `.npy` file, memory-mapped or read whole.

    The header is compared with the size of the file first, so that a wrong header cannot make the
    process allocate memory.

    Raises:
        OSError: the file is missing or cannot be read.
        ArrayError: the file is not an array of that type, or has another size than its header says.
    """
    with path.open("rb") as file:
        header = file.read(_MAX_HEADER)
    size = path.stat().st_size
    try:
        descr, shape, start = _parse_header(header)
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise ArrayError(f"not an array file: {error}") from error
    found = np.dtype(dtype)
    if descr != found.str or len(shape) != 1:
        raise ArrayError(f"must be {found} with one axis, got {descr!r} of shape {shape}")
    if shape[0] < 0 or shape[0] * found.itemsize != size - start:
        raise ArrayError(f"the header says {shape[0]:,} entries, the file has {size:,} bytes")
    if in_memory or shape[0] == 0:  # an empty array cannot be mapped
        return np.fromfile(path, dtype=found, offset=start)
    return np.memmap(path, dtype=found, mode="r", offset=start, shape=shape)


def _parse_header(header: bytes) -> tuple[str, tuple[int, ...], int]:
    """The `descr` and shape of an array file of version 1.0, and where its data begin."""
    if header[:8] != MAGIC:
        raise ValueError("it does not begin as one of version 1.0")
    start = 10 + int.from_bytes(header[8:10], "little")
    fields = ast.literal_eval(header[10:start].decode("ascii").strip())
    descr, shape = fields["descr"], fields["shape"]
    if not isinstance(shape, tuple) or not all(type(length) is int for length in shape):
        raise ValueError(f"its shape is {shape!r:.60}")
    return str(descr), shape, start
