"""What a model that goes on learning has to know of the log that it has learned from.

A model goes on in one of three ways, and says so by the method that it has:

- `extended(new, past, progress=…)`: exactly, as if it had learned from both logs at once;
- `advance(sessions)`: block of time by block of time, see `last_block`; one that is trained as well
  has `continue_training(older)`, after which the trainer's sessions see the blocks before their own;
- anything else is trained on from the weights that it has: `tuned(new, steps)`, or for a neural
  model the trainer. Rows of new items come first (`item_arrays` names what has such rows).

`needs_sessions = True` says that `extended` needs the older sessions themselves.
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
