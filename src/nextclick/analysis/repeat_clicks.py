"""How much of a session its user knows from earlier sessions (ASARS, Figure 1, middle)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array

DEPTH = 10


@dataclass(frozen=True, slots=True)
class Repeats:
    """The panel's figures for items, or for categories.

    Attributes:
        sessions: how many of known users have an earlier session; `shares` is over these.
        shares: for k = 1..10, the mean share of a session's labels that its user clicked in at
            least one of the k sessions before it. A user with fewer than k has them all looked at.
        deep_sessions: how many have ten earlier sessions or more.
        deep_shares: the same shares over these: the same sessions for every k, each with k sessions
            to look at. None if there are none.
    """

    sessions: int
    shares: list[float]
    deep_sessions: int
    deep_shares: list[float] | None


def repeats(sessions: Sessions, label_of: Int32Array) -> Repeats | None:
    """Look for the labels of a session in the k sessions before it of the same user.

    With L_s the distinct labels of session s, and s − 1, s − 2, … the user's sessions before it,

        share(k) = mean over s of |L_s ∩ (L_{s−1} ∪ … ∪ L_{s−k})| / |L_s|

    Sessions stand in the order in which they ended, and only those of the given part are looked at.
    Clicks without a label are left out (see `within_session`); a session of nothing else is not in
    the mean, but it is one of the k before a later one. The paper gives no formula; this is our
    reading.

    Args:
        sessions: S sessions with users.
        label_of: (N + 1,) int32, label of an item's index, 0 where there is none.

    Returns:
        None if no user has two sessions.

    Raises:
        ValueError: the sessions have no users.
    """
    from nextclick.analysis.label_kernels import add_repeats

    if sessions.users is None:
        raise ValueError("these sessions have no users, so nobody has earlier ones")
    users = np.asarray(sessions.users)
    known = np.flatnonzero(users)
    by_user = known[np.argsort(users[known], kind="stable")]  # stable: in the order of time
    sums, deep_sums = np.zeros(DEPTH), np.zeros(DEPTH)
    n, n_deep = add_repeats(
        np.asarray(sessions.items),
        sessions.offsets,
        by_user,
        users,
        label_of,
        int(label_of.max()),
        sums,
        deep_sums,
    )
    if n == 0:
        return None
    return Repeats(
        sessions=n,
        shares=(sums / n).tolist(),
        deep_sessions=n_deep,
        deep_shares=(deep_sums / n_deep).tolist() if n_deep else None,
    )
