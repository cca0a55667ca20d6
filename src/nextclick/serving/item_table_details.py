"""The details of items in the item table of an artifact, for a server without an item file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.serving.item_details import COLUMNS, ITEM_COLUMN, ItemRows, normalized

if TYPE_CHECKING:
    from nextclick.artifact import Artifact


def table_rows(artifact: Artifact) -> ItemRows | None:
    """The rows of an artifact's item table; None if it has none, or no column that is shown."""
    table = artifact.item_table
    if table is None:
        return None
    shown = {}
    for column, names in COLUMNS.items():
        found = [one for one in table.columns if normalized(one.name) in names]
        if column != ITEM_COLUMN and found:
            shown[column] = _texts(found[0])
    if not shown:
        return None
    rows = ItemRows()
    for index, raw in enumerate(artifact.items.ids(), start=1):
        values = {column: texts[index] for column, texts in shown.items()}
        if any(values.values()):
            rows.add({ITEM_COLUMN: str(raw), **values})
    return rows


def _texts(column: Any) -> list[str]:
    """(N + 1,) the values of a column as text, empty where they are missing."""
    if column.kind == "category":
        labels = ["", *map(str, column.values.labels.ids())]
        return [labels[code] for code in column.values.codes.tolist()]
    if column.kind == "number":
        return ["" if np.isnan(value) else f"{value:.2f}" for value in column.values.tolist()]
    return ["", *map(str, column.values.ids())]
