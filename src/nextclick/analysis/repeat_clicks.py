"""Overlap of a session with its user's earlier sessions (ASARS, Figure 1, middle).

With L_s the set of labels in session s, and s − 1, s − 2, … the previous sessions of its user,

    share(k) = mean over s of |L_s ∩ (L_{s−1} ∪ … ∪ L_{s−k})| / |L_s|

The paper gives no formula; this one is our interpretation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float64Array, Int32Array, Int64Array

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
    if sessions.users is None:
        raise ValueError("repeat clicks need users, but these sessions have none")
    users = np.asarray(sessions.users)
    identified = np.flatnonzero(users)
    # a stable sort keeps the sessions of each user in chronological order
    by_user = identified[np.argsort(users[identified], kind="stable")]
    sums, long_history_sums = np.zeros(DEPTH), np.zeros(DEPTH)
    n, n_long_history = _add_repeats(
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


@njit(cache=True, nogil=True)
def _add_repeats(
    items: Int32Array,
    offsets: Int64Array,
    by_user: Int64Array,
    users: Int32Array,
    label_of: Int32Array,
    n_labels: int,
    sums: Float64Array,
    long_history_sums: Float64Array,
) -> tuple[int, int]:
    """Add each session's shares to both sums; return the number of sessions in each."""
    depth = len(sums)
    last_seen = np.full(n_labels + 1, -1, np.int64)  # position in by_user, by label
    labels_at_distance = np.zeros(depth, np.int64)  # by sessions back to the last occurrence
    n_sessions, n_long_history = 0, 0
    user_start = 0  # position in by_user of the user's first session
    for position in range(len(by_user)):
        s = by_user[position]
        if position > 0 and users[s] != users[by_user[position - 1]]:
            user_start = position
        labels_at_distance[:] = 0
        n_session_labels = 0
        for i in range(offsets[s], offsets[s + 1]):
            label = label_of[items[i]]
            seen = last_seen[label]
            if label == 0 or seen == position:
                continue
            last_seen[label] = position
            n_session_labels += 1
            if seen >= user_start and position - seen <= depth:
                labels_at_distance[position - seen - 1] += 1
        if n_session_labels == 0 or position == user_start:
            continue
        long_history = position - user_start >= depth
        n_sessions += 1
        n_long_history += long_history
        _add_cumulative_shares(labels_at_distance, n_session_labels, sums)
        if long_history:
            _add_cumulative_shares(labels_at_distance, n_session_labels, long_history_sums)
    return n_sessions, n_long_history


@njit(cache=True, inline="always")
def _add_cumulative_shares(
    labels_at_distance: Int64Array, n_session_labels: int, sums: Float64Array
) -> None:
    repeated = 0
    for k in range(len(sums)):
        repeated += labels_at_distance[k]
        sums[k] += repeated / n_session_labels
