"""Overlap of a session with its user's earlier sessions (ASARS, Figure 1, middle).

With L_s the set of labels in session s, and s − 1, s − 2, … the previous sessions of its user,

    share(k) = mean over s of |L_s ∩ (L_{s−1} ∪ … ∪ L_{s−k})| / |L_s|

The paper gives no formula; this one is our interpretation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array

DEPTH = 10


@dataclass(frozen=True, slots=True)
class RepeatClicks:
    """Share of a session's labels that its user clicked before.

    Attributes:
        sessions: number of sessions whose user has an earlier session; `shares` averages over
            these.
        shares: for k = 1..10, mean share of a session's labels that occur in at least one of the
            user's k previous sessions. For a user with fewer than k sessions, all of them count.
        long_history_sessions: number of sessions with at least ten earlier ones.
        long_history_shares: the same shares over the sessions with long history. The set of
            sessions is the same for every k. None if there are no such sessions.
    """

    sessions: int
    shares: list[float]
    long_history_sessions: int
    long_history_shares: list[float] | None


def repeat_clicks(sessions: Sessions, label_of: Int32Array) -> RepeatClicks | None:
    """Measure the overlap of each session with the user's k previous sessions.

    Sessions are ordered by the time of their last click; only sessions of the given part count.
    Clicks without a label are ignored (see `within_session`). A session without labeled clicks is
    excluded from the mean but still counts as one of the k previous sessions.

    Args:
        sessions: S sessions with users.
        label_of: (N + 1,) int32, label of each item index, 0 for none.

    Returns:
        None if no user has two sessions.

    Raises:
        ValueError: the sessions have no users.
    """
    from nextclick.analysis.label_kernels import add_repeats

    if sessions.users is None:
        raise ValueError("repeat clicks need users, but these sessions have none")
    users = np.asarray(sessions.users)
    identified = np.flatnonzero(users)
    # a stable sort keeps the sessions of each user in chronological order
    by_user = identified[np.argsort(users[identified], kind="stable")]
    sums, long_history_sums = np.zeros(DEPTH), np.zeros(DEPTH)
    n, n_long_history = add_repeats(
        np.asarray(sessions.items),
        sessions.offsets,
        by_user,
        users,
        label_of,
        int(label_of.max()),
        sums,
        long_history_sums,
    )
    if n == 0:
        return None
    return RepeatClicks(
        sessions=n,
        shares=(sums / n).tolist(),
        long_history_sessions=n_long_history,
        long_history_shares=(
            (long_history_sums / n_long_history).tolist() if n_long_history else None
        ),
    )
