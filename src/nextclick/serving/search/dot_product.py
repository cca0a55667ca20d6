"""The best items of models whose scores are products with a table, without a row of N scores."""

from __future__ import annotations

import timeit
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from nextclick.core.session_batch import SessionBatch
from nextclick.models.ops.torch_threads import computing_on, threads_for
from nextclick.serving.request import batch_of
from nextclick.serving.search.bounded_exact import Rounded
from nextclick.serving.search.compiled_encoders import compiled_of
from nextclick.serving.search.compiled_encoders import queries as compiled_queries
from nextclick.serving.search.filtered_topk import Best, Filters
from nextclick.serving.search.scorers import BestScorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from nextclick.core.types import Float32Array, Int32Array
    from nextclick.models.neural_model import NeuralModel
    from nextclick.serving.request import Wish
    from nextclick.serving.search.scorers import Lists

_SCORES_PER_BLOCK = 1 << 17  # 512 KiB: what was just written is still in the cache when it is read
_ROUNDED_FROM = 1 << 18  # numbers of a table; a smaller one is scored in some 0.1 ms
_DRAWN = 512  # sessions whose queries tell on which axes a large table is searched
_SUMS = 1e-5  # of the highest score
# What one of n requests costs in a product of matrices is about _EACH + _SHARED / n of what reading
# all bytes costs; measured with 100,000 x 50, 100,000 x 100 and 1,000,000 x 64 numbers.
_EACH, _SHARED = 0.25, 4.0


class ProductBest(BestScorer):
    """All items are scored, block by block; of a large table `rounded` skips most.

    Attributes:
        caution: of `rounded`; the answers are exact while it is 1.
    """

    def __init__(self, model: NeuralModel):
        self.model = model
        with torch.inference_mode():
            model.encoder.eval()
            table, bias = model.encoder.table()
            self.table = table.detach().float().cpu().contiguous()  # (N + 1, D)
            self.bias = None if bias is None else bias.detach().float().cpu().contiguous()
        self.compiled = compiled_of(model.encoder)
        self.caution = 1.0
        self.rounded: Rounded | None = None
        if self.table.numel() >= _ROUNDED_FROM:
            self.rounded = self._in_bytes()

    def best(self, wishes: Sequence[Wish]) -> Lists:
        """See `BestScorer`; who has clicked nothing gets nothing."""
        lists: Lists = [(np.empty(0, np.int32), np.empty(0, np.float32)) for _ in wishes]
        rows = [b for b, wish in enumerate(wishes) if len(wish.clicks)]
        if not rows:
            return lists
        asked = [wishes[b] for b in rows]
        with torch.inference_mode(), computing_on(threads_for(len(rows) * self.table.numel())):
            found = self.nearest(self.queries(asked), asked)
        for b, answer in zip(rows, found, strict=True):
            lists[b] = answer
        return lists

    def queries(self, wishes: Sequence[Wish]) -> Tensor:
        """(B, D) of requests that have a click each."""
        if self.compiled is not None:
            return torch.from_numpy(compiled_queries(self.compiled, wishes))
        queries: Tensor = self.model.queries(batch_of(wishes))
        return queries

    def nearest(self, queries: Tensor, wishes: Sequence[Wish]) -> Lists:
        """The items with the highest products."""
        if self.rounded is None:
            return self.all_scored(queries, wishes)
        lists: Lists = []
        read = 0.0
        for b, wish in enumerate(wishes):
            if read > _EACH + _SHARED / (len(wishes) - b):
                return lists + self.all_scored(queries[b:], wishes[b:])
            found, read = self.rounded.best(queries[b].numpy(), wish, self.caution)
            lists += self.all_scored(queries[b : b + 1], [wish]) if found is None else [found]
        return lists

    def all_scored(self, queries: Tensor, wishes: Sequence[Wish]) -> Lists:
        """The same, by the products with all items."""
        filters = Filters.of(wishes)
        found = Best.empty(filters)
        N, B = len(self.table), len(queries)
        width = max(_SCORES_PER_BLOCK // B, 1024)
        room = torch.empty(B, min(width, N - 1))
        for first in range(1, N, width):
            last = min(first + width, N)
            scores = room[:, : last - first]
            if B == 1:  # a product with a vector, which has a kernel of its own
                torch.mv(self.table[first:last], queries[0], out=scores[0])
            else:
                torch.mm(queries, self.table[first:last].T, out=scores)
            if self.bias is not None:
                scores += self.bias[first:last]
            found.add(scores.numpy(), first, filters)
        return found.lists()

    def _in_bytes(self) -> Rounded | None:
        """The table for `rounded`; None if a number is not finite."""
        table, bias = self.table.numpy(), None if self.bias is None else self.bias.numpy()
        queries = self._some_queries()
        parts = [part for part in (table, bias, queries) if part is not None]
        if not all(np.isfinite(part).all() for part in parts):
            return None
        return Rounded.of(table, bias, queries)

    def _some_queries(self) -> Float32Array:
        """(n, D) of sessions of one to three items each, of the whole catalog."""
        drawn = np.random.default_rng(0).integers(1, len(self.table), (_DRAWN, 3), dtype=np.int32)
        plain = SessionBatch.from_lists([items[: 1 + n % 3] for n, items in enumerate(drawn)])
        users = np.zeros(_DRAWN, dtype=np.int32)
        with torch.inference_mode():
            queries = self.model.queries(replace(plain, users=users))
        found: Float32Array = queries.float().cpu().numpy()
        return found


class Trial:
    """Requests whose best items are known by scoring all, and what the search finds of them."""

    def __init__(self, scorer: ProductBest, wishes: Sequence[Wish]):
        self._scorer = scorer
        self._asked: list[tuple[Tensor, Wish, Int32Array, Float32Array]] = []
        with torch.inference_mode():
            for wish in wishes:
                query = scorer.queries([wish])
                ((items, scores),) = scorer.all_scored(query, [wish])
                self._asked.append((query, wish, items, scores))

    def recall(self) -> float:
        """Which share of the best items the search finds; 1 if there are none.

        An item with the score of the last one may stand in its place, give or take what sums in
        another order differ by.
        """
        found = missed = 0
        with torch.inference_mode():
            for query, wish, best, exact in self._asked:
                if not len(best):
                    continue  # all items score alike
                ((items, scores),) = self._scorer.nearest(query, [wish])
                found += len(best)
                lost = exact[~np.isin(best, items)]
                if len(items) == len(best):  # another of the same score will do
                    lost = lost[lost > scores.min() + _SUMS * np.abs(exact).max()]
                missed += len(lost)
        return 1.0 - missed / max(found, 1)

    def seconds(self) -> float:
        """That the search takes for one of the requests, at its best of three."""
        with torch.inference_mode():
            took = timeit.repeat(
                lambda: [self._scorer.nearest(query, [wish]) for query, wish, *_ in self._asked],
                number=1,
                repeat=3,
            )
        return min(took) / max(len(self._asked), 1)
