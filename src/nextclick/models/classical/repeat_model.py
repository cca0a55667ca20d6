"""The repeat model: scores of the items of the session itself, learned from the log.

Whether visitors return to items of their session differs between logs: in a shop they do, on a
news site they do not. With p(o) the smoothed share of the times that an item with the features of o
(see `repeat_counts`) was returned to, the next click is on

    an item o of the session          with probability p(o)
    another item j                    with probability (1 - P) v(j)^γ / V

P = min(Σ p(o), 0.99), v is the score of the neighbor model, V the sum of v^γ over the listed items
that are not in the session, or 1 if there are none. An item of the session gets the score that
another item would need for the same probability, so scores of other items do not change:

    score(o) = (p(o) V / (1 - P))^(1/γ),    -1 if p(o) < 1/N

An item below 1/N, the share of an item drawn at random, ranks last: on a log without repeats the
items of the session are hidden. On a log of repeats alone they rank by recency and clicks.

γ = 1.25: the votes of neighbors are less concentrated than the next clicks. On the validation parts
of Yoochoose and Diginetica values from 1 to 1.5 differ little; 1.25 takes two square roots.

The scores are positive or 0 in the published models, in which items of the session are candidates
like all others, or without a score (Item-KNN); `repeats="keep"` gives that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from pydantic import Field

from nextclick.core.compiled_above import compiled_above
from nextclick.models.classical.ragged import expand_ranges
from nextclick.models.classical.repeat_counts import SHAPE, RepeatCounts, cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import (
        AnyArray,
        Float64Array,
        Int32Array,
        Int64Array,
    )
    from nextclick.models.classical.session_scores import Rows

Repeats: TypeAlias = Annotated[
    Literal["learned", "keep", "hide"],
    Field(
        description="score of the items of the session: learned from the log, as that of any other "
        "item, or below all others"
    ),
]
REPEATS = ("learned", "keep", "hide")

INVERSE_GAMMA = 0.8
MAX_SHARE = 0.99
_SMOOTHING = 20.0  # weight of the coarser share, in offers
_HIDDEN = -1.0


class ReturnTable(NamedTuple):
    """Probability and weight by cell, in a form that compiled kernels accept.

    Attributes:
        probability: (N_CELLS,) float64, p.
        weight: (N_CELLS,) float64, p^(1/γ); 0 for a hidden item.
    """

    probability: Float64Array
    weight: Float64Array


@dataclass(frozen=True, slots=True, eq=False)
class RepeatModel:
    """Scores of the items of the session.

    Attributes:
        table: probability and weight by cell; None keeps the scores of the model.
        counts: what the table was learned from; None if it was not learned.
    """

    table: ReturnTable | None
    counts: RepeatCounts | None = None

    @classmethod
    def fit(cls, repeats: str, sessions: Sessions) -> Self:
        """Learn from training sessions, unless `repeats` is "keep" or "hide"."""
        counts = RepeatCounts.from_sessions(sessions) if repeats == "learned" else None
        return cls._from_counts(repeats, counts, sessions.n_items)

    @classmethod
    def _from_counts(cls, repeats: str, counts: RepeatCounts | None, n_items: int) -> Self:
        if repeats == "keep":
            return cls(None)
        probability = np.zeros(SHAPE) if counts is None else return_probability(counts)
        probability = probability.reshape(-1)
        shown = (probability > 0) & (probability * n_items >= 1)
        weight = np.where(shown, probability**INVERSE_GAMMA, 0.0)
        return cls(ReturnTable(probability, weight), counts)

    def update(self, new: Sessions) -> RepeatModel:
        """The model of the older and the new sessions, in the vocabulary of the new ones."""
        if self.counts is None:
            return self
        counts = self.counts.add(RepeatCounts.from_sessions(new))
        return self._from_counts("learned", counts, new.n_items)

    def rescore(self, items: Int32Array, lengths: Int32Array, rows: Rows) -> Rows:
        """Replace the scores of the items of each session.

        Args:
            items: (B, T) clicks.
            lengths: (B,) number of clicks of each row.
            rows: scores of the neighbor model.
        """
        return rows if self.table is None else score_repeats(items, lengths, rows, self.table)

    def state(self) -> dict[str, AnyArray]:
        """The counts by name; empty if nothing was learned."""
        return {} if self.counts is None else self.counts.state()

    @staticmethod
    def check_state(state: Mapping[str, AnyArray], repeats: str) -> None:
        """Check the arrays of a file.

        Raises:
            ArrayError: an array is missing, or has another type, shape or range.
        """
        if repeats == "learned":
            RepeatCounts.check_state(state)

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], repeats: str, n_items: int) -> Self:
        """Build the model from the arrays of `state`."""
        counts = RepeatCounts.from_state(state) if repeats == "learned" else None
        return cls._from_counts(repeats, counts, n_items)


def return_probability(counts: RepeatCounts) -> Float64Array:
    """(9, 3, 5) p by cell: each share is smoothed towards that of the coarser cell.

    The shares by steps are smoothed towards that of all cells, those by steps and clicks towards
    the former, and those by all three features towards the latter.
    """
    returned, offered = counts.returned.astype(np.float64), counts.offered.astype(np.float64)
    share = np.full((1, 1, 1), returned.sum() / max(offered.sum(), 1.0))
    axes: tuple[int, ...]
    for axes in ((1, 2), (2,), ()):
        n_returned, n_offered = (c.sum(axis=axes, keepdims=True) for c in (returned, offered))
        share = (n_returned + _SMOOTHING * share) / (n_offered + _SMOOTHING)
    return share


def _estimate_work(items: Int32Array, lengths: Int32Array, rows: Rows, table: ReturnTable) -> int:
    """Number of listed items, plus a constant per call and per row."""
    del items, table
    return len(rows[1]) + 200 * len(lengths) + 1000


@compiled_above(
    5_000_000,
    kernel="nextclick.models.classical.repeat_kernels:score_repeats",
    work=_estimate_work,
)
def score_repeats(
    items: Int32Array, lengths: Int32Array, rows: Rows, table: ReturnTable
) -> Rows:
    """Replace the scores of the items of each session.

    Args:
        items: (B, T) clicks.
        lengths: (B,) number of clicks of each row.
        rows: scores of the neighbor model, all at least 0.
        table: probability and weight by cell.

    Returns:
        Rows with the other items in the given order, then the items of the session, latest first.
    """
    B, width = len(lengths), 1 + max(int(items.max(initial=0)), int(rows[1].max(initial=0)))
    row, own_item, cell = _own_items(items, lengths, width)
    listed_row = np.repeat(np.arange(B), np.diff(rows[0]))
    is_other = ~np.isin(listed_row * width + rows[1], row * width + own_item)
    other_row, values = listed_row[is_other], rows[2][is_other]
    total = np.bincount(
        other_row, values * np.sqrt(np.sqrt(values.astype(np.float64))), minlength=B
    )
    total[total == 0] = 1.0
    share = np.minimum(np.bincount(row, table.probability[cell], minlength=B), MAX_SHARE)
    # `**` of Python, not of NumPy, has the bits of the compiled kernel
    scale = np.array([x**INVERSE_GAMMA for x in (total / (1.0 - share)).tolist()])  # (B,)
    weight = table.weight[cell]
    own_values = np.where(weight > 0, weight * scale[row], _HIDDEN).astype(np.float32)
    all_rows = np.concatenate([other_row, row])
    order = np.argsort(all_rows, kind="stable")
    return (
        np.searchsorted(all_rows[order], np.arange(B + 1)),
        np.concatenate([rows[1][is_other], own_item])[order],
        np.concatenate([values, own_values])[order],
    )


def _own_items(
    items: Int32Array, lengths: Int32Array, width: int
) -> tuple[Int64Array, Int32Array, Int64Array]:
    """The distinct items of each row, latest first: (X,) row, (X,) item, (X,) cell."""
    row, steps_back = expand_ranges(np.zeros(len(lengths), np.int64), lengths.astype(np.int64))
    item = items[row, lengths[row] - 1 - steps_back]
    _, latest, clicks = np.unique(row * width + item, return_index=True, return_counts=True)
    order = np.argsort(latest)
    latest, clicks = latest[order], clicks[order]
    row = row[latest]
    distinct = np.bincount(row, minlength=len(lengths))[row]
    return row, item[latest], cells(steps_back[latest] + 1, clicks, distinct)
