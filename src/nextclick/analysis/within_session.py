"""How much of a session goes to its few most clicked items, or categories (ASARS, Figure 1, left).

A *label* is what is counted: the item itself, or its category. `label_of` maps an item's index to
it, and 0 is no label: a click on an item unseen in training, or on one without a category. Such
clicks are left out, above and below the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Int32Array

TOP = 10


@dataclass(frozen=True, slots=True)
class WithinSession:
    """The panel's figures.

    Attributes:
        sessions: how many have a click with a label; the means are over these.
        clicks: their clicks that have one.
        shares: for r = 1..10, the mean share of a session's clicks on its r-th most clicked label.
        if_all_differ: the same if no session came back to a label: what short sessions alone make
            of it.
    """

    sessions: int
    clicks: int
    shares: list[float]
    if_all_differ: list[float]


def within_session(sessions: Sessions, label_of: Int32Array) -> WithinSession | None:
    """Rank the labels of every session by its clicks, and average their shares.

    With n_s clicks in session s and c_s(1) ≥ c_s(2) ≥ … on its labels,

        share(r) = mean over s of c_s(r) / n_s,            c_s(r) = 0 beyond the last label

    Every session weighs the same, so the ten shares add up to 1 at most. `if_all_differ` puts 1 for
    every c_s(r) with r ≤ n_s. The paper shows the figure without a formula; this is our reading.

    Args:
        sessions: S sessions.
        label_of: (N + 1,) int32, label of an item's index, 0 where there is none.

    Returns:
        None if no click has a label.
    """
    from nextclick.analysis.label_kernels import add_shares

    shares, differ = np.zeros(TOP), np.zeros(TOP)
    n_sessions, n_clicks = add_shares(
        np.asarray(sessions.items), sessions.offsets, label_of, int(label_of.max()), shares, differ
    )
    if n_sessions == 0:
        return None
    return WithinSession(
        sessions=n_sessions,
        clicks=n_clicks,
        shares=(shares / n_sessions).tolist(),
        if_all_differ=(differ / n_sessions).tolist(),
    )
