"""Concentration of a session on its most clicked items or categories (ASARS, Figure 1, left).

A *label* is the unit that is counted: the item itself or its category. `label_of` maps an item
index to its label. Label 0 means "no label": an item unseen in training, or one without a category.
Clicks without a label count neither in the numerator nor in the denominator.
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
    """Mean share of a session's clicks by label rank.

    Attributes:
        sessions: number of sessions with at least one labeled click; means are over these.
        clicks: number of labeled clicks.
        shares: for r = 1..10, mean share of a session's clicks on its r-th most clicked label.
        shares_without_repeats: the same shares if every click of a session had its own label; the
            baseline that session length alone explains.
    """

    sessions: int
    clicks: int
    shares: list[float]
    shares_without_repeats: list[float]


def within_session(sessions: Sessions, label_of: Int32Array) -> WithinSession | None:
    """Rank the labels of each session by click count and average their shares.

    With n_s labeled clicks in session s and c_s(1) ≥ c_s(2) ≥ … clicks per label,

        share(r) = mean over s of c_s(r) / n_s,       c_s(r) = 0 if s has fewer than r labels

    Every session has the same weight, so the ten shares sum to at most 1. For
    `shares_without_repeats`, c_s(r) is 1 for every r ≤ n_s. The paper shows the figure without a
    formula; this one is our interpretation.

    Args:
        sessions: S sessions.
        label_of: (N + 1,) int32, label of each item index, 0 for none.

    Returns:
        None if no click has a label.
    """
    from nextclick.analysis.label_kernels import add_shares

    shares, unrepeated = np.zeros(TOP), np.zeros(TOP)
    n_sessions, n_clicks = add_shares(
        np.asarray(sessions.items),
        sessions.offsets,
        label_of,
        int(label_of.max()),
        shares,
        unrepeated,
    )
    if n_sessions == 0:
        return None
    return WithinSession(
        sessions=n_sessions,
        clicks=n_clicks,
        shares=(shares / n_sessions).tolist(),
        shares_without_repeats=(unrepeated / n_sessions).tolist(),
    )
