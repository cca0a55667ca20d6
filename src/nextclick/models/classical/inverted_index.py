"""The inverted index from items to sessions that the neighbor models are fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.compiled_above import compiled_above

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """The sessions that contain each item, newest first.

    Attributes:
        offsets: (N + 2,) int64; item i is in `sessions[offsets[i]:offsets[i + 1]]`. The list of
            item 0 is empty: unknown items are ignored.
        sessions: (J,) int32, session indices; a higher index is a later session.
        n_sessions: (N + 1,) int64, number of sessions with the item, listed or not.
    """

    offsets: Int64Array
    sessions: Int32Array
    n_sessions: Int64Array

    @classmethod
    def from_sessions(cls, sessions: Sessions, max_per_item: int | None = None) -> Postings:
        """List the `max_per_item` latest sessions of each item, or all of them.

        A session is listed once per item, even if it has several clicks on it. Memory: 4 bytes
        per (item, session) pair.
        """
        return cls(*invert(sessions.items, sessions.offsets, sessions.n_items, max_per_item))


@compiled_above(
    2_000_000,
    kernel="nextclick.models.classical.item_kernels:invert",
    work=lambda items, *_: len(items),
)
def invert(
    items: Int32Array, offsets: Int64Array, n_items: int, max_per_item: int | None
) -> tuple[Int64Array, Int32Array, Int64Array]:
    """Compute the fields of `Postings` from flat `items` and the `offsets` of the sessions."""
    n = len(offsets) - 1
    session = np.repeat(np.arange(n), np.diff(offsets))
    pairs = np.unique((items.astype(np.int64) << 32) | (n - 1 - session))
    item = pairs >> 32
    pairs, item = pairs[item > 0], item[item > 0]  # by item, newest session first
    n_sessions = np.bincount(item, minlength=n_items + 1)
    n_listed = n_sessions if max_per_item is None else np.minimum(n_sessions, max_per_item)
    listed_offsets = np.zeros(n_items + 2, dtype=np.int64)
    np.cumsum(n_listed, out=listed_offsets[1:])
    position = np.arange(len(item)) - (np.cumsum(n_sessions) - n_sessions)[item]
    sessions = n - 1 - (pairs[position < n_listed[item]] & 0xFFFFFFFF)
    return listed_offsets, sessions.astype(np.int32), n_sessions
