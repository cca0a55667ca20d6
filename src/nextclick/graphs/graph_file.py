"""The graphs before each block of a log in a temporary file, so that training holds one at a time.

Batches of an epoch come from all blocks in random order, so each graph is needed again and again.
Their sum grows with the length of the log. A graph is read back with the bits it was written with.
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import OutputError
from nextclick.graphs.neighbors import Neighbors

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray

_Place = tuple[int, int, "np.dtype[np.generic]"]  # start, number of values, type


class GraphFile(Mapping[int, Neighbors]):
    """Neighbors by block, on disk; the last one read or written is also in memory.

    The file has no name, so it does not outlive the process. Setting an item raises `OutputError`
    if the disk is full.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="nextclick-graphs-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._places: dict[int, list[_Place]] = {}
        self._size = 0
        self._latest: tuple[int, Neighbors] | None = None
        self._lock = threading.Lock()

    def __setitem__(self, block: int, neighbors: Neighbors) -> None:
        with self._lock:
            self._places[block] = [self._write(array) for array in _arrays(neighbors)]
            self._latest = block, neighbors

    def __getitem__(self, block: int) -> Neighbors:
        with self._lock:
            if self._latest is None or self._latest[0] != block:
                arrays = [self._read(place) for place in self._places[block]]
                self._latest = block, Neighbors(*arrays)
            return self._latest[1]

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def n_pairs(self) -> dict[int, int]:
        """The number of neighbor pairs of each block, without reading the graphs."""
        return {block: places[2][1] // 2 for block, places in self._places.items()}

    @property
    def n_bytes(self) -> int:
        """The size of the file."""
        return self._size

    def _write(self, array: AnyArray) -> _Place:
        place = self._size, len(array), array.dtype
        try:
            self._file.seek(self._size)
            self._file.write(array.tobytes())
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{tempfile.gettempdir()}: the item graphs of the blocks of time cannot be "
                f"written: {error.strerror}; name another folder with TMPDIR"
            ) from None
        self._size += array.nbytes
        return place

    def _read(self, place: _Place) -> AnyArray:
        start, n, dtype = place
        self._file.seek(start)
        return np.frombuffer(self._file.read(n * dtype.itemsize), dtype)


def _arrays(neighbors: Neighbors) -> list[AnyArray]:
    return [np.ascontiguousarray(getattr(neighbors, field.name)) for field in fields(neighbors)]
