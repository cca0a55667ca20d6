"""Array types, sparse scores, and the protocols of scorers and progress callbacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nextclick.core.session_batch import SessionBatch

Int32Array: TypeAlias = NDArray[np.int32]
Int64Array: TypeAlias = NDArray[np.int64]
Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]
RawId: TypeAlias = int | str


class Progress(Protocol):
    """Progress callback of a long-running task.

    The name of a stage ends at its first " · "; the rest of `stage` is status text that may
    change with every call.
    """

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Report that `done` of `total` units are complete; `total` is None if unknown."""
        ...


def silent(stage: str, done: int, total: int | None) -> None:
    """A `Progress` callback that does nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class SparseScores:
    """Scores of B sessions over N items, where most items have the same score in every row.

    The score of item i in row b is `values[j]` if `items[j] == i` for a j in
    `offsets[b]..offsets[b + 1] - 1`, else `base[i]`. A row lists each item at most once, and
    never item 0.

    Attributes:
        offsets: (B + 1,) int64.
        items: (J,) int32 in 1..N.
        values: (J,) float32, finite.
        base: (N + 1,) float32, finite, the scores of items that a row does not list.
    """

    offsets: Int64Array
    items: Int32Array
    values: Float32Array
    base: Float32Array

    def lookup(self, row: int, items: Int32Array) -> Float32Array:
        """(n,) float32, the scores of `items` (n,) in one row."""
        scores = self.base[items].copy()
        first, last = self.offsets[row], self.offsets[row + 1]
        listed = self.items[first:last]
        if len(listed) == 0:
            return scores
        order = np.argsort(listed)
        rank = np.minimum(np.searchsorted(listed, items, sorter=order), len(listed) - 1)
        position = order[rank]  # (n,), in `listed`
        is_listed = listed[position] == items
        scores[is_listed] = self.values[first:last][position[is_listed]]
        return scores

    def dense(self) -> Float32Array:
        """(B, N + 1) float32, the scores in dense form."""
        n_rows = len(self.offsets) - 1
        scores = np.tile(self.base, (n_rows, 1))  # (B, N + 1)
        rows = np.repeat(np.arange(n_rows), np.diff(self.offsets))
        scores[rows, self.items] = self.values
        return scores


@runtime_checkable
class Scorer(Protocol):
    """A next-click model: maps a batch of sessions to scores over all items."""

    @property
    def n_items(self) -> int:
        """N, the number of items; scores have N + 1 columns."""
        ...

    def score(self, batch: SessionBatch) -> Float32Array:
        """Return (B, N + 1) float32, finite; column 0 is padding and has no meaning.

        A row of `batch` may be empty; the model then scores as for an unknown user without
        clicks. Rows are independent.
        """
        ...


@runtime_checkable
class SparseScorer(Scorer, Protocol):
    """A scorer that also returns sparse scores: few items per row differ from the base."""

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """Return the scores of `score` in sparse form."""
        ...
