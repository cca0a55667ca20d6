"""The arrays that an encoder reads of a batch of sessions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from nextclick.core.session_history import SessionHistory

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.types import AnyArray, Float32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class SessionInputs:
    """The latest clicks of R sessions.

    Attributes:
        items: (R, T) int64, 0 for padding.
        last: (R,) int64, the position of the last click.
        arrays: gaps (R, T), waited (R, T) and users (R,), those that the encoder reads.
        history: the earlier sessions, if the encoder reads them.
    """

    items: Int64Array
    last: Int64Array
    arrays: dict[str, AnyArray] = field(default_factory=dict)
    history: SessionHistory | None = None

    @classmethod
    def of(
        cls,
        batch: SessionBatch,
        rows: AnyArray,
        *,
        max_length: int | None,
        reads: frozenset[str],
        earlier_sessions: int = 0,
    ) -> Self:
        """Build the inputs of some rows of a batch.

        Args:
            batch: the sessions.
            rows: (R,) rows; one without a click has `last` -1.
            max_length: number of latest clicks; None is all.
            reads: inputs besides clicks: "times", "users".
            earlier_sessions: number of latest earlier sessions.
        """
        lengths = batch.lengths[rows].astype(np.int64)
        T = int(lengths.max()) if max_length is None else min(int(lengths.max()), max_length)
        n_read = np.minimum(lengths, T)  # (R,)
        columns = (lengths - n_read)[:, None] + np.arange(T)  # (R, T)
        columns = np.minimum(columns, max(batch.items.shape[1] - 1, 0))
        is_click = np.arange(T) < n_read[:, None]  # (R, T)
        items = np.where(is_click, np.take_along_axis(batch.items[rows], columns, 1), 0)
        arrays: dict[str, AnyArray] = {}
        if "times" in reads:
            gaps = np.full(items.shape, np.nan, dtype=np.float32)
            if batch.gaps is not None:
                gaps = np.where(is_click, np.take_along_axis(batch.gaps[rows], columns, 1), np.nan)
            gaps[:, :1] = 0.0
            arrays["gaps"] = gaps
            arrays["waited"] = _waited(gaps, n_read, batch, rows)
        if "users" in reads:
            users = batch.users
            arrays["users"] = np.zeros(len(rows), np.int64) if users is None else users[rows]
        history = None
        if earlier_sessions:
            history = SessionHistory.empty(len(rows))
            if batch.history is not None:
                history = batch.history.take(rows).latest(earlier_sessions)
        return cls(items.astype(np.int64), n_read - 1, arrays, history)

    def with_start(self) -> Self:
        """The same with an item 0 before the first click of each row, so that R rows have T + 1."""
        arrays = {
            name: np.pad(array, ((0, 0), (1, 0))) if array.ndim == 2 else array
            for name, array in self.arrays.items()
        }
        items = np.pad(self.items, ((0, 0), (1, 0)))
        return replace(self, items=items, last=self.last + 1, arrays=arrays)

    @property
    def cells(self) -> Int64Array:
        """(R,) int64, the cell r * T + t of the last click of each row."""
        cells: Int64Array = np.arange(len(self.items)) * self.items.shape[1] + self.last
        return cells


def to_tensor(array: AnyArray) -> Tensor:
    """The tensor of an array, int64 or float32."""
    dtype = np.int64 if array.dtype.kind == "i" else np.float32
    return torch.from_numpy(np.ascontiguousarray(array, dtype=dtype))


def _waited(gaps: AnyArray, lengths: AnyArray, batch: SessionBatch, rows: AnyArray) -> Float32Array:
    """(R, T) seconds from each click to the next, and from the last one to the prediction."""
    waited = np.zeros(gaps.shape, dtype=np.float32)
    waited[:, :-1] = gaps[:, 1:]
    since_last = 0.0 if batch.time_since_last_click is None else batch.time_since_last_click[rows]
    clicked = np.flatnonzero(lengths)
    waited[clicked, lengths[clicked] - 1] = np.broadcast_to(since_last, len(rows))[clicked]
    return waited
