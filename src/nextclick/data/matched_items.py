"""An item table matched to the items of a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.data.options import ItemOptions
from nextclick.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from nextclick.core.item_table import ItemTable
    from nextclick.core.types import BoolArray, Int32Array
    from nextclick.data.encode import IdEncoder
    from nextclick.data.item_file import ItemRows


@dataclass(frozen=True, slots=True)
class MatchedItems:
    """The rows of an item table and the item codes of their ids.

    Attributes:
        rows: the item table.
        codes: (R,) int32, the code of the id of each row.
        catalog: `clicked`, or `all` if the store has items without clicks as well.
        n_clicked: number of rows whose item the log clicks.
        notes: items without a row, and rows without a click.
    """

    rows: ItemRows
    codes: Int32Array
    catalog: str
    n_clicked: int
    notes: list[str]

    def listed(self, n_items: int) -> BoolArray | None:
        """(n_items,) bool, items that are known without a click in training; None for none."""
        if self.catalog == "clicked":
            return None
        listed = np.zeros(n_items, dtype=np.bool_)
        listed[self.codes] = True
        return listed

    def table_of(self, item_index: Int32Array, n_items: int) -> ItemTable:
        """The features of the items of a store.

        Args:
            item_index: the index of each item code in 1..N, 0 for items outside of the store.
            n_items: N.
        """
        row_of = np.zeros(n_items + 1, dtype=np.int32)
        row_of[item_index[self.codes]] = np.arange(1, len(self.codes) + 1, dtype=np.int32)
        row_of[0] = 0  # of the items outside of the store
        return self.rows.table.take(row_of)

    def report(self) -> dict[str, Any]:
        """What was read, as JSON types."""
        rows = self.rows
        return {
            "file": rows.label,
            "id_column": rows.id_column,
            "columns": rows.table.kinds,
            "missing": {
                column.name: len(rows.ids) - int(column.has_value().sum())
                for column in rows.table.columns
            },
            "rows": len(rows.ids),
            "rows_of_clicked_items": self.n_clicked,
            "repeated_rows": rows.repeated_rows,
            "bad_rows": rows.bad_rows.count,
            "bad_row_examples": rows.bad_rows.examples,
            "catalog": self.catalog,
        }


def check_item_options(options: ItemOptions) -> None:
    """Check that options of the item table come with one.

    Raises:
        ConfigError: they do not.
    """
    if options.source is None and options != ItemOptions():
        raise ConfigError(
            "--items-id-column, --items-only and --items-kind describe an item table; name it "
            "with --items FILE"
        )


def match_items(rows: ItemRows, items: IdEncoder, options: ItemOptions) -> MatchedItems:
    """Match an item table to the items of a log; ids that the log lacks get codes of their own.

    Raises:
        SourceError: no id of the table occurs in the log.
    """
    n_log = len(items)
    examples = items.ids().head(1).to_list()
    codes = items.encode(rows.ids)
    n_clicked = int(np.count_nonzero(codes < n_log))
    if n_clicked == 0:
        raise SourceError(
            f"{rows.label}: no id in the column {rows.id_column!r} occurs in the log: the table "
            f"has {rows.ids[0]!r}, the log {examples[0]!r}; choose with --items-id-column"
        )
    notes = list(rows.notes)
    if n_clicked < n_log:
        notes.append(
            f"{n_log - n_clicked:,} of the {n_log:,} items of the log have no row in {rows.label}; "
            "their features are missing"
        )
    if n_clicked < len(codes) and options.catalog == "clicked":
        notes.append(
            f"{len(codes) - n_clicked:,} of the {len(codes):,} items of {rows.label} are not "
            "clicked in the log and were left out; --items-only all keeps them as candidates of "
            "models with features"
        )
    if rows.repeated_rows:
        notes.append(f"{rows.label}: dropped {rows.repeated_rows:,} rows that occur twice")
    if rows.bad_rows.count:
        notes.append(
            f"{rows.label}: skipped {rows.bad_rows.count:,} bad rows, the first is row "
            f"{rows.bad_rows.examples[0]['row']}: {rows.bad_rows.examples[0]['reason']}"
        )
    return MatchedItems(rows, codes, options.catalog, n_clicked, notes)
