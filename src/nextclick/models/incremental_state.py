"""What an incremental update is given: the older log, and how long to train.

`Capabilities.update` declares which of the three ways a model takes: `extended` (exact), `advance`
(block by block), or further training, before which rows for new items are added
(`Model.grow_catalog`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Int32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class PriorSessions:
    """The older log, in a vocabulary that holds its items and those of the new log.

    Attributes:
        index: (N + 1,) int32, the index there of each of the N items that the model knows.
        n_items: how many the vocabulary has.
        n_sessions: sessions of the older log.
        support: (n_items + 1,) int64, its clicks per item.
        sessions: the older log itself, in the new indices; None where nobody kept it.
    """

    index: Int32Array
    n_items: int
    n_sessions: int
    support: Int64Array
    sessions: Sessions | None = None

    def both(self, new: Sessions) -> Sessions:
        """The older sessions followed by the new ones."""
        assert self.sessions is not None
        return self.sessions.followed_by(new)


@dataclass(frozen=True, slots=True)
class FineTuneSteps:
    """How a model is trained on.

    Attributes:
        epochs: passes over the new sessions, at most.
        rate: of the learning rate that it was trained with, the share to go on with.
        minutes: no more than that.
        seed: of everything random.
    """

    epochs: int
    rate: float
    minutes: float
    seed: int


def scatter_rows(array: AnyArray, index: Int32Array, n_items: int) -> AnyArray:
    """(n_items + 1, …) the rows of (N + 1, …) at the places `index`; rows of nobody are 0."""
    moved = np.zeros((n_items + 1, *array.shape[1:]), dtype=array.dtype)
    moved[index] = array
    return moved
