"""Item-to-item tables, and the base class of models that score with the row of the last click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np

from nextclick.core.array_checks import check_item_table, named_array
from nextclick.core.hardware import cpus, map_blocks
from nextclick.core.item_similarity import row_similarity
from nextclick.core.session_history import offsets_of
from nextclick.core.types import (
    AnyArray,
    Float32Array,
    Int32Array,
    Int64Array,
    Progress,
    SparseScores,
)
from nextclick.models.base import Capabilities, Model
from nextclick.models.classical.inverted_index import Postings
from nextclick.models.classical.repeat_model import RepeatModel
from nextclick.models.model_explanation import ModelExplanation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextclick.core.item_similarity import ItemSimilarity
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.models.incremental_state import PriorSessions

Rows: TypeAlias = tuple[Int64Array, Int32Array, Float32Array]
"""(R,) row lengths, then the concatenated items and values of the rows."""

_BLOCKS_PER_CPU = 32  # for progress and load balance; each block clears one (N + 1) accumulator


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """A ranked list of candidate items for each item.

    Attributes:
        offsets: (N + 2,) int64; row i is `offsets[i]..offsets[i + 1] - 1`; row 0 is empty.
        items: (J,) int32 in 1..N, best first in each row.
        values: (J,) float32, scores.
    """

    offsets: Int64Array
    items: Int32Array
    values: Float32Array

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.offsets) - 2

    @classmethod
    def build(
        cls,
        rows_of: Callable[[Postings], Callable[[int, int], Rows]],
        sessions: Sessions,
        *,
        progress: Progress,
    ) -> Self:
        """Build the rows of all items, in parallel blocks of about equal cost.

        Args:
            rows_of: given the postings of some items, returns a function that returns the rows of
                items start..stop - 1 of them; called from several threads.
            sessions: the training sessions.
            progress: called after each block.
        """
        blocks: list[Rows] = []
        for start, stop, postings in Postings.by_items(sessions):
            # the number of sessions with an item is the cost of its row
            first, last = postings.offsets[[start, stop]]
            targets = np.linspace(first, last, cpus() * _BLOCKS_PER_CPU + 1)
            bounds = np.clip(np.searchsorted(postings.offsets, targets), start, stop)
            bounds[0], bounds[-1] = start, stop
            rows, edges = rows_of(postings), np.unique(bounds).tolist()
            blocks += map_blocks(rows, edges, stage="items", progress=progress)
        return cls(
            offsets=offsets_of(np.concatenate([lengths for lengths, _, _ in blocks])),
            items=np.concatenate([items for _, items, _ in blocks]),
            values=np.concatenate([values for _, _, values in blocks]),
        )

    def last_click_rows(self, batch: SessionBatch) -> SparseScores:
        """The row of the last item of each session; empty for an empty session."""
        rows = np.arange(len(batch))
        last = np.zeros(len(batch), dtype=np.int64)  # (B,)
        known = batch.lengths > 0
        last[known] = batch.items[rows[known], batch.lengths[known] - 1]
        lengths = self.offsets[last + 1] - self.offsets[last]
        offsets = np.zeros(len(batch) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        entries = np.repeat(self.offsets[last] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return SparseScores(
            offsets=offsets,
            items=self.items[entries],
            values=self.values[entries],
            base=np.zeros(self.n_items + 1, dtype=np.float32),
        )

    def state(self) -> dict[str, AnyArray]:
        """The arrays by name."""
        return {"offsets": self.offsets, "items": self.items, "values": self.values}

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray]) -> Self:
        """Build the table from the arrays of `state`."""
        return cls(offsets=state["offsets"], items=state["items"], values=state["values"])


class TableModel(Model):
    """A model that scores with the table row of the last click; subclasses implement `fit`.

    The table stores only the best entries of each row, so an incremental update has to count the
    older sessions again.
    """

    default_capabilities: ClassVar[Capabilities] = Capabilities(
        deterministic=True,
        update="exact",
        needs_sessions=True,
        explains=True,
        sparse_scores=True,
    )

    def __init__(self, config: Any, table: ItemTable, repeats: RepeatModel):
        self.config = config
        self.table = table
        self.repeats = repeats

    @property
    def n_items(self) -> int:
        """N."""
        return self.table.n_items

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        """The table row of each last click, and the items of the session."""
        scores = self.table.last_click_rows(batch)
        rows = (scores.offsets, scores.items, scores.values)
        offsets, items, values = self.repeats.rescore(batch.items, batch.lengths, rows)
        return SparseScores(offsets=offsets, items=items, values=values, base=scores.base)

    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32."""
        return self.score_sparse(batch).dense()

    def item_similarity(self) -> ItemSimilarity:
        """Cosines of the rows of the table: similar items lead to the same items."""
        return row_similarity(self.table.offsets, self.table.items, self.table.values)

    def explain(self, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
        """Attribute the scores to the last click, or to the repeat model."""
        n = int(batch.lengths[0])
        scores = self.score_sparse(batch).lookup(0, items)
        clicks = np.zeros((len(items), n), dtype=np.float32)
        clicks[:, -1] = scores
        parts = self.repeats.attribute(clicks, scores, items, batch.items[0, :n])
        return ModelExplanation(parts=parts)

    def update_exactly(self, new: Sessions, past: PriorSessions, *, progress: Progress) -> Self:
        """Fit on the sessions of both logs."""
        return type(self).fit(past.concatenate(new), self.config, seed=0, progress=progress)

    def state(self) -> dict[str, AnyArray]:
        """The arrays of the table and the counts of repeats by name."""
        return self.table.state() | self.repeats.state()

    @classmethod
    def check_state(cls, state: Mapping[str, AnyArray], config: Any, n_items: int) -> None:
        """Check that the rows of the table and the counts of repeats are in range."""
        super().check_state(state, config, n_items)
        offsets, items, values = (named_array(state, n) for n in ("offsets", "items", "values"))
        check_item_table(offsets, items, values, n_items)
        RepeatModel.check_state(state, config.repeats)

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> Self:
        """Build the model from the arrays of `state`."""
        table = ItemTable.from_state(state)
        return cls(config, table, RepeatModel.from_state(state, config.repeats, table.n_items))
