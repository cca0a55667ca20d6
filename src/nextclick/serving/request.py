"""A recommendation request, on raw ids and on item indices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.item_rules import NO_RULES
from nextclick.core.session_batch import SessionBatch
from nextclick.core.session_history import SessionHistory
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.item_rules import ItemRules
    from nextclick.core.session_history import EarlierClicks
    from nextclick.core.shown_list import ListRules
    from nextclick.core.types import BoolArray, Float32Array, Int32Array, RawId
    from nextclick.serving.request_history import RawHistory


@dataclass(frozen=True, slots=True)
class RecommendationRequest:
    """One session and the items that may be recommended for it.

    Attributes:
        session: raw ids in click order.
        k: number of items to recommend.
        times: click times in seconds on any clock, or None.
        user: the visitor's raw id, or None.
        now: the moment of prediction on the clock of `times`; None is the last click.
        rules: which items are shown, and in which order.
        explain: add an explanation.
        history: earlier sessions of the visitor, the oldest first: raw ids in click order, and the
            time of the last click, or of each click, on the clock of `times`, or None.
    """

    session: Sequence[RawId]
    k: int = 20
    times: Sequence[float] | None = None
    user: RawId | None = None
    now: float | None = None
    rules: ItemRules = NO_RULES
    explain: bool = False
    history: RawHistory = ()


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedRequest:
    """A validated request on item indices.

    Attributes:
        original: the request on raw ids.
        clicks: (T,) int32, the known clicked items.
        unknown: clicked ids that the model does not know.
        k: number of items to recommend.
        excluded: int32, ascending, items that must not be recommended.
        allowed: (N + 1,) bool, items that may be recommended; None allows all.
        gaps: (T,) float32, seconds since the click before; None if times are unknown.
        time_since_last_click: seconds from the last click to the moment of prediction.
        user: index of the user, 0 for an unknown one.
        history: the earlier sessions, the oldest first.
        list_rules: the rules that form the list; None if the rules only hide items.
    """

    original: RecommendationRequest
    clicks: Int32Array
    unknown: list[RawId]
    k: int
    excluded: Int32Array
    allowed: BoolArray | None
    gaps: Float32Array | None
    time_since_last_click: float
    user: int
    history: Sequence[EarlierClicks] = ()
    list_rules: ListRules | None = None


def to_batch(requests: Sequence[ResolvedRequest]) -> SessionBatch:
    """The sessions of B requests as one padded batch."""
    padded = SessionBatch.from_lists([request.clicks for request in requests])
    gaps = elapsed = None
    if any(request.gaps is not None for request in requests):
        gaps = np.full(padded.items.shape, np.nan, dtype=np.float32)  # (B, T)
        for row, request in zip(gaps, requests, strict=True):
            if request.gaps is not None:
                row[: len(request.gaps)] = request.gaps
        elapsed = np.array(
            [request.time_since_last_click for request in requests], dtype=np.float32
        )
    users = np.array([request.user for request in requests], dtype=np.int32)
    history = None
    if any(request.history for request in requests):
        history = SessionHistory.from_lists([request.history for request in requests])
    return replace(padded, gaps=gaps, users=users, time_since_last_click=elapsed, history=history)


def check_ids(name: str, ids: object) -> None:
    """Check that an argument is a list of item ids.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise ConfigError(f"{name} must be a list of item ids, got {ids!r}")
