"""Many texts in one run of bytes, and which of them hold a text."""

from __future__ import annotations

import re
import unicodedata
from array import array
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nextclick.core.types import AnyArray, Int32Array, Int64Array

_AT_ONCE = 1 << 16  # texts that are Python strings at one time
_END = "\n"
ELSEWHERE, BEGINS = 1, 2
_ACCENTS = re.compile("[\u0300-\u036f]+")
_TYPED = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-"}  # with a keyboard


class Texts:
    """Texts of one line each.

    They take their bytes in UTF-8 and nine more, where a Python string takes 57 more.

    >>> texts = Texts(["red shoe", "", "blue hat"])
    >>> len(texts), texts[0], list(texts)
    (3, 'red shoe', ['red shoe', '', 'blue hat'])
    """

    def __init__(self, texts: Iterable[str] = ()):
        self._data = bytearray()  # a line break after each
        self._ends = array("q")  # where those are
        rest = iter(texts)
        while some := list(islice(rest, _AT_ONCE)):
            self.add(some)

    def add(self, texts: list[str]) -> None:
        """Add texts behind those that are there; a line break in one becomes a blank."""
        lines = "".join(text.replace(_END, " ") + _END for text in texts)
        data = lines.encode("utf-8", "ignore")
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(_END)) + len(self._data)
        self._data.extend(data)
        self._ends.frombytes(ends.astype(np.int64).tobytes())

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, n: int) -> str:
        start = self._ends[n - 1] + 1 if n else 0
        return self._data[start : self._ends[n]].decode()

    def __iter__(self) -> Iterator[str]:
        start = 0
        for n in range(0, len(self), _AT_ONCE):
            end = self._ends[min(n + _AT_ONCE, len(self)) - 1]
            yield from self._data[start:end].decode().split(_END)
            start = end + 1

    def folded(self) -> Texts:
        """The same as `mark` looks for them."""
        return Texts(map(folded, self))

    def mark(self, wanted: bytes, marks: AnyArray, items: Int32Array) -> None:
        """Raise the mark of each item whose text holds `wanted`.

        Args:
            wanted: at least one letter, `folded` as these texts are, in UTF-8.
            marks: (N + 1,) uint8, raised to BEGINS if a word begins with it, to ELSEWHERE if it
                stands only within words.
            items: (len,) int32, the item of each text; those of item 0 are passed over.
        """
        data, ends = np.frombuffer(self._data, np.uint8), np.frombuffer(self._ends, np.int64)
        _mark(data, ends, np.frombuffer(wanted, np.uint8), marks, items)


def folded(text: str) -> str:
    """Letters that differ in case or in an accent become one; quotes and dashes as they are typed.

    >>> folded("Crème Brûlée"), folded("Straße"), folded("L’Été")
    ('creme brulee', 'strasse', "l'ete")
    """
    if text.isascii():
        return text.lower()
    for written, typed in _TYPED.items():
        text = text.replace(written, typed)
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))


@njit(cache=True, nogil=True)
def _mark(
    data: AnyArray, ends: Int64Array, wanted: AnyArray, marks: AnyArray, items: Int32Array
) -> None:
    n, first = len(wanted), wanted[0]
    start = 0
    for row in range(len(ends)):
        item, end = items[row], ends[row]
        if item:
            for at in range(start, end - n + 1):
                if data[at] == first and _same(data, at, wanted):
                    if at == start or not _in_word(data[at - 1]):
                        marks[item] = BEGINS
                        break
                    marks[item] = max(marks[item], ELSEWHERE)
        start = end + 1


@njit(cache=True, nogil=True)
def _same(data: AnyArray, at: int, wanted: AnyArray) -> bool:
    for k in range(len(wanted)):  # noqa: SIM110
        if data[at + k] != wanted[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def _in_word(byte: int) -> bool:
    """A letter or a digit; what is not ASCII counts as a letter."""
    return byte >= 128 or 48 <= byte <= 57 or 97 <= byte <= 122
