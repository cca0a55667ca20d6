"""All figures of one part of a store, with a reason for each that it cannot have."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from nextclick.analysis.click_gaps import Gaps, gaps
from nextclick.analysis.log_profile import (
    Activity,
    Popularity,
    SessionLengths,
    activity,
    popularity,
    session_lengths,
)
from nextclick.analysis.popularity_drift import Drift, drift
from nextclick.analysis.repeat_clicks import Repeats, repeats
from nextclick.analysis.temporal_graph_stats import DayGraph, day_graph
from nextclick.analysis.within_session import WithinSession, within_session
from nextclick.core.types import silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.analysis.categories import Categories
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array, Progress

T = TypeVar("T")
_PANELS = 7

_NO_TIMES = (
    "The store has an order of clicks but no times. Prepare the log from a source with times."
)
_NO_USERS = (
    "The store names no users, so no session has earlier ones of the same user. Prepare the log "
    "with its users: nextclick prepare LOG -o STORE --user-column NAME"
)
_NO_CATEGORIES = (
    "No categories were given. --categories FILE names a table of items and their categories."
)
_NO_KNOWN_CLICK = "No click of this part is on an item of the training part."
_NO_RETURN = "No user has two sessions in this part."
_NO_GAP = (
    "No two clicks of a session have different times (or all that have are invented times before "
    "a last click)."
)
_ONE_DAY = "There are no two days with clicks enough to compare."
_ONE_BLOCK = "All sessions lie in one block of time. --block-days of prepare makes shorter ones."


@dataclass(frozen=True, slots=True)
class ByLabel(Generic[T]):
    """The figures of a panel for items, and for categories where they are known."""

    items: T
    categories: T | None


@dataclass(frozen=True, slots=True)
class Analysis:
    """What there is to say about the sessions; a panel is None where `missing` says why.

    Attributes:
        session_lengths, within_session, repeats, gaps, popularity, activity, drift, day_graph: the
            panels.
        missing: name of a panel, or `categories`, to the reason for which it is not there.
    """

    session_lengths: SessionLengths
    within_session: ByLabel[WithinSession] | None
    repeats: ByLabel[Repeats] | None
    gaps: Gaps | None
    popularity: Popularity | None
    activity: Activity | None
    drift: Drift | None
    day_graph: DayGraph | None
    missing: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON types."""
        return asdict(self)


def measure(
    sessions: Sessions, categories: Categories | None = None, *, progress: Progress = silent
) -> Analysis:
    """Compute every panel that the sessions allow.

    Args:
        sessions: at least one.
        categories: of the items, None where they are not known.
        progress: told of finished panels.
    """
    missing = {} if categories is not None else {"categories": _NO_CATEGORIES}
    no_times = _NO_TIMES if sessions.times is None else None
    no_users = _NO_USERS if sessions.users is None else None
    no_blocks = _NO_TIMES if sessions.blocks is None else None
    done = 0

    def panel(
        name: str, compute: Callable[[], T | None], otherwise: str, *, impossible: str | None = None
    ) -> T | None:
        nonlocal done
        found = compute() if impossible is None else None
        if found is None:
            missing[name] = impossible or otherwise
        done += 1
        progress("analyze", done, _PANELS)
        return found

    def by_label(count: Callable[[Sessions, Int32Array], T | None]) -> ByLabel[T] | None:
        items = count(sessions, np.arange(sessions.n_items + 1, dtype=np.int32))
        if items is None:
            return None
        return ByLabel(items, None if categories is None else count(sessions, categories.of_item))

    return Analysis(
        session_lengths=session_lengths(sessions),
        within_session=panel("within_session", lambda: by_label(within_session), _NO_KNOWN_CLICK),
        repeats=panel("repeats", lambda: by_label(repeats), _NO_RETURN, impossible=no_users),
        gaps=panel("gaps", lambda: gaps(sessions), _NO_GAP, impossible=no_times),
        popularity=panel("popularity", lambda: popularity(sessions), _NO_KNOWN_CLICK),
        activity=panel("activity", lambda: activity(sessions), _NO_TIMES, impossible=no_times),
        drift=panel("drift", lambda: drift(sessions), _ONE_DAY, impossible=no_times),
        day_graph=panel("day_graph", lambda: day_graph(sessions), _ONE_BLOCK, impossible=no_blocks),
        missing=missing,
    )
