"""The share of the clicks of the test period that an evaluation asks a model to predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray
    from nextclick.data.click_table import ClickTable
    from nextclick.data.part_selection import PartSelection
    from nextclick.data.split import Split


@dataclass(frozen=True, slots=True)
class PredictedShare:
    """Clicks of the test period.

    Attributes:
        targets: clicks that are the target of a prefix.
        clicks: all clicks of the period before the filters, first clicks of sessions included.
    """

    targets: int
    clicks: int

    @property
    def share(self) -> float:
        """Share of the clicks that are targets, in 0..1."""
        return self.targets / self.clicks


def count_predicted(
    table: ClickTable, n_train: int | None, split: Split, selection: PartSelection
) -> PredictedShare:
    """Count the targets of the selected test sessions and all clicks of the period of the split.

    Args:
        table: all clicks.
        n_train: number of training sessions of a pre-split log, else None.
        split: the split before the selection.
        selection: the sessions and clicks of the test part.
    """
    lengths = selection.table.remaining_lengths()[selection.test]
    in_period = _sessions_of_period(table, n_train, split)
    clicks = int(np.diff(table.offsets)[in_period].sum())
    return PredictedShare(int(np.maximum(lengths - 1, 0).sum()), clicks)


def _sessions_of_period(table: ClickTable, n_train: int | None, split: Split) -> BoolArray:
    """Return (S,) whether a session ends in the test period, whether or not a filter drops it."""
    if n_train is not None:
        return np.arange(len(table)) >= n_train
    ends = table.ends()
    if ends is None:
        ends = np.arange(len(table))  # the order of the log
    test_ends = ends[split.test]
    start = int(test_ends.min())
    if split.boundary_ms is not None and split.n_edge == 0:
        start = split.boundary_ms
    in_period: BoolArray = ends >= start
    if split.stop_ms is not None:
        in_period &= ends < split.stop_ms
    in_period[split.train] = False  # sessions at the boundary of a split by number
    return in_period
