"""A newer item table for a refresh: features of the items of a model and of new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.vocabulary import Vocabulary
from nextclick.data.item_file import read_item_rows
from nextclick.data.options import ItemOptions, ReadOptions
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.artifact import Artifact
    from nextclick.core.item_table import ItemTable
    from nextclick.core.types import Int32Array


class NewerItems:
    """The rows of a newer item table.

    Attributes:
        vocabulary: the ids of the rows; index r is row r.
        table: the features of the rows.
        lists_unclicked: whether items without a click are added to the catalog.
        notes: what a reader of the report should know.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        table: ItemTable,
        lists_unclicked: bool,
        notes: Sequence[str] = (),
    ):
        self.vocabulary = vocabulary
        self.table = table
        self.lists_unclicked = lists_unclicked
        self.notes = list(notes)

    @classmethod
    def read(cls, base: Artifact, options: ItemOptions, read: ReadOptions) -> NewerItems:
        """Read the item table of a refresh.

        The kinds of its columns are those of the table of the model.

        Raises:
            SourceError: the table cannot be read.
            ConfigError: the model has no item table, or the newer one lacks a column of it.
        """
        if base.item_table is None:
            raise ConfigError(
                f"--items: the artifact of {base.model.name} has no item table; prepare a store "
                "with --items, and train on it"
            )
        kinds = tuple(f"{name}={kind}" for name, kind in base.item_table.kinds.items())
        of_base = ItemOptions(options.source, options.id_column, kinds=kinds)
        rows = read_item_rows(of_base, read)
        ids = rows.ids.to_list()
        order = sorted(range(len(ids)), key=ids.__getitem__)
        index = np.append(0, np.array(order, dtype=np.int32) + 1).astype(np.int32)
        chosen = [ids[row] for row in order]
        numbers = rows.ids.dtype.is_integer()
        vocabulary = (
            Vocabulary.from_integers(np.array(chosen, dtype=np.int64))
            if numbers
            else Vocabulary.from_strings(chosen)
        )
        if not numbers and not base.items.is_text:
            raise ConfigError(
                f"--items: {rows.label} has the id {chosen[-1]!r}, which is text, but the ids of "
                "the model are integers; choose with --items-id-column, or correct the ids"
            )
        lists_unclicked = base.trained.get("catalog") == "all"
        return cls(vocabulary, rows.table.take(index), lists_unclicked, rows.notes)

    def joined(self, base: ItemTable, from_base: Int32Array, items: Vocabulary) -> ItemTable:
        """The features of a joint vocabulary; a newer row replaces that of the model.

        Args:
            base: the item table of the model.
            from_base: (N + 1,) the joint index of each item of the model.
            items: the joint vocabulary.

        Raises:
            ConfigError: the newer table lacks a column.
        """
        rows = np.zeros(len(items) + 1, dtype=np.int32)
        rows[from_base] = np.arange(len(from_base), dtype=np.int32)
        index = items.indices(self.vocabulary.ids())
        rows[index] = base.n_items + np.arange(1, len(index) + 1, dtype=np.int32)
        rows[0] = 0  # of the items outside of the catalog
        return base.concatenate(self.table).take(rows)
