"""Joins the arrays of several files to one array without reading them.

The files are mapped to consecutive addresses, so the joined array is an ordinary NumPy array whose
pages the operating system reads on use and may drop again. Files can only be mapped page by page:
an array must begin, within a page of its file, where it begins within a page of the joined array.
`array_header` writes such files. The page on which one array ends and the next one begins is
copied; an array in memory, or one that begins elsewhere in its file, is copied whole.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from functools import lru_cache
from io import BytesIO
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.array_checks import MAGIC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import AnyArray

ALIGNMENT = 4096
"""Bytes; machines with larger pages copy the arrays."""

_FIELDS = len(MAGIC) + 2  # bytes before the fields: their length follows the magic string
_MAP_FIXED = 0x10  # Linux and macOS
_FAILED = ctypes.c_void_p(-1).value


def plain_header(dtype: np.dtype[Any], length: int) -> bytes:
    """The header that `np.save` writes for a one-dimensional array."""
    header, descr = BytesIO(), np.lib.format.dtype_to_descr(dtype)
    fields = {"descr": descr, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def header_bytes(file: bytes) -> int:
    """The size of the header with which the file of an array begins."""
    return _FIELDS + int.from_bytes(file[len(MAGIC) : _FIELDS], "little")


def array_header(dtype: np.dtype[Any], length: int, begin: int = 0) -> bytes:
    """The header of a one-dimensional `.npy` file that can be mapped as a part of a joined array.

    Args:
        dtype: type of the entries.
        length: number of entries.
        begin: position of the first byte of the array in the joined array.

    >>> len(array_header(np.dtype(np.int64), 5, begin=4096 + 24)) % ALIGNMENT
    24
    """
    plain = plain_header(dtype, length)
    n_fields = len(plain) + (begin - len(plain)) % ALIGNMENT - _FIELDS
    fields = plain[_FIELDS:].rstrip().ljust(n_fields - 1)
    return MAGIC + n_fields.to_bytes(2, "little") + fields + b"\n"


def join_arrays(arrays: Sequence[AnyArray]) -> AnyArray:
    """Concatenate one-dimensional arrays of one type; those of mapped files are not read.

    Args:
        arrays: the arrays; of the memory-mapped ones, only whole files are mapped again.

    Returns:
        The joined array: the only array itself, a copy, or a read-only array on mapped pages.
    """
    if len(arrays) == 1:
        return arrays[0]
    if not any(_is_whole_file(array) for array in arrays):
        return np.concatenate(arrays)
    ends = list(accumulate(array.nbytes for array in arrays))
    # pages that are neither written nor mapped take no memory
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    region = mmap.mmap(-1, ends[-1], flags=flags, prot=mmap.PROT_READ)
    joined = np.frombuffer(region, dtype=arrays[0].dtype)
    for array, end in zip(arrays, ends, strict=True):
        _place(array, joined.ctypes.data, end - array.nbytes)
    return joined


def release_pages(array: AnyArray) -> None:
    """Take the pages of a memory-mapped file out of this process; they are read again on use."""
    if _is_whole_file(array):
        pages: Any = array.base
        pages.madvise(mmap.MADV_DONTNEED)


def _is_whole_file(array: AnyArray) -> bool:
    """Whether `filename` and `offset` of a memory-mapped array are its own; slices inherit them."""
    return isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)


def _place(array: AnyArray, region: int, begin: int) -> None:
    """Map or copy an array to the address `region` + `begin`; `region` is the start of a page."""
    end = begin + array.nbytes
    first, last = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
    if first < last and _is_whole_file(array) and _map_pages(array, region, begin, first, last):
        _copy(array, region, begin, begin, first)
        _copy(array, region, begin, last, end)
    else:
        _copy(array, region, begin, begin, end)


def _map_pages(array: Any, region: int, begin: int, first: int, last: int) -> bool:
    """Map the bytes `first` to `last` of the region to the file; False if that is impossible."""
    in_file = array.offset + first - begin
    if in_file % mmap.PAGESIZE:
        return False
    file = os.open(array.filename, os.O_RDONLY)
    try:
        # a page beyond the end of a file that was replaced meanwhile would end the process
        if os.fstat(file).st_size != array.offset + array.nbytes:
            return False
        flags = mmap.MAP_SHARED | _MAP_FIXED
        size = last - first
        mapped = _calls().mmap(region + first, size, mmap.PROT_READ, flags, file, in_file)
        return bool(mapped != _FAILED)
    finally:
        os.close(file)


def _copy(array: AnyArray, region: int, begin: int, start: int, stop: int) -> None:
    """Copy the bytes `start` to `stop` of the region from an array that begins at `begin`."""
    if start >= stop:
        return
    page = start // mmap.PAGESIZE * mmap.PAGESIZE
    if _calls().mprotect(region + page, stop - page, mmap.PROT_READ | mmap.PROT_WRITE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    ctypes.memmove(region + start, array.ctypes.data + start - begin, stop - start)


@lru_cache
def _calls() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.mmap.argtypes = [pointer, size, number, number, number, ctypes.c_long]
    library.mmap.restype = pointer
    library.mprotect.argtypes = [pointer, size, number]
    return library
