"""Local negative sampling of ASARS: each prefix has its own negatives, sampled from its batch.

Wang et al., Time-weighted Attentional Session-Aware Recommender System, section 2.2: negatives are
sampled in proportion to the popularity within the mini-batch, without the items of the user's
history. The paper does not state their number. Because items of earlier sessions are never
negatives, a model does not learn which of them a user stops clicking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from nextclick.batches.session_order import TrainingBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Int64Array

Reject: TypeAlias = Literal["nothing", "session", "history"]

TRIES = 16  # draws per negative; if all are rejected, the negative is 0


class LocalNegatives:
    """Samples negatives from the targets of a batch."""

    def __init__(self, sessions: Sessions, per_prefix: int, reject: Reject):
        """Collect the click histories of the users.

        Args:
            sessions: the training sessions; a user's history is all their sessions.
            per_prefix: M, the number of negatives per prefix.
            reject: the items that are never negatives: "nothing" but the target, the items of the
                "session", or the items of the session and of the user's "history". An unknown
                user has no history.
        """
        self._per_prefix = per_prefix
        self._reject = reject
        self._stride = sessions.n_items + 1
        self._clicked = np.empty(0, dtype=np.int64)
        if reject == "history" and sessions.users is not None:
            users = np.repeat(sessions.users.astype(np.int64), sessions.lengths())  # (E,)
            known = users > 0
            self._clicked = np.unique(users[known] * self._stride + sessions.items[known])

    def draw(self, batch: TrainingBatch, rng: np.random.Generator) -> Int64Array:
        """(P, M) int64 in 1..N, 0 where every draw was rejected."""
        uniform = rng.random((len(batch), self._per_prefix, TRIES))
        users = batch.users if batch.users is not None else np.zeros(len(batch.items), np.int64)
        return _draw(
            batch.items, batch.where, batch.targets, users, uniform,
            self._clicked, self._stride, self._reject != "nothing",
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _draw(
    items: Int64Array,
    where: Int64Array,
    targets: Int64Array,
    users: Int64Array,
    uniform: AnyArray,
    clicked: Int64Array,
    stride: int,
    reject_session: bool,
) -> Int64Array:
    P, M, n_tries = uniform.shape
    width = items.shape[1]
    negatives = np.zeros((P, M), dtype=np.int64)
    first = 0  # index of the first target in the row of target p
    for p in range(P):
        row = where[p] // width
        if where[first] // width != row:
            first = p
        for m in range(M):
            for k in range(n_tries):
                item = targets[min(int(uniform[p, m, k] * P), P - 1)]
                if item == targets[p]:
                    continue
                if reject_session and _in_row(items[row], item, targets, where, first, width):
                    continue
                if len(clicked) and users[row] > 0:
                    key = users[row] * stride + item
                    position = np.searchsorted(clicked, key)
                    if position < len(clicked) and clicked[position] == key:
                        continue
                negatives[p, m] = item
                break
    return negatives


@njit(cache=True, nogil=True)
def _in_row(
    clicks: Int64Array, item: int, targets: Int64Array, where: Int64Array, first: int, width: int
) -> bool:
    """Whether a session row contains an item; its last click occurs only as a target."""
    for click in clicks:
        if click == item:
            return True
    row, p = where[first] // width, first
    while p < len(targets) and where[p] // width == row:
        if targets[p] == item:
            return True
        p += 1
    return False
