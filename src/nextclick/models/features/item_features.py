"""Rows of embeddings for the features of items.

A feature of an item is a set of rows of an embedding; row 0 is a missing value.

- category: one row per label. Labels of fewer than `MIN_LABEL_ITEMS` items share row 1, as does a
  label that training does not have.
- number: one row per bin. The bounds are quantiles.
- text: rows of hashed words, pairs of words and letter trigrams, at most `MAX_TOKENS` of an item.

Labels, bounds and the number of rows are learned from the items that training clicks.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from nextclick.core.array_checks import check_array
from nextclick.core.item_columns import CategoryColumn, NumberColumn, TextColumn
from nextclick.errors import ConfigError
from nextclick.models.features.feature_options import feature_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nextclick.core.item_columns import ItemColumn
    from nextclick.core.item_table import ItemTable
    from nextclick.core.types import AnyArray, BoolArray, Int32Array, Int64Array

MIN_LABEL_ITEMS = 2
N_BINS = 16
MAX_TOKENS = 48
SHARED_ROW = 1  # of rare and unknown labels
_MIN_ROWS, _MAX_ROWS = 1 << 8, 1 << 16  # of a text
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """How the values of a column become rows.

    Attributes:
        name: the column.
        n_rows: number of rows, row 0 included.
        keys: category: (C,) int64, ascending hashes of the labels of rows 2..C + 1; else None.
        bounds: number: (Q,) float64, ascending bounds of the bins; else None.
    """

    name: str
    n_rows: int
    keys: Int64Array | None = None
    bounds: AnyArray | None = None

    @classmethod
    def learn(cls, column: ItemColumn, clicked: BoolArray) -> Feature:
        """Learn the rows from the values of clicked items.

        Args:
            column: the column, of N + 1 items.
            clicked: (N + 1,) bool, the items that training clicks.
        """
        if isinstance(column, CategoryColumn):
            codes, labels = column.values
            counts = np.bincount(codes[clicked], minlength=len(labels) + 1)[1:]
            hashes = np.array([_hash(str(label)) for label in labels.ids()], dtype=np.int64)
            keys = np.unique(hashes[counts >= MIN_LABEL_ITEMS])
            return cls(column.name, len(keys) + 2, keys=keys)
        if isinstance(column, NumberColumn):
            values = column.values[clicked & ~np.isnan(column.values)]
            shares = np.linspace(0, 1, N_BINS + 1)[1:-1]
            bounds = np.unique(np.quantile(values, shares)) if len(values) else np.empty(0)
            return cls(column.name, len(bounds) + 2, bounds=bounds)
        texts = column.values.ids()
        distinct = {
            token for item in np.flatnonzero(clicked) for token in _tokens(str(texts[item - 1]))
        }
        n_buckets = 1 << int(np.ceil(np.log2(max(2 * len(distinct), 1))))
        return cls(column.name, min(max(n_buckets, _MIN_ROWS), _MAX_ROWS) + 1)

    @property
    def kind(self) -> str:
        """The kind of the column."""
        return "category" if self.keys is not None else "text" if self.bounds is None else "number"

    def rows(self, column: ItemColumn) -> Int32Array:
        """(N + 1, L) int32, the rows of each item, 0 beyond its last.

        Raises:
            ConfigError: the column is of another kind than in training.
        """
        if column.kind != self.kind:
            raise ConfigError(
                f"column {column.name!r} of the item table is of the kind {column.kind}, but the "
                f"model was trained with the kind {self.kind}; prepare the log with --items-kind "
                f"{column.name}={self.kind}"
            )
        if self.keys is not None:
            return self._rows_of_labels(column)[:, None]
        if self.bounds is not None:
            assert isinstance(column, NumberColumn)
            bins = np.searchsorted(self.bounds, column.values, side="right") + 1
            return np.where(np.isnan(column.values), 0, bins).astype(np.int32)[:, None]
        return self._rows_of_texts(column)

    def _rows_of_labels(self, column: ItemColumn) -> Int32Array:
        assert isinstance(column, CategoryColumn) and self.keys is not None
        codes, labels = column.values
        hashes = np.array([_hash(str(label)) for label in labels.ids()], dtype=np.int64)
        position = np.searchsorted(self.keys, hashes)
        found = np.append(self.keys, 0)[position] == hashes
        found &= position < len(self.keys)
        row_of_code = np.append(0, np.where(found, position + 2, SHARED_ROW))
        return np.asarray(row_of_code[codes], dtype=np.int32)

    def _rows_of_texts(self, column: ItemColumn) -> Int32Array:
        assert isinstance(column, TextColumn)
        rows = np.zeros((column.n_rows, MAX_TOKENS), dtype=np.int32)
        longest = 1
        for item, text in enumerate(column.values.ids(), 1):
            tokens = [crc32(token) % (self.n_rows - 1) + 1 for token in _tokens(str(text))]
            rows[item, : len(tokens)] = tokens
            longest = max(longest, len(tokens))
        return rows[:, :longest].copy()


@dataclass(frozen=True, slots=True, eq=False)
class ItemFeatures:
    """The features of a model, and their rows for the items of a catalog.

    Attributes:
        features: the features, in the order of the config.
        rows: (N + 1, L) int32 of each feature; None for a trained model, whose item vectors
            contain the features.
        clicked: (N + 1,) bool, the items that training clicks; None as `rows`.
    """

    features: tuple[Feature, ...]
    rows: tuple[Int32Array, ...] | None = None
    clicked: BoolArray | None = None

    @classmethod
    def learn(cls, config: Any, table: ItemTable | None, clicked: BoolArray) -> ItemFeatures | None:
        """Learn the features that a config names; None if it names none.

        Raises:
            ConfigError: there is no item table, or it has no such column.
        """
        if not feature_names(config):
            return None
        columns = feature_columns(config, table)
        features = tuple(Feature.learn(column, clicked) for column in columns)
        return cls(features).of_items(columns, clicked)

    def of_items(self, columns: Sequence[ItemColumn], clicked: BoolArray) -> ItemFeatures:
        """The same features with the rows of a catalog."""
        rows = tuple(f.rows(column) for f, column in zip(self.features, columns, strict=True))
        return ItemFeatures(self.features, rows, clicked)

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> ItemFeatures | None:
        """Read the features of a trained model back from its weights.

        Raises:
            ArrayError: an array has another type or shape.
            KeyError: an array is missing.
        """
        features = []
        for number, name in enumerate(feature_names(config)):
            prefix = f"items.features.{number}"
            n_rows = len(state[f"{prefix}.rows.weight"])
            keys, bounds = state.get(f"{prefix}.keys"), state.get(f"{prefix}.bounds")
            if keys is not None:
                check_array("keys", keys, np.int64)
            if bounds is not None:
                check_array("bounds", bounds, np.float64)
            features.append(Feature(name, n_rows, keys, bounds))
        return cls(tuple(features)) if features else None


def feature_columns(config: Any, table: ItemTable | None) -> list[ItemColumn]:
    """The columns that a config names.

    Raises:
        ConfigError: there is no item table, or it has no such column.
    """
    names = feature_names(config)
    if table is None:
        raise ConfigError(
            f"features={','.join(names)} reads the item table, and there is none: prepare the log "
            "with --items FILE, or omit features"
        )
    return [table.column(name) for name in names]


def known_items(config: Any, support: AnyArray, table: ItemTable | None) -> BoolArray:
    """(N + 1,) bool, the items that a model can rank.

    An item is known if training clicks it, or if the model reads features and the item has one.

    Args:
        config: the parameters of the model.
        support: (N + 1,) clicks of each item in training.
        table: features of the items, or None.
    """
    known = np.asarray(support) > 0
    if table is not None and feature_names(config):
        for column in feature_columns(config, table):
            known = known | column.has_value()
    known[0] = False
    return known


def _hash(label: str) -> int:
    digest = hashlib.blake2b(label.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _tokens(text: str) -> list[bytes]:
    """Distinct words, pairs of words and letter trigrams of a text, at most `MAX_TOKENS`."""
    words = _WORD.findall(text.lower())

    def every() -> Iterator[str]:
        yield from words
        yield from (f"{first} {second}" for first, second in pairwise(words))
        for word in words:
            marked = f"<{word}>"
            yield from (f"#{marked[i : i + 3]}" for i in range(len(marked) - 2))

    distinct = list(dict.fromkeys(every()))[:MAX_TOKENS]
    return [token.encode() for token in distinct]
