"""Files of named arrays in the format of safetensors, written block by block.

The safetensors library writes arrays that are in memory. Here an array may also be `RowBlocks`,
whose rows are in several processes, so that no process needs memory for all of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextclick.core.types import AnyArray

_NAMES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32",
    "int32": "I32", "uint64": "U64", "int64": "I64", "float16": "F16", "float32": "F32",
    "float64": "F64",
}  # fmt: skip
_ALIGNMENT = 8  # bytes


class RowBlocks(Protocol):
    """An array that is read block by block.

    Attributes:
        shape: of the whole array.
        dtype: of its entries.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def blocks(self) -> Iterator[AnyArray]:
        """Yield the rows in order, some at a time."""


Storable: TypeAlias = "AnyArray | RowBlocks"


def write_tensors(path: Path, arrays: Mapping[str, Storable]) -> None:
    """Write arrays to a new file.

    Args:
        path: the file.
        arrays: by name.

    Raises:
        OSError: the file cannot be written.
        KeyError: safetensors has no such type.
    """
    # wide types first, as the library writes them: every array is aligned
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {}
    end = 0
    for name in names:
        shape, dtype = arrays[name].shape, arrays[name].dtype
        begin, end = end, end + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        header[name] = {
            "dtype": _NAMES[dtype.name],
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            for block in _blocks(arrays[name]):
                file.write(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)


def _blocks(array: Storable) -> Iterator[AnyArray]:
    return iter((array,)) if isinstance(array, np.ndarray) else array.blocks()
