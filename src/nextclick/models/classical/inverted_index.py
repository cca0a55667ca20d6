"""Which sessions hold an item: the inverted index that the neighbor models learn from."""

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
    """The sessions of each item, newest first.

    Attributes:
        offsets: (N + 2,) int64; item i is in `sessions[offsets[i]:offsets[i + 1]]`. Item 0 is in
            none: nothing is learned from an unknown item.
        sessions: (J,) int32, index of the session; a higher index is a later session.
        n_sessions: (N + 1,) int64, how many sessions hold the item, listed or not.
    """

    offsets: Int64Array
    sessions: Int32Array
    n_sessions: Int64Array

    @classmethod
    def of(cls, sessions: Sessions, at_most: int | None = None) -> Postings:
        """List for each item its `at_most` latest sessions, or all of them.

        A session counts once however often it has the item. Memory: 4 bytes for each pair.
        """
        return cls(*invert(sessions.items, sessions.offsets, sessions.n_items, at_most))


@compiled_above(
    2_000_000,
    kernel="nextclick.models.classical.item_kernels:invert",
    work=lambda items, *_: len(items),
)
def invert(
    items: Int32Array, offsets: Int64Array, n_items: int, at_most: int | None
) -> tuple[Int64Array, Int32Array, Int64Array]:
    """The fields of `Postings` for sessions with flat `items` and their `offsets`."""
    n = len(offsets) - 1
    session = np.repeat(np.arange(n), np.diff(offsets))
    pairs = np.unique((items.astype(np.int64) << 32) | (n - 1 - session))
    item = pairs >> 32
    pairs, item = pairs[item > 0], item[item > 0]  # by item, its newest session first
    n_sessions = np.bincount(item, minlength=n_items + 1)
    listed = n_sessions if at_most is None else np.minimum(n_sessions, at_most)
    listed_offsets = np.zeros(n_items + 2, dtype=np.int64)
    np.cumsum(listed, out=listed_offsets[1:])
    place = np.arange(len(item)) - (np.cumsum(n_sessions) - n_sessions)[item]
    sessions = n - 1 - (pairs[place < listed[item]] & 0xFFFFFFFF)
    return listed_offsets, sessions.astype(np.int32), n_sessions
