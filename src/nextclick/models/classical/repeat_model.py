"""The repeat model: scores of the items of the session itself, learned from the log.

Whether visitors return to items of their session differs between logs: in a shop they do, on a
news site they do not. With p(o) the smoothed share of the times that an item with the features of o
(see `repeat_counts`) was returned to, the next click is on

    an item o of the session          with probability p(o)
    another item j                    with probability (1 - P) v(j)^γ / V

P = min(Σ p(o), 0.99), v is the score of the neighbor model, V the sum of v^γ over the listed items
that are not in the session, or 1 if there are none. With s(o) the score that another item would
need for the probability of o, the scores of other items do not change, and

    s(o)     = (p(o) V / (1 - P))^(1/γ)
    score(o) = s(o)^(7/8) v(o)^(1/8)      or s(o) if v(o) is 0; -1 if p(o) < 1/N

An item below 1/N, the share of an item drawn at random, ranks last: on a log without repeats the
items of the session are hidden. On a log of repeats alone they rank by recency and clicks.

Two powers were chosen on the validation parts of three shop logs: γ = 1.25, because the votes of
neighbors are less concentrated than the next clicks, and ⅛ for an item's own votes, because some
items are returned to more than others. A conditional logit of these features, fitted on half of a
validation part, ranks the other half no better by more than half a point of Recall@20. Unlike it,
counts are exact under updates and need no second index.

`repeats="keep"` gives the published models: items of the session are candidates like all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field

from nextclick.core.compiled_above import compiled_above
from nextclick.models.classical.ragged import expand_ranges
from nextclick.models.classical.repeat_counts import SHAPE, RepeatCounts, cells
from nextclick.models.model_explanation import ScoreContributions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import (
        AnyArray,
        Float32Array,
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

PLAIN_POWER = 0.8  # 1/γ
MIXED_POWER = 0.7  # 7/8 · 1/γ
MAX_SHARE = 0.99
_SMOOTHING = 20.0  # weight of the coarser share, in offers
HIDDEN = -1.0


@dataclass(frozen=True, slots=True, eq=False)
class RepeatModel:
    """Scores of the items of the session.

    Attributes:
        table: (3, N_CELLS) float64, by cell: p, p^0.8 and p^0.7, both powers 0 for hidden items;
            (3, 0) keeps the scores of the neighbor model.
        counts: what the table was learned from; None if it was not learned.
    """

    table: Float64Array
    counts: RepeatCounts | None = None

    @classmethod
    def fit(cls, repeats: str, sessions: Sessions) -> Self:
        """Learn from training sessions, unless `repeats` is "keep" or "hide"."""
        counts = RepeatCounts.from_sessions(sessions) if repeats == "learned" else None
        return cls._from_counts(repeats, counts, sessions.n_items)

    @classmethod
    def _from_counts(cls, repeats: str, counts: RepeatCounts | None, n_items: int) -> Self:
        if repeats == "keep":
            return cls(np.empty((3, 0)))
        probability = np.zeros(SHAPE) if counts is None else return_probability(counts)
        probability = probability.reshape(-1)
        shown = np.where(probability * n_items >= 1, probability, 0.0)
        return cls(np.stack([probability, shown**PLAIN_POWER, shown**MIXED_POWER]), counts)

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
        return score_repeats(items, lengths, *rows, self.table) if self.table.size else rows

    def attribute(
        self, clicks: Float32Array, scores: Float32Array, items: Int32Array, session: Int32Array
    ) -> ScoreContributions:
        """Attribute the scores of items of the session to the repeat model.

        Args:
            clicks: (K, n) contribution of each click to the score of the neighbor model.
            scores: (K,) the scores.
            items: (K,) the scored items.
            session: (n,) the clicks.
        """
        if not self.table.size:
            return ScoreContributions(clicks, {})
        is_own = np.isin(items, session)
        clicks = np.where(is_own[:, None], np.float32(0), clicks)
        return ScoreContributions(clicks, {"repeat": np.where(is_own, scores, np.float32(0))})

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


def _estimate_work(
    items: Int32Array,
    lengths: Int32Array,
    offsets: Int64Array,
    listed_items: Int32Array,
    *_: AnyArray,
) -> int:
    """Number of listed items, plus a constant per call and per row."""
    del items, offsets
    return len(listed_items) + 200 * len(lengths) + 1000


@compiled_above(
    5_000_000,
    kernel="nextclick.models.classical.repeat_kernels:score_repeats",
    work=_estimate_work,
)
def score_repeats(
    items: Int32Array,
    lengths: Int32Array,
    offsets: Int64Array,
    listed_items: Int32Array,
    listed_values: Float32Array,
    table: Float64Array,
) -> Rows:
    """Replace the scores of the items of each session.

    Args:
        items: (B, T) clicks.
        lengths: (B,) number of clicks of each row.
        offsets: (B + 1,) row offsets of the items that the neighbor model scores.
        listed_items: (J,) these items, row by row.
        listed_values: (J,) their scores, at least 0.
        table: as in `RepeatModel`.

    Returns:
        Rows with the other items in the given order, then the items of the session, latest first.
    """
    B, width = len(lengths), 1 + int(max(items.max(initial=0), listed_items.max(initial=0)))
    row, own_item, cell = _own_items(items, lengths, width)
    listed_row = np.repeat(np.arange(B), np.diff(offsets))
    own_votes = _lookup(listed_row * width + listed_items, listed_values, row * width + own_item)
    is_other = ~np.isin(listed_row * width + listed_items, row * width + own_item)
    other_row, values = listed_row[is_other], listed_values[is_other]
    total = np.bincount(other_row, values * np.sqrt(np.sqrt(values)), minlength=B)
    total[total == 0] = 1.0
    share = np.minimum(np.bincount(row, table[0, cell], minlength=B), MAX_SHARE)
    odds = (total / (1.0 - share)).tolist()
    # `**` of Python, not of NumPy, has the bits of the compiled kernel
    plain_scale = np.array([x**PLAIN_POWER for x in odds])  # (B,)
    mixed_scale = np.array([x**MIXED_POWER for x in odds])
    plain = table[1, cell] * plain_scale[row]
    mixed = table[2, cell] * mixed_scale[row] * np.sqrt(np.sqrt(np.sqrt(own_votes)))
    own_values = np.where(own_votes > 0, mixed, plain)
    own_values[table[1, cell] == 0] = HIDDEN
    all_rows = np.concatenate([other_row, row])
    order = np.argsort(all_rows, kind="stable")
    return (
        np.searchsorted(all_rows[order], np.arange(B + 1)),
        np.concatenate([listed_items[is_other], own_item])[order],
        np.concatenate([values, own_values.astype(np.float32)])[order],
    )


def _lookup(keys: Int64Array, values: Float32Array, wanted: Int64Array) -> Float32Array:
    """(X,) the value of each wanted key, 0 for a key that is not listed."""
    order = np.argsort(keys)
    position = np.searchsorted(keys, wanted, sorter=order)
    found = np.zeros(len(wanted), dtype=np.float32)
    inside = np.flatnonzero(position < len(keys))
    inside = inside[keys[order[position[inside]]] == wanted[inside]]
    found[inside] = values[order[position[inside]]]
    return found


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
