"""Selection of candidates by maximal marginal relevance within caps; see `shown_list`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float32Array, Float64Array, Int32Array


class OpenCandidates:
    """The candidates that may still be taken: not taken, and within the caps.

    Args:
        candidates: items, the best first.
        pinned: items that are in the list.
        caps: as in `ListRules`.

    Attributes:
        is_open: (C,) bool, of each candidate.
    """

    def __init__(
        self, candidates: list[int], pinned: list[int], caps: Sequence[tuple[Int32Array, int]]
    ):
        self.is_open = np.ones(len(candidates), dtype=np.bool_)
        items = np.array([*candidates, *pinned], dtype=np.int32)
        self._caps = [(codes[items], limit, Counter[int]()) for codes, limit in caps]
        for n in range(len(candidates), len(items)):
            self._count(n)

    def take(self, n: int) -> None:
        """Take candidate n."""
        self.is_open[n] = False
        self._count(n)

    def take_all(self, most: int | None = None) -> list[int]:
        """Take all open candidates in order, at most a number, and return them."""
        taken: list[int] = []
        for n in range(len(self.is_open)):
            if most is not None and len(taken) == most:
                break
            if self.is_open[n]:
                self.take(n)
                taken.append(n)
        return taken

    def _count(self, n: int) -> None:
        for codes, limit, counts in self._caps:
            category = int(codes[n])
            counts[category] += 1
            if category and counts[category] >= limit:
                self.is_open[codes[: len(self.is_open)] == category] = False


def select_candidates(
    relevance: Float64Array,
    similarity: Float32Array | None,
    diversity: float,
    candidates: OpenCandidates,
    wanted: int,
) -> list[int]:
    """Take candidates for the positions that are not pinned, and return them in order.

    Args:
        relevance: (P,) of the pool, the first candidates.
        similarity: (P + n, P + n) of the pool and the n pinned items; None for none.
        diversity: d.
        candidates: the pool and the candidates after it.
        wanted: number of positions.
    """
    if similarity is None or diversity == 0:
        return candidates.take_all(wanted)
    P = len(relevance)
    nearest = np.maximum(similarity[P:, :P].max(axis=0, initial=0.0), 0.0)  # (P,), to the list
    order: list[int] = []
    while len(order) < wanted and candidates.is_open[:P].any():
        value = (1 - diversity) * relevance - diversity * nearest
        chosen = int(np.where(candidates.is_open[:P], value, -np.inf).argmax())  # first of equals
        candidates.take(chosen)
        order.append(chosen)
        np.maximum(nearest, similarity[chosen, :P], out=nearest)
    return order + candidates.take_all(wanted - len(order))
