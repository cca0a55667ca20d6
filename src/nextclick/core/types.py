"""Aliases for arrays, and the one call that every model answers."""

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
    """Told how far long work has come; `total` is None while it is not known.

    A stage is known by what stands before its first " · "; what follows are figures, which may
    differ with every call.
    """

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Take note."""
        ...


def silent(stage: str, done: int, total: int | None) -> None:
    """A `Progress` that says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class SparseScores:
    """Scores of B sessions over all N items, where most items have the same score in every row.

    Item i of row b scores `values[j]` if `items[j] == i` for one j in
    `offsets[b]..offsets[b + 1] - 1`, and `base[i]` if there is none. Within a row an item stands
    at most once, and never item 0.

    Attributes:
        offsets: (B + 1,) int64.
        items: (J,) int32 in 1..N.
        values: (J,) float32, finite.
        base: (N + 1,) float32, finite, the score of an item that a row does not list.
    """

    offsets: Int64Array
    items: Int32Array
    values: Float32Array
    base: Float32Array

    def of(self, row: int, items: Int32Array) -> Float32Array:
        """(n,) float32, the scores of some items in one row."""
        first, last = self.offsets[row], self.offsets[row + 1]
        listed = self.items[first:last]
        order = np.argsort(listed)
        at = np.searchsorted(listed, items, sorter=order)
        at = order[np.minimum(at, len(listed) - 1)] if len(listed) else np.zeros_like(items)
        found = listed[at] == items if len(listed) else np.zeros(len(items), dtype=np.bool_)
        scores = self.base[items].copy()
        scores[found] = self.values[first:last][at[found]]
        return scores

    def dense(self) -> Float32Array:
        """(B, N + 1) float32, the same scores written out."""
        n_rows = len(self.offsets) - 1
        scores = np.tile(self.base, (n_rows, 1))  # (B, N + 1)
        rows = np.repeat(np.arange(n_rows), np.diff(self.offsets))
        scores[rows, self.items] = self.values
        return scores


@runtime_checkable
class Scorer(Protocol):
    """Anything that can say what comes next: a batch of sessions in, scores over all items out."""

    @property
    def n_items(self) -> int:
        """N; scores have N + 1 columns."""
        ...

    def score(self, batch: SessionBatch) -> Float32Array:
        """Return (B, N + 1) float32, finite; column 0 is padding and means nothing.

        A row of `batch` may be empty (no known item); the model then answers as for a visitor
        of whom nothing is known. Rows do not influence each other.
        """
        ...


@runtime_checkable
class SparseScorer(Scorer, Protocol):
    """A scorer that can name the few items whose score depends on the session."""

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """Return the scores of `score`, in sparse form."""
        ...
