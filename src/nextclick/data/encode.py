"""Raw ids to dense codes 0, 1, 2, … in the order in which they first appear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nextclick.core.vocabulary import Vocabulary

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array

_LOAD = 0.6  # share of hash slots in use before the table doubles
_SORTED_ROWS = 1_000_000  # above this the hash table repays its compilation


class IdEncoder:
    """Gives every distinct raw id a code, chunk by chunk.

    Ids are kept as whole numbers while all of them are written as such; the first that is not
    (`A12`, `007`) turns all of them into text, under the codes that they already have.
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
            self._text.encode(pl.Series(self._numbers.known()).cast(pl.String))
            self._numbers = None
        text = ids.cast(pl.String).str.strip_chars()
        return self._text.encode(text)

    def vocabulary(self, codes: Int32Array) -> tuple[Vocabulary, Int32Array]:
        """Give the ids behind `codes` the indices 1..n in the order of the raw ids.

        Args:
            codes: (n,) distinct codes.

        Returns:
            The vocabulary, and (len(self),) int32, index of every code, 0 where it is not chosen.
        """
        if self._numbers is not None:
            raw = self._numbers.known()[codes]
            order = np.argsort(raw)
            vocabulary = Vocabulary.of_numbers(raw[order])
        else:
            chosen = self._text.known().gather(codes)
            order = chosen.arg_sort().to_numpy()
            vocabulary = Vocabulary.of_text(chosen.gather(order).to_list())
        index_of = np.zeros(len(self), dtype=np.int32)
        index_of[codes[order]] = np.arange(1, len(codes) + 1, dtype=np.int32)
        return vocabulary, index_of


def whole_numbers(ids: pl.Series) -> pl.Series | None:
    """Return the ids as Int64 if each is a whole number in plain writing, else None.

    `007` and `+7` are not plain: as numbers they would become one id with `7`.
    """
    if ids.dtype.is_integer():
        whole = ids.cast(pl.Int64, strict=False)  # above 2^63 - 1 they are kept as text
        return whole if whole.null_count() == ids.null_count() else None
    if ids.dtype.is_float():  # a column of whole numbers with gaps, as pandas keeps it
        whole = ids.fill_nan(None).cast(pl.Int64, strict=False)
        return whole if (whole == ids).all() else None
    if ids.dtype != pl.String:
        return None
    numbers = ids.cast(pl.Int64, strict=False)
    if numbers.null_count() > ids.null_count():
        ids = ids.str.strip_chars()
        numbers = ids.cast(pl.Int64, strict=False)
    if numbers.null_count() > ids.null_count():
        return None
    odd = (ids.str.starts_with("0") & (ids.str.len_bytes() > 1)) | ids.str.contains(r"^(\+|-0)")
    return None if odd.any() else numbers


class _NumberCodes:
    """Codes of int64 keys; a hash table with open addressing once there are many rows."""

    def __init__(self) -> None:
        self._slots = np.empty(0, dtype=np.int32)
        self._keys = np.empty(1 << 11, dtype=np.int64)
        self._count = 0
        self._rows = 0

    def __len__(self) -> int:
        return self._count

    def known(self) -> Int64Array:
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
        distinct, first, place = np.unique(raw[present], return_index=True, return_inverse=True)
        by_key = np.argsort(self.known())
        at = np.searchsorted(self.known(), distinct, sorter=by_key)
        code = np.append(by_key, -1)[at].astype(np.int32)  # (distinct,)
        new = np.flatnonzero((code < 0) | (self._keys[code] != distinct))
        new = new[np.argsort(first[new])]
        code[new] = np.arange(self._count, self._count + len(new))
        self._keys[code[new]] = distinct[new]
        self._count += len(new)
        codes[present] = code[place]
        return codes

    def _encode_by_hashing(self, raw: Int64Array, missing: BoolArray) -> Int32Array:
        from nextclick.data.id_hash_kernels import assign_codes, rehash

        count = self._count + len(raw)
        if count > _LOAD * len(self._slots):
            n_slots = 1 << int(np.ceil(np.log2(count / _LOAD)))
            self._slots = np.full(n_slots, -1, dtype=np.int32)
            rehash(self.known(), self._slots)
        codes = np.empty(len(raw), dtype=np.int32)
        self._count = assign_codes(raw, missing, self._slots, self._keys, self._count, codes)
        return codes

    def _grow_keys(self, count: int) -> None:
        if count > len(self._keys):
            grown = np.empty(max(count, len(self._keys) * 3 // 2), dtype=np.int64)
            grown[: self._count] = self.known()
            self._keys = grown


class _TextCodes:
    """Text by Polars' own dictionary, of which this holds one apart from all others."""

    def __init__(self) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        # Polars forgets a dictionary when the last column of its type is gone
        self._held = pl.Series([], dtype=self._type)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def known(self) -> pl.Series:
        return self._type.categories.to_series()

    def encode(self, ids: pl.Series) -> Int32Array:
        codes = ids.cast(self._type).to_physical().cast(pl.Int32).fill_null(-1).to_numpy()
        self._count = max(self._count, int(codes.max(initial=-1)) + 1)
        return codes
