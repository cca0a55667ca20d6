"""A padded batch of sessions, the input of every model in training and in serving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.session_history import SessionHistory
    from nextclick.core.types import AnyArray, Float32Array, Int32Array


@dataclass(frozen=True, slots=True, eq=False)
class SessionBatch:
    """B sessions (or prefixes of sessions), right-padded to T clicks.

    Attributes:
        items: (B, T) int32 in 1..N where t < lengths[b], 0 for padding.
        lengths: (B,) int32 in 0..T.
        gaps: (B, T) float32, seconds since the previous click (0 for a first click), or None.
        users: (B,) int32, 0 for an unknown user, or None.
        time_since_last_click: (B,) float32, seconds from the last click to prediction time;
            None is 0 seconds.
        history: earlier sessions of the visitors, for models that read them, or None.
    """

    items: Int32Array
    lengths: Int32Array
    gaps: Float32Array | None = None
    users: Int32Array | None = None
    time_since_last_click: Float32Array | None = None
    history: SessionHistory | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, rows: AnyArray | slice) -> SessionBatch:
        """The rows of a mask, of indices or of a slice, with unchanged padding."""
        waited = self.time_since_last_click
        return SessionBatch(
            items=self.items[rows],
            lengths=self.lengths[rows],
            gaps=None if self.gaps is None else self.gaps[rows],
            users=None if self.users is None else self.users[rows],
            time_since_last_click=None if waited is None else waited[rows],
            history=None if self.history is None else self.history.take(rows),
        )

    @classmethod
    def from_lists(cls, sessions: Sequence[Sequence[int] | Int32Array]) -> SessionBatch:
        """Build a batch from lists of item indices.

        >>> SessionBatch.from_lists([[3, 1], [2]]).items.tolist()
        [[3, 1], [2, 0]]
        """
        lengths = np.array([len(s) for s in sessions], dtype=np.int32)
        width = int(lengths.max()) if len(lengths) else 0
        items = np.zeros((len(sessions), width), dtype=np.int32)
        for row, session in zip(items, sessions, strict=True):
            row[: len(session)] = session
        return cls(items=items, lengths=lengths)
