"""Search in the raw ids of a catalogue."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.types import Int32Array, Int64Array
    from nextclick.vocab import Vocabulary

_MOST_MATCHES = 1000
_BETWEEN = b"\x00"


class ItemSearch:
    """Finds ids that begin with a text, then those that hold it; the most clicked first.

    Letters without accents match in either case.
    """

    def __init__(self, items: Vocabulary, popular: Int32Array, support: Int64Array):
        self._items = items
        self._popular = popular
        self._support = support

    def find(self, text: str, limit: int) -> list[int]:
        """Indices of at most `limit` items; the most clicked ones for an empty text."""
        wanted = text.encode("utf-8", "ignore").lower().replace(_BETWEEN, b"")
        if not wanted:
            return [int(item) for item in self._popular[:limit]]
        found = self._ranked(self._matches(_BETWEEN + wanted))
        if len(found) < limit:
            known = set(found)
            found += [i for i in self._ranked(self._matches(wanted)) if i not in known]
        return found[:limit]

    def clicks(self, item: int) -> int:
        """How often an item was clicked in training."""
        return int(self._support[item])

    def _ranked(self, items: list[int]) -> list[int]:
        return sorted(items, key=lambda item: (-self._support[item], item))

    def _matches(self, wanted: bytes) -> list[int]:
        """Of the first thousand places where it stands, the items."""
        text, starts = self._text
        found: list[int] = []
        at = text.find(wanted)
        while at >= 0 and len(found) < _MOST_MATCHES:
            # a match that begins with the mark between two ids belongs to the one after it
            item = int(np.searchsorted(starts, at + wanted.startswith(_BETWEEN), side="right"))
            if not found or found[-1] != item:
                found.append(item)
            at = text.find(wanted, at + 1)
        return found

    @cached_property
    def _text(self) -> tuple[bytes, Int64Array]:
        """All ids in lower case, a mark before each, and (N,) where each id begins."""
        raws = [
            str(self._items.raw(i)).encode().lower().replace(_BETWEEN, b" ")
            for i in range(1, len(self._items) + 1)
        ]
        lengths = np.array([len(raw) + 1 for raw in raws], dtype=np.int64)
        return _BETWEEN + _BETWEEN.join(raws), np.cumsum(lengths) - lengths + 1
