"""All statistics of one part of a store, with a reason for each that is not available."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from nextclick.analysis.click_gaps import GapStatistics, click_gaps
from nextclick.analysis.log_profile import (
    ClickActivity,
    PopularityProfile,
    SessionLengths,
    click_activity,
    item_popularity,
    session_lengths,
)
from nextclick.analysis.popularity_drift import PopularityDrift, popularity_drift
from nextclick.analysis.repeat_clicks import RepeatClicks, repeat_clicks
from nextclick.analysis.temporal_graph_stats import TemporalGraphStats, temporal_graph_stats
from nextclick.analysis.within_session import WithinSession, within_session
from nextclick.core.types import silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.analysis.categories import ItemCategories
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array, Progress

T = TypeVar("T")
_STATISTICS = 7  # those that may be missing

_NO_TIMES = (
    "The store has the order of the clicks but no times. Prepare the log from a source with times."
)
_NO_USERS = (
    "The store has no users, so sessions cannot be linked to earlier ones. Prepare the log with a "
    "user column: nextclick prepare LOG -o STORE --user-column NAME"
)
_NO_CATEGORIES = (
    "No item categories were given. Pass a table of items and categories with --categories FILE."
)
_NO_KNOWN_CLICK = "No click in this part is on an item of the training part."
_NO_REPEAT_USER = "No user has two sessions in this part."
_NO_GAP = (
    "No session has two clicks at different times, apart from placeholder times before a last "
    "click."
)
_ONE_DAY = "Fewer than two days have enough clicks to compare."
_ONE_BLOCK = (
    "All sessions fall into one block of time. Prepare the log with shorter blocks: --block-days."
)


@dataclass(frozen=True, slots=True)
class ItemsAndCategories(Generic[T]):
    """The same statistic for items and, where categories are known, for categories."""

    items: T
    categories: T | None


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """Statistics of a set of sessions. A statistic is None where `missing` gives the reason.

    Attributes:
        session_lengths: clicks per session.
        within_session: concentration of a session on its top items.
        repeats: overlap with the user's earlier sessions.
        gaps: time between adjacent clicks.
        popularity: distribution of the clicks over items.
        activity: clicks by hour and by day.
        drift: change of popularity from day to day.
        temporal_graph: TASRec's temporal item graph, block by block.
        missing: name of a statistic, or `categories`, to the reason why it is not available.
    """

    session_lengths: SessionLengths
    within_session: ItemsAndCategories[WithinSession] | None
    repeats: ItemsAndCategories[RepeatClicks] | None
    gaps: GapStatistics | None
    popularity: PopularityProfile | None
    activity: ClickActivity | None
    drift: PopularityDrift | None
    temporal_graph: TemporalGraphStats | None
    missing: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON types."""
        return asdict(self)


def compute_statistics(
    sessions: Sessions, categories: ItemCategories | None = None, *, progress: Progress = silent
) -> LogStatistics:
    """Compute every statistic that the sessions allow.

    Args:
        sessions: at least one session.
        categories: categories of the items, or None.
        progress: receives the number of finished statistics.
    """
    compute = _Computation(sessions, categories, progress)
    times_missing = _NO_TIMES if sessions.times is None else None
    users_missing = _NO_USERS if sessions.users is None else None
    blocks_missing = _NO_TIMES if sessions.blocks is None else None
    per_label, plain = compute.by_label, compute.statistic
    return LogStatistics(
        session_lengths=session_lengths(sessions),
        within_session=per_label("within_session", within_session, if_none=_NO_KNOWN_CLICK),
        repeats=per_label(
            "repeats", repeat_clicks, if_none=_NO_REPEAT_USER, unavailable=users_missing
        ),
        gaps=plain("gaps", click_gaps, if_none=_NO_GAP, unavailable=times_missing),
        popularity=plain("popularity", item_popularity, if_none=_NO_KNOWN_CLICK),
        activity=plain("activity", click_activity, if_none=_NO_TIMES, unavailable=times_missing),
        drift=plain("drift", popularity_drift, if_none=_ONE_DAY, unavailable=times_missing),
        temporal_graph=plain(
            "temporal_graph", temporal_graph_stats, if_none=_ONE_BLOCK, unavailable=blocks_missing
        ),
        missing=compute.missing,
    )


class _Computation:
    """Computes statistics one after the other and records why some are missing."""

    def __init__(self, sessions: Sessions, categories: ItemCategories | None, progress: Progress):
        self.missing = {} if categories is not None else {"categories": _NO_CATEGORIES}
        self._sessions = sessions
        self._categories = categories
        self._progress = progress
        self._done = 0

    def statistic(
        self,
        name: str,
        compute: Callable[[Sessions], T | None],
        *,
        if_none: str,
        unavailable: str | None = None,
    ) -> T | None:
        """Compute a statistic, or record why there is none.

        Args:
            name: field of `LogStatistics`.
            compute: returns None if the sessions do not allow the statistic.
            if_none: the reason to record in that case.
            unavailable: a reason known in advance; nothing is computed then.
        """
        value = compute(self._sessions) if unavailable is None else None
        if value is None:
            self.missing[name] = unavailable or if_none
        self._done += 1
        self._progress("analyze", self._done, _STATISTICS)
        return value

    def by_label(
        self,
        name: str,
        compute: Callable[[Sessions, Int32Array], T | None],
        *,
        if_none: str,
        unavailable: str | None = None,
    ) -> ItemsAndCategories[T] | None:
        """Compute a statistic for items and, if they are known, for categories."""

        def for_both(sessions: Sessions) -> ItemsAndCategories[T] | None:
            items = compute(sessions, np.arange(sessions.n_items + 1, dtype=np.int32))
            if items is None:
                return None
            known = self._categories
            categories = None if known is None else compute(sessions, known.of_item)
            return ItemsAndCategories(items, categories)

        return self.statistic(name, for_both, if_none=if_none, unavailable=unavailable)
