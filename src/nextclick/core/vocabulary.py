"""Mapping between raw ids and indices; index 0 stands for padding and unknown ids."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.array_checks import MAX_ITEMS, ArrayError, check_offsets, open_array
from nextclick.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nextclick.core.types import AnyArray, Int32Array, Int64Array, RawId

MAX_DOUBLE = 2**53 - 1
"""The largest integer up to which doubles are exact."""
ROUNDED_IDS = "item ids are integers above 2^53, which JavaScript clients round"


class Vocabulary:
    """The raw ids of the indices 1..N, either all integers or all text.

    Files: `ids.npy` (N,) int64 for integers; for text `text.npy` (the concatenated ids as UTF-8
    bytes) and `ends.npy` (N,) int64, the end of each id. The files are memory-mapped.
    """

    def __init__(self, ids: Int64Array | None, text: AnyArray | None, ends: Int64Array | None):
        self._ids = ids
        self._text = text
        self._ends = ends

    @classmethod
    def from_integers(cls, ids: Int64Array) -> Vocabulary:
        """Build from integer ids; index 1 is ids[0], index 2 is ids[1], …"""
        return cls(np.asarray(ids, dtype=np.int64), None, None)

    @classmethod
    def from_strings(cls, ids: Iterable[str]) -> Vocabulary:
        """Build from text ids; index 1 is the first id."""
        encoded = [i.encode() for i in ids]
        ends = np.cumsum([len(e) for e in encoded], dtype=np.int64)
        return cls(None, np.frombuffer(b"".join(encoded), dtype=np.uint8), ends)

    def __len__(self) -> int:
        array = self._ids if self._ids is not None else self._ends
        assert array is not None
        return len(array)

    @property
    def is_text(self) -> bool:
        """Whether raw ids are text; otherwise they are integers."""
        return self._ids is None

    @property
    def exceeds_doubles(self) -> bool:
        """Whether an id is an integer that JavaScript, whose numbers are doubles, rounds."""
        if self._ids is None or len(self) == 0:
            return False
        return int(self._ids.max()) > MAX_DOUBLE or int(self._ids.min()) < -MAX_DOUBLE

    def as_text(self) -> Vocabulary:
        """The vocabulary whose ids are text, with the same indices.

        >>> Vocabulary.from_integers(np.array([30, 7])).as_text().ids()
        ['30', '7']
        """
        return self if self.is_text else Vocabulary.from_strings(map(str, self.ids()))

    def raw(self, index: int) -> RawId:
        """Return the raw id of an index in 1..N.

        Raises:
            IndexError: the index is out of range.
        """
        if not 1 <= index <= len(self):
            raise IndexError(f"index must be in 1..{len(self)}, got {index}")
        if self._ids is not None:
            return int(self._ids[index - 1])
        assert self._text is not None and self._ends is not None
        start = int(self._ends[index - 2]) if index > 1 else 0
        return bytes(self._text[start : int(self._ends[index - 1])]).decode()

    def raw_ids(self, indices: AnyArray) -> list[RawId]:
        """The raw ids of (n,) indices in 1..N.

        Raises:
            IndexError: an index is out of range.
        """
        if self._ids is None or len(indices) == 0:
            return [self.raw(int(index)) for index in indices]
        if not 1 <= indices.min() <= indices.max() <= len(self):
            raise IndexError(f"indices must be in 1..{len(self)}, got {indices}")
        numbers: list[RawId] = self._ids[indices - 1].tolist()
        return numbers

    def index(self, raw: RawId) -> int:
        """Return the index of a raw id, or 0 if it is unknown; "12" and 12 are the same id."""
        key = str(raw).strip() if self.is_text else _parse_integer(raw)
        return self._index_of.get(key, 0) if key is not None else 0

    def indices(self, raw_ids: Iterable[RawId]) -> Int32Array:
        """(n,) int32, the index of each raw id, 0 for unknown ids."""
        return np.array([self.index(raw) for raw in raw_ids], dtype=np.int32)

    @cached_property
    def _index_of(self) -> dict[RawId, int]:
        return {raw: index for index, raw in enumerate(self.ids(), start=1)}

    def union(self, other: Vocabulary) -> tuple[Vocabulary, Int32Array, Int32Array]:
        """The ids of both vocabularies, sorted; all become text if either vocabulary is text.

        Returns:
            The union, and two int32 arrays that map each index 0..len of this and of the other
            vocabulary to the index of the same id in the union; 0 maps to 0.

        >>> first, second = Vocabulary.from_strings("BD"), Vocabulary.from_strings("ABC")
        >>> union, from_self, from_other = first.union(second)
        >>> [union.raw(i) for i in range(1, 5)], from_self.tolist(), from_other.tolist()
        (['A', 'B', 'C', 'D'], [0, 2, 4], [0, 1, 2, 3])
        """
        if self._ids is not None and other._ids is not None:
            numbers = np.union1d(self._ids, other._ids)
            from_self, from_other = (
                np.append(0, np.searchsorted(numbers, ids) + 1).astype(np.int32)
                for ids in (self._ids, other._ids)
            )
            return Vocabulary.from_integers(numbers), from_self, from_other
        own_ids, other_ids = ([str(raw) for raw in v.ids()] for v in (self, other))
        texts = sorted({*own_ids, *other_ids})  # by code point, as in prepared vocabularies
        index_of = {text: index for index, text in enumerate(texts, start=1)}
        from_self, from_other = (
            np.array([0, *(index_of[text] for text in ids)], dtype=np.int32)
            for ids in (own_ids, other_ids)
        )
        return Vocabulary.from_strings(texts), from_self, from_other

    def ids(self) -> list[RawId]:
        """All raw ids in the order of their indices 1..N."""
        if self._ids is not None:
            numbers: list[RawId] = self._ids.tolist()
            return numbers
        assert self._text is not None and self._ends is not None
        text, ends = self._text.tobytes(), self._ends.tolist()
        return [text[start:end].decode() for start, end in pairwise([0, *ends])]

    def only(self, chosen: Int32Array) -> tuple[Vocabulary, Int32Array]:
        """The vocabulary of the ids at the ascending indices `chosen` (n,).

        Returns:
            The new vocabulary, and (N + 1,) int32 that maps each index of this vocabulary to its
            index in the new one, or to 0.
        """
        index = np.zeros(len(self) + 1, dtype=np.int32)
        index[chosen] = np.arange(1, len(chosen) + 1)
        if self._ids is not None:
            return Vocabulary.from_integers(self._ids[chosen - 1]), index
        return Vocabulary.from_strings(map(str, self.raw_ids(chosen))), index

    def arrays(self) -> dict[str, AnyArray]:
        """The arrays of the vocabulary by file stem."""
        if self._ids is not None:
            return {"ids": self._ids}
        assert self._text is not None and self._ends is not None
        return {"text": self._text, "ends": self._ends}

    def save(self, folder: Path) -> None:
        """Write the arrays to a folder; the folder is created if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self.arrays().items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path) -> Vocabulary:
        """Open a saved vocabulary, memory-mapped.

        Raises:
            StoreError: a file is missing, not readable or inconsistent.
        """
        if (folder / "ids.npy").exists():
            return cls(_memory_map(folder / "ids.npy", np.int64), None, None)
        text = _memory_map(folder / "text.npy", np.uint8)
        ends = _memory_map(folder / "ends.npy", np.int64)
        try:
            check_offsets("the ends of ids", np.concatenate([[0], ends]), len(text))
            _check_text(text, ends)
        except ValueError as error:
            raise _unreadable(folder / "ends.npy", error) from error
        return cls(None, text, ends)


def _parse_integer(raw: RawId) -> int | None:
    try:
        number = int(raw)
    except (ValueError, TypeError, OverflowError):
        return None
    # "007" is not 7, and 12.5 is not 12
    is_exact = str(number) == raw.strip() if isinstance(raw, str) else number == raw
    return number if is_exact else None


def _memory_map(path: Path, dtype: type) -> AnyArray:
    try:
        array = open_array(path, dtype)
        if dtype is np.int64 and len(array) > MAX_ITEMS:
            raise ArrayError(f"at most {MAX_ITEMS:,} ids are possible, got {len(array):,}")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return np.asarray(array)  # element access is faster than in a np.memmap


def _check_text(text: AnyArray, ends: AnyArray) -> None:
    """Check that each id is valid UTF-8.

    Raises:
        ValueError: an id is not.
    """
    bytes(text).decode()
    starts = ends[:-1][ends[:-1] < len(text)]
    if np.any((text[starts] & 0xC0) == 0x80):  # the second or a later byte of a character
        raise ArrayError("an id begins inside a character")


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(f"cannot read the vocabulary in {path.parent}: {path.name}: {error}")
