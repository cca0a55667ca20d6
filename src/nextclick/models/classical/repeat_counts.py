"""Counts of returns to items of the session, the sufficient statistic of the repeat model.

Before each click of a training session after its first, every item of the session is offered
once, in the cell of its features, and returned to if the click is on it. The features:

    steps     clicks back to the latest click on the item, 1 = the last click
    clicks    clicks on the item
    distinct  distinct items of the session

Items are offered for at most `WINDOW` clicks after their latest click, and a click after more
than that is a first click; this bounds the work by `WINDOW` per click. Clicks on unknown items are
left out. Counts of two logs add up to the counts of both, so an update is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from nextclick.core.array_checks import ArrayError, check_array, check_range, named_array
from nextclick.core.compiled_above import compiled_above
from nextclick.models.classical.ragged import expand_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Int32Array, Int64Array

WINDOW = 100
STEPS_BUCKET = np.array([0, 0, 1, 2, 3, 4, 5, 5, 6, 6, 6, *[7] * 10, 8])  # 1, …, 5, 7, 10, 20, more
CLICKS_BUCKET = np.array([0, 0, 1, 2])  # 1, 2, more
DISTINCT_BUCKET = np.array([0, 0, 1, 2, 3, 3, 4])  # 1, 2, 3, 5, more
SHAPE = (9, 3, 5)
N_CELLS = 9 * 3 * 5
_CLICKS_PER_CHUNK = 1 << 16  # bounds the memory of intermediate arrays


def cells(steps: AnyArray, clicks: AnyArray, distinct: AnyArray) -> Int64Array:
    """The cell in 0..N_CELLS - 1 of items with these features, all at least 1."""
    steps = STEPS_BUCKET[np.minimum(steps, len(STEPS_BUCKET) - 1)]
    clicks = CLICKS_BUCKET[np.minimum(clicks, len(CLICKS_BUCKET) - 1)]
    distinct = DISTINCT_BUCKET[np.minimum(distinct, len(DISTINCT_BUCKET) - 1)]
    cell: Int64Array = (steps * SHAPE[1] + clicks) * SHAPE[2] + distinct
    return cell


@dataclass(frozen=True, slots=True, eq=False)
class RepeatCounts:
    """How often the items of a session were offered and returned to, by cell.

    Attributes:
        offered: (9, 3, 5) int64, by steps, clicks and distinct items.
        returned: (9, 3, 5) int64, at most `offered`.
    """

    offered: Int64Array
    returned: Int64Array

    @classmethod
    def from_sessions(cls, sessions: Sessions) -> Self:
        """Count the sessions."""
        offered = np.zeros(N_CELLS, dtype=np.int64)
        returned = np.zeros(N_CELLS, dtype=np.int64)
        for items, offsets in _known_clicks(sessions):
            n_offered, n_returned = count_returns(items, offsets)
            offered += n_offered
            returned += n_returned
        return cls(offered.reshape(SHAPE), returned.reshape(SHAPE))

    def add(self, other: RepeatCounts) -> RepeatCounts:
        """The counts of both logs."""
        return RepeatCounts(self.offered + other.offered, self.returned + other.returned)

    @property
    def share(self) -> float:
        """The share of the clicks after the first that return to an item of the session."""
        n_prefixes = int(self.offered[0].sum())  # each prefix has one last click
        return float(self.returned.sum() / n_prefixes) if n_prefixes else 0.0

    def state(self) -> dict[str, AnyArray]:
        """The arrays by name."""
        return {"repeat_offered": self.offered, "repeat_returned": self.returned}

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray]) -> Self:
        """Build the counts from the arrays of `state`."""
        return cls(state["repeat_offered"], state["repeat_returned"])

    @staticmethod
    def check_state(state: Mapping[str, AnyArray]) -> None:
        """Check the arrays of a file.

        Raises:
            ArrayError: an array is missing, or has another type, shape or range.
        """
        for name in ("repeat_offered", "repeat_returned"):
            counts = named_array(state, name)
            check_array(name, counts, np.int64, 3)
            if counts.shape != SHAPE:
                raise ArrayError(f"{name} must have shape {SHAPE}, got {counts.shape}")
            check_range(name, counts, 0, 2**53)
        if (state["repeat_returned"] > state["repeat_offered"]).any():
            raise ArrayError("repeat_returned must be at most repeat_offered, but exceeds it")


def _known_clicks(sessions: Sessions) -> Iterator[tuple[Int32Array, Int64Array]]:
    """Chunks of whole sessions without clicks on unknown items: items and offsets from 0."""
    for _, chunk in sessions.chunks(_CLICKS_PER_CHUNK):
        known = chunk.items > 0
        n_known = np.concatenate([[0], np.cumsum(known)])
        yield chunk.items[known], n_known[chunk.offsets]


@compiled_above(
    1_000_000,
    kernel="nextclick.models.classical.repeat_kernels:count_returns",
    work=lambda items, _: len(items),
)
def count_returns(items: Int32Array, offsets: Int64Array) -> tuple[Int64Array, Int64Array]:
    """(N_CELLS,) how often items were offered, and (N_CELLS,) returned to."""
    session = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))  # (E,)
    keys = session * (int(items.max(initial=0)) + 1) + items
    order = np.argsort(keys, kind="stable")
    is_return = np.diff(keys[order], prepend=-1) == 0  # in sorted order
    is_return[1:] &= np.diff(order) <= WINDOW
    position = np.arange(len(order))
    chain_start = np.maximum.accumulate(np.where(is_return, 0, position))
    clicks = np.empty_like(order)  # (E,) clicks on the item so far
    clicks[order] = position - chain_start + 1
    is_first = clicks == 1
    n_first = np.concatenate([[0], np.cumsum(is_first)])
    distinct = n_first[1:] - n_first[offsets[session]]  # (E,) including the click itself
    following = np.full(len(order), -1)  # the return to each click
    following[order[:-1][is_return[1:]]] = order[1:][is_return[1:]]
    end = np.minimum(offsets[session + 1] - 1, np.arange(len(order)) + WINDOW)
    last = np.where(following >= 0, following, end)  # of the clicks before which it is offered
    click, later = expand_ranges(np.arange(len(order)) + 1, last + 1)
    offered = cells(later - click, clicks[click], distinct[later - 1])
    returned = offered[following[click] == later]
    return (
        np.bincount(offered, minlength=N_CELLS),
        np.bincount(returned, minlength=N_CELLS),
    )
