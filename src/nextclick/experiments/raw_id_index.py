"""The indices of columns of raw ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from nextclick.core.types import Int32Array
    from nextclick.core.vocabulary import Vocabulary


class RawIdIndex:
    """The indices of raw ids in a vocabulary, for columns of ids."""

    def __init__(self, vocabulary: Vocabulary):
        ids = vocabulary.ids()
        self._type: Any = pl.String if vocabulary.is_text else pl.Int64
        self._table = pl.DataFrame(
            {"id": pl.Series(ids, dtype=self._type), "index": pl.Series(range(1, len(ids) + 1))},
            schema_overrides={"index": pl.Int32},
        )

    def indices(self, ids: pl.Series) -> Int32Array:
        """(n,) int32, as `Vocabulary.index` of each id; 0 for unknown and missing ids."""
        keys = ids.cast(self._type, strict=False)
        if ids.dtype == pl.String and self._type == pl.Int64:  # "007" is not 7
            keys = keys.set(keys.cast(pl.String) != ids, None)
        found = pl.DataFrame({"id": keys}).join(
            self._table, on="id", how="left", maintain_order="left"
        )
        indices: Int32Array = found["index"].fill_null(0).to_numpy()
        return indices
