"""What one request asks, on raw ids and on indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.session_batch import SessionBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nextclick.core.types import BoolArray, Float32Array, Int32Array, RawId


@dataclass(frozen=True, slots=True)
class Query:
    """One session, and what may be shown to it.

    Attributes:
        session: raw ids in the order of the clicks.
        k: how many items are wanted.
        times: seconds of any clock for each click, or None.
        user: whose session it is, or None.
        now: the moment of asking on the clock of `times`, or None for the last click.
        exclude_seen: leave out what the session has clicked.
        allow: only these items may be shown; None allows all.
        block: these items may not be shown.
        explain: give reasons, as far as the model has any.
        live: the name of a live session, whose recurrent state may be kept; None for any other.
    """

    session: Sequence[RawId]
    k: int = 20
    times: Sequence[float] | None = None
    user: RawId | None = None
    now: float | None = None
    exclude_seen: bool = False
    allow: Iterable[RawId] | None = None
    block: Iterable[RawId] = ()
    explain: bool = False
    live: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """A query on indices.

    Attributes:
        query: what was asked.
        clicks: (n,) int32, the clicks that the model knows.
        unknown: raw ids of the others.
        k: how many items are wanted.
        hidden: int32, items that may not be shown, ascending.
        shown: (N + 1,) bool, what may be shown, hidden or not; None for all.
        gaps: (n,) float32, seconds before each click, or None.
        waited: seconds from the last click to the moment of asking.
        user: index of the visitor, 0 for an unknown one.
    """

    query: Query
    clicks: Int32Array
    unknown: list[RawId]
    k: int
    hidden: Int32Array
    shown: BoolArray | None
    gaps: Float32Array | None
    waited: float
    user: int


def batch_of(wishes: Sequence[Wish]) -> SessionBatch:
    """The sessions of several requests as one batch."""
    plain = SessionBatch.from_lists([wish.clicks for wish in wishes])
    gaps = waited = None
    if any(wish.gaps is not None for wish in wishes):
        gaps = np.full(plain.items.shape, np.nan, dtype=np.float32)
        for row, wish in zip(gaps, wishes, strict=True):
            if wish.gaps is not None:
                row[: len(wish.gaps)] = wish.gaps
        waited = np.array([wish.waited for wish in wishes], dtype=np.float32)
    users = np.array([wish.user for wish in wishes], dtype=np.int32)
    return SessionBatch(plain.items, plain.lengths, gaps=gaps, users=users, waited=waited)
