"""Ranks targets among items whose vectors are split over the processes of a run.

All processes rank the same prefixes. Each computes the queries of a part of them, and the scores of
its own items for all of them. The items with a higher or an equal score are counted by each process
and added, so ranks are exact, and no process has all scores or all vectors.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from nextclick.core.topk import dense_top
from nextclick.evaluation.ranker import Ranked, Ranker
from nextclick.evaluation.ranks import raise_not_finite, ranks_of_counts
from nextclick.models.ops.earlier_sessions import ScoreAdditions

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.filtered_topk import CandidateFilter
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.types import AnyArray, Float32Array, Int32Array, Int64Array
    from nextclick.evaluation.ranks import Ties

_BYTES_PER_SCORE = 4


class _Counts(NamedTuple):
    """What a process finds among its items, for B prefixes.

    Attributes:
        above: (B,) items with a higher score than the target.
        tied: (B,) items with the same score, the target included.
        items: (B, k) its items with the highest scores.
        values: (B, k) their scores.
        lowest: (B,) the lowest score.
        not_finite: the first score that is not: row, item and score; None if all are finite.
    """

    above: Int64Array
    tied: Int64Array
    items: Int32Array
    values: Float32Array
    lowest: Float32Array
    not_finite: tuple[int, int, np.float32] | None


class ShardedRanker(Ranker):
    """Ranks the prefixes of a model with split item tables; all processes call it together."""

    def __init__(self, model: Any, *, ties: Ties, list_length: int) -> None:
        """Create a ranker.

        Args:
            model: a `NeuralModel` with `shards`.
            ties: as in `dense_ranks`.
            list_length: number of recommended items per row.
        """
        super().__init__(model, ties=ties, list_length=list_length)
        self.share = (0, 1)
        self._model, self._shards = model, model.shards
        self._first = max(self._shards.start, 1)  # item
        with torch.inference_mode():
            vectors, bias = model.encoder.eval().table()
        skipped = self._first - self._shards.start
        self._vectors: Tensor = vectors[skipped:]
        self._bias: Tensor | None = None if bias is None else bias[skipped:]

    def max_rows(self, n_bytes: int) -> int:
        """See `Ranker.max_rows`; the same in all processes."""
        largest: int = self._shards.largest
        return max(n_bytes // (_BYTES_PER_SCORE * (largest + 2)), 1)

    def rank(
        self,
        batch: SessionBatch,
        targets: Int32Array,
        candidates: CandidateFilter | None = None,
    ) -> Ranked:
        """See `Ranker.rank`; `candidates` is None."""
        assert candidates is None
        began = perf_counter()
        scores = self._score(batch)
        scored = perf_counter()
        parts = self._shards.processes.gather(self._count(scores, targets))
        self._n_rows += len(batch)
        for part in parts:
            if part.not_finite is not None:
                raise_not_finite(*part.not_finite)
        above, tied = (sum(getattr(part, name) for part in parts) for name in ("above", "tied"))
        ranks = ranks_of_counts(above, tied - 1, targets, self._ties)
        lists = _best(parts, self.list_length)
        self._add_times(began, scored)
        return Ranked(ranks, lists, None)

    @torch.inference_mode()
    def _score(self, batch: SessionBatch) -> Float32Array:
        """(B, n + 2) scores of the n items of this process in columns 1..n, then -inf."""
        rows = np.flatnonzero((batch.lengths > 0) | self._model.capabilities.first_click)
        scores = np.zeros((len(batch), len(self._vectors) + 2), dtype=np.float32)
        scores[:, -1] = -np.inf  # below all items: the list of `dense_top` is then never short
        if len(rows):
            queries, additions = self._queries(batch, rows)
            device_queries = queries.to(self._vectors.device)
            products = device_queries @ self._vectors.T
            if self._bias is not None:
                products = products + self._bias
            own = products.float().cpu()
            for row, item, value in additions:
                column = item - self._first
                is_own = (column >= 0) & (column < len(self._vectors))
                own[row[is_own], column[is_own]] += value[is_own]
            scores[rows, 1:-1] = own.numpy()
        return scores

    def _queries(
        self, batch: SessionBatch, rows: AnyArray
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
        """(R, D) queries of R rows, and the additions to their scores, from all processes."""
        processes = self._shards.processes
        shares = np.array_split(np.arange(len(rows)), processes.size)
        own = shares[processes.rank]
        read = rows[own] if len(own) else rows[:1]  # all processes exchange rows of items
        queries, inputs = self._model.queries_of(batch, read)
        prefixes = torch.arange(len(read), device=queries.device)
        added = self._model.encoder.additions(queries, prefixes, inputs)
        found = queries[: len(own)].float().cpu(), _on_cpu(added) if len(own) else None
        parts = processes.gather(found)
        additions = [
            (added.rows + int(share[0]), added.items, added.values)
            for share, (_, added) in zip(shares, parts, strict=True)
            if added is not None
        ]
        return torch.cat([part for part, _ in parts]), additions

    def _count(self, scores: Float32Array, targets: Int32Array) -> _Counts:
        """Count the items of this process."""
        n = scores.shape[1] - 2
        column = targets.astype(np.int64) - self._first + 1
        is_own = (column >= 1) & (column <= n)
        own = np.where(is_own, scores[np.arange(len(targets)), np.where(is_own, column, 0)], 0.0)
        target = np.stack(self._shards.processes.gather(own)).sum(axis=0, dtype=np.float32)[:, None]
        ranked = scores[:, 1:-1]  # (B, n)
        lists = dense_top(scores, min(self.list_length, n))
        lowest = ranked.min(axis=1)
        finite = np.isfinite(lowest) & np.isfinite(ranked.max(axis=1))
        bad = None
        if not finite.all():
            row = int(np.argmin(finite))
            item = int(np.flatnonzero(~np.isfinite(ranked[row]))[0])
            bad = (self._n_rows + row, item + self._first, ranked[row, item])
        return _Counts(
            np.count_nonzero(ranked > target, axis=1),
            np.count_nonzero(ranked == target, axis=1),
            (lists + (self._first - 1)).astype(np.int32),
            np.take_along_axis(scores, lists, axis=1),
            lowest,
            bad,
        )


def _best(parts: list[_Counts], k: int) -> Int32Array:
    """(B, k) the lists of `dense_top` from those of the processes."""
    items = np.concatenate([part.items for part in parts], axis=1)
    values = np.concatenate([part.values for part in parts], axis=1)
    order = np.lexsort((items, -values), axis=1)[:, :k]
    items, values = (np.take_along_axis(a, order, axis=1) for a in (items, values))
    lowest = np.min([part.lowest for part in parts], axis=0)[:, None]
    return np.where(values > lowest, items, 0).astype(np.int32)


def _on_cpu(additions: ScoreAdditions | None) -> ScoreAdditions | None:
    return None if additions is None else ScoreAdditions(*(tensor.cpu() for tensor in additions))
