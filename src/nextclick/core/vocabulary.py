"""Raw ids and their indices; index 0 is padding and everything unknown."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nextclick.core.types import AnyArray, Int32Array, Int64Array, RawId


class Vocabulary:
    """Raw ids 1..N, all whole numbers or all text.

    On disk: `ids.npy` (N,) int64, or `text.npy` (bytes, UTF-8, one id after the other) with
    `ends.npy` (N,) int64. Both are memory-mapped, so that opening costs nothing.
    """

    def __init__(self, ids: Int64Array | None, text: AnyArray | None, ends: Int64Array | None):
        self._ids = ids
        self._text = text
        self._ends = ends

    @classmethod
    def of_numbers(cls, ids: Int64Array) -> Vocabulary:
        """Index 1 is ids[0], index 2 is ids[1], …"""
        return cls(np.asarray(ids, dtype=np.int64), None, None)

    @classmethod
    def of_text(cls, ids: Iterable[str]) -> Vocabulary:
        """As `of_numbers`, for ids that are text."""
        encoded = [i.encode() for i in ids]
        ends = np.cumsum([len(e) for e in encoded], dtype=np.int64)
        return cls(None, np.frombuffer(b"".join(encoded), dtype=np.uint8), ends)

    def __len__(self) -> int:
        array = self._ids if self._ids is not None else self._ends
        assert array is not None
        return len(array)

    @property
    def is_text(self) -> bool:
        """Whether raw ids are text; else they are whole numbers."""
        return self._ids is None

    def raw(self, index: int) -> RawId:
        """Return the raw id at an index in 1..N."""
        if not 1 <= index <= len(self):
            raise IndexError(f"index must be in 1..{len(self)}, got {index}")
        if self._ids is not None:
            return int(self._ids[index - 1])
        assert self._text is not None and self._ends is not None
        start = int(self._ends[index - 2]) if index > 1 else 0
        return bytes(self._text[start : int(self._ends[index - 1])]).decode()

    def raws(self, indices: AnyArray) -> list[RawId]:
        """`raw` of each of (n,) indices."""
        if self._ids is None or len(indices) == 0:
            return [self.raw(int(index)) for index in indices]
        if not 1 <= indices.min() <= indices.max() <= len(self):
            raise IndexError(f"indices must be in 1..{len(self)}, got {indices}")
        numbers: list[RawId] = self._ids[indices - 1].tolist()
        return numbers

    def index(self, raw: RawId) -> int:
        """Return the index of a raw id, 0 if it is unknown; "12" and 12 are the same id."""
        key = str(raw).strip() if self.is_text else _whole_number(raw)
        return self._index_of.get(key, 0) if key is not None else 0

    def indices(self, raws: Iterable[RawId]) -> Int32Array:
        """`index` of each, int32."""
        return np.array([self.index(raw) for raw in raws], dtype=np.int32)

    @cached_property
    def _index_of(self) -> dict[RawId, int]:
        return {raw: index for index, raw in enumerate(self.ids(), start=1)}

    def union(self, other: Vocabulary) -> tuple[Vocabulary, Int32Array, Int32Array]:
        """All ids of both in the order of raw ids; they are text if those of either are.

        Returns:
            The union, and for each index 0..len of this vocabulary and of the other one the index
            of the same id in the union; 0 stays 0.

        >>> both, mine, theirs = Vocabulary.of_text("BD").union(Vocabulary.of_text("ABC"))
        >>> [both.raw(i) for i in range(1, 5)], mine.tolist(), theirs.tolist()
        (['A', 'B', 'C', 'D'], [0, 2, 4], [0, 1, 2, 3])
        """
        if self._ids is not None and other._ids is not None:
            numbers = np.union1d(self._ids, other._ids)
            found = (np.searchsorted(numbers, ids) + 1 for ids in (self._ids, other._ids))
            one, two = (np.append(0, index).astype(np.int32) for index in found)
            return Vocabulary.of_numbers(numbers), one, two
        mine, theirs = ([str(raw) for raw in vocabulary.ids()] for vocabulary in (self, other))
        texts = sorted({*mine, *theirs})  # by code point, as prepared vocabularies are
        place = {text: index for index, text in enumerate(texts, start=1)}
        one, two = (
            np.array([0, *(place[text] for text in ids)], dtype=np.int32) for ids in (mine, theirs)
        )
        return Vocabulary.of_text(texts), one, two

    def ids(self) -> list[RawId]:
        """All raw ids, those of index 1 first."""
        if self._ids is not None:
            numbers: list[RawId] = self._ids.tolist()
            return numbers
        assert self._text is not None and self._ends is not None
        text, ends = self._text.tobytes(), self._ends.tolist()
        return [text[start:end].decode() for start, end in pairwise([0, *ends])]

    def only(self, chosen: Int32Array) -> tuple[Vocabulary, Int32Array]:
        """Keep the ids at the ascending indices `chosen`.

        Returns:
            Their vocabulary, and (len + 1,) int32, the index there of each index here, or 0.
        """
        index = np.zeros(len(self) + 1, dtype=np.int32)
        index[chosen] = np.arange(1, len(chosen) + 1)
        if self._ids is not None:
            return Vocabulary.of_numbers(self._ids[chosen - 1]), index
        return Vocabulary.of_text(map(str, self.raws(chosen))), index

    def arrays(self) -> dict[str, AnyArray]:
        """The arrays that make up the vocabulary, by file stem."""
        if self._ids is not None:
            return {"ids": self._ids}
        assert self._text is not None and self._ends is not None
        return {"text": self._text, "ends": self._ends}

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder that is made for them."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self.arrays().items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path) -> Vocabulary:
        """Memory-map what `save` wrote.

        Raises:
            StoreError: the folder holds no vocabulary.
        """
        try:
            if (folder / "ids.npy").exists():
                return cls(_mapped(folder / "ids.npy"), None, None)
            return cls(None, _mapped(folder / "text.npy"), _mapped(folder / "ends.npy"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{folder} holds no readable vocabulary: {error}") from error


def _whole_number(raw: RawId) -> int | None:
    try:
        number = int(raw)
    except (ValueError, TypeError, OverflowError):
        return None
    # 007 and 12.5 are not 7 and 12
    same = str(number) == raw.strip() if isinstance(raw, str) else number == raw
    return number if same else None


def _mapped(path: Path) -> AnyArray:
    # an empty array cannot be memory-mapped
    array: AnyArray = np.load(path, mmap_mode="r" if path.stat().st_size > 128 else None)
    return np.asarray(array)  # looking into a plain array is quicker
