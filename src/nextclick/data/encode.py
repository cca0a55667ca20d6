"""Encodes raw ids as integer codes 0, 1, 2, … in order of first occurrence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nextclick.core.vocabulary import Vocabulary
from nextclick.data.readers.raw_ids import whole_numbers

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array

_MAX_LOAD = 0.6  # share of used hash slots above which the table is rebuilt
_HASHED_ROWS = 50_000  # rows that are encoded before the size of the table is checked again
_SORTED_ROWS = 1_000_000  # rows above which the compiled hash table is faster than sorting


class IdEncoder:
    """Assigns a code to every distinct raw id, chunk by chunk.

    Ids are integers as long as all of them are canonical integers. The first other id (`A12`,
    `007`) converts all ids to text; their codes do not change.
    """

    def __init__(self) -> None:
        self._numbers: _NumberCodes | None = _NumberCodes()
        self._text = _TextCodes()

    def __len__(self) -> int:
        return len(self._text if self._numbers is None else self._numbers)

    def encode(self, ids: pl.Series) -> Int32Array:
        """Return (n,) int32 codes; -1 where the id is missing."""
        if self._numbers is not None:
            numbers = whole_numbers(ids)
            if numbers is not None:
                return self._numbers.encode(numbers)
            self._text.encode(pl.Series(self._numbers.ids()).cast(pl.String))
            self._numbers = None
        return self._text.encode(ids.cast(pl.String).str.strip_chars())

    def ids(self) -> pl.Series:
        """Return the ids by code, as Int64 or as text."""
        return self._text.ids() if self._numbers is None else pl.Series(self._numbers.ids())

    def vocabulary(self, codes: Int32Array) -> tuple[Vocabulary, Int32Array]:
        """Build the vocabulary of the ids of `codes`, with indices 1..n in ascending order of id.

        The ids are integers if each of them is a canonical integer, whatever the other ids are.

        Args:
            codes: (n,) distinct codes.

        Returns:
            The vocabulary, and (len(self),) int32, the index of every code, 0 for other codes.
        """
        ids = self.ids().gather(codes)
        if ids.dtype == pl.String:
            numbers = whole_numbers(ids) if len(ids) else None
            ids = ids if numbers is None else numbers
        order = ids.arg_sort().to_numpy()
        if ids.dtype == pl.String:
            vocabulary = Vocabulary.from_strings(ids.gather(order).to_list())
        else:
            vocabulary = Vocabulary.from_integers(ids.gather(order).to_numpy())
        index_of = np.zeros(len(self), dtype=np.int32)
        index_of[codes[order]] = np.arange(1, len(codes) + 1, dtype=np.int32)
        return vocabulary, index_of


class _NumberCodes:
    """Codes of int64 ids: by sorting for short logs, by a hash table for long ones."""

    def __init__(self) -> None:
        self._slots = np.empty(0, dtype=np.int32)
        self._keys = np.empty(1 << 11, dtype=np.int64)
        self._count = 0
        self._rows = 0

    def __len__(self) -> int:
        return self._count

    def ids(self) -> Int64Array:
        return self._keys[: self._count]

    def encode(self, ids: pl.Series) -> Int32Array:
        missing = ids.is_null().to_numpy() if ids.null_count() else np.zeros(0, dtype=np.bool_)
        raw = ids.fill_null(0).to_numpy()
        self._rows += len(raw)
        self._grow_keys(self._count + len(raw))
        if self._rows <= _SORTED_ROWS:
            return self._encode_by_sorting(raw, missing)
        return self._encode_by_hashing(raw, missing)

    def _encode_by_sorting(self, raw: Int64Array, missing: BoolArray) -> Int32Array:
        codes = np.full(len(raw), -1, dtype=np.int32)
        present = np.flatnonzero(~missing) if len(missing) else np.arange(len(raw))
        distinct, first_row, inverse = np.unique(
            raw[present], return_index=True, return_inverse=True
        )
        sorter = np.argsort(self.ids())
        positions = np.searchsorted(self.ids(), distinct, sorter=sorter)
        distinct_codes = np.append(sorter, -1)[positions].astype(np.int32)  # (distinct,)
        new = np.flatnonzero((distinct_codes < 0) | (self._keys[distinct_codes] != distinct))
        new = new[np.argsort(first_row[new])]
        distinct_codes[new] = np.arange(self._count, self._count + len(new))
        self._keys[distinct_codes[new]] = distinct[new]
        self._count += len(new)
        codes[present] = distinct_codes[inverse]
        return codes

    def _encode_by_hashing(self, raw: Int64Array, missing: BoolArray) -> Int32Array:
        from nextclick.data.id_hash_kernels import assign_codes, rehash

        codes = np.empty(len(raw), dtype=np.int32)
        # a table with room for a few new ids more than there are fits the cache of the processor
        for start in range(0, len(raw), _HASHED_ROWS):
            rows = slice(start, start + _HASHED_ROWS)
            count = self._count + len(raw[rows])
            if count > _MAX_LOAD * len(self._slots):
                n_slots = 1 << int(np.ceil(np.log2(count / _MAX_LOAD)))
                self._slots = np.full(n_slots, -1, dtype=np.int32)
                rehash(self.ids(), self._slots)
            self._count = assign_codes(
                raw[rows], missing[rows], self._slots, self._keys, self._count, codes[rows]
            )
        return codes

    def _grow_keys(self, count: int) -> None:
        if count > len(self._keys):
            grown = np.empty(max(count, len(self._keys) * 3 // 2), dtype=np.int64)
            grown[: self._count] = self.ids()
            self._keys = grown


class _TextCodes:
    """Codes of text ids, by a Polars categories dictionary that no other encoder shares."""

    def __init__(self) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        # Polars deletes a dictionary with the last column of its type
        self._anchor = pl.Series([], dtype=self._type)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def ids(self) -> pl.Series:
        return self._type.categories.to_series()

    def encode(self, ids: pl.Series) -> Int32Array:
        codes = ids.cast(self._type).to_physical().cast(pl.Int32).fill_null(-1).to_numpy()
        self._count = max(self._count, int(codes.max(initial=-1)) + 1)
        return codes
