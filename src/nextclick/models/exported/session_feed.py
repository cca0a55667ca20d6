"""The inputs of an exported encoder for one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nextclick.core.session_history import SessionHistory
from nextclick.models.ops.history_arrays import one_row_arrays

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.session_history import EarlierClicks
    from nextclick.core.types import AnyArray, Float32Array, Int32Array


class OneSession(NamedTuple):
    """What a graph reads of one session.

    Attributes:
        clicks: (T,), the known clicks.
        gaps: (T,) seconds since the click before, NaN if unknown; None if all are.
        waited: seconds from the last click to the prediction.
        user: index of the user, 0 for an unknown one.
        history: the earlier sessions of the visitor, oldest first.
    """

    clicks: Int32Array
    gaps: Float32Array | None = None
    waited: float = 0.0
    user: int = 0
    history: Sequence[EarlierClicks] = ()

    @classmethod
    def of(cls, batch: SessionBatch, b: int) -> Self:
        """Row b of a batch."""
        n, since_last = int(batch.lengths[b]), batch.time_since_last_click
        return cls(
            clicks=batch.items[b, :n],
            gaps=None if batch.gaps is None else batch.gaps[b, :n],
            waited=0.0 if since_last is None else float(since_last[b]),
            user=0 if batch.users is None else int(batch.users[b]),
            history=() if batch.history is None else batch.history.row(b),
        )


def session_feed(
    session: OneSession,
    reads: Collection[str],
    max_length: int | None = None,
    earlier_sessions: int = 0,
) -> dict[str, AnyArray]:
    """The inputs of a graph for one session; the same as `SessionInputs` for one row.

    Args:
        session: with at least one click.
        reads: inputs besides clicks: "times", "users".
        max_length: number of latest clicks; None is all.
        earlier_sessions: number of latest earlier sessions.
    """
    clicks, gaps = session.clicks, session.gaps
    first = 0 if max_length is None else max(len(clicks) - max_length, 0)
    feed: dict[str, AnyArray] = {"items": clicks[None, first:].astype(np.int64)}
    if "times" in reads:
        T = len(clicks) - first
        read = np.full((1, T), np.nan, dtype=np.float32)
        if gaps is not None:
            read[0] = gaps[first:]
        read[0, 0] = 0.0
        until_next = np.full((1, T), session.waited, dtype=np.float32)
        until_next[0, :-1] = read[0, 1:]
        feed |= {"gaps": read, "waited": until_next}
    if "users" in reads:
        feed["users"] = np.array([session.user], dtype=np.int64)
    if earlier_sessions:
        history = SessionHistory.from_lists([session.history[-earlier_sessions:]])
        arrays = one_row_arrays(history)
        feed |= {f"history.{name}": array for name, array in arrays.items()}
    return feed
