"""Inputs of incremental updates: the older log and the fine-tuning parameters.

`Capabilities.update` declares how a model is updated: by `update_exactly` (exact), by `advance`
(block by block), or by further training, after `Model.grow_catalog` has added rows for new items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.item_table import ItemTable
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Int32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class PriorSessions:
    """The older log, in the joint vocabulary of both logs.

    Attributes:
        index: (N + 1,) int32, index in the joint vocabulary of each of the N items of the model.
        n_items: size of the joint vocabulary.
        n_sessions: number of sessions in the older log.
        support: (n_items + 1,) int64, clicks per item in the older log.
        sessions: the older sessions in the joint vocabulary; None if they are not available.
        item_table: features of the items of the joint vocabulary; None without a newer item table.
    """

    index: Int32Array
    n_items: int
    n_sessions: int
    support: Int64Array
    sessions: Sessions | None = None
    item_table: ItemTable | None = None

    def concatenate(self, new: Sessions) -> Sessions:
        """The older sessions followed by the new ones."""
        assert self.sessions is not None
        return self.sessions.concatenate(new)


@dataclass(frozen=True, slots=True)
class FineTuneSettings:
    """Parameters of fine-tuning.

    Attributes:
        epochs: maximum number of passes over the new sessions.
        rate: factor of the original learning rate.
        minutes: time limit.
        seed: seed of all random numbers.
    """

    epochs: int
    rate: float
    minutes: float
    seed: int


def scatter_rows(array: AnyArray, index: Int32Array, n_items: int) -> AnyArray:
    """Move the rows of (N + 1, …) to `index` in an array (n_items + 1, …); other rows are 0."""
    scattered = np.zeros((n_items + 1, *array.shape[1:]), dtype=array.dtype)
    scattered[index] = array
    return scattered
