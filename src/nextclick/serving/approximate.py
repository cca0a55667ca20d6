"""Search of large catalogues by product quantisation, with exact scores of what it finds.

Each vector is cut into parts of one or two numbers, and each part becomes one of 16 stand-ins
(Jégou, Douze & Schmid, Product Quantization for Nearest Neighbor Search, PAMI 2011; the scan with
vector instructions is André et al., PAMI 2021, as faiss has it). What the scan finds best is scored
again exactly. How much of the true best it finds depends on the vectors, so it is measured on the
real ones, with queries that the model makes of sessions, before it may answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import faiss
import numpy as np
import torch

from nextclick.serving.products import ProductBest
from nextclick.serving.query import Query, Wish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from nextclick.serving.scorers import Lists
    from nextclick.types import AnyArray, Float32Array, Int32Array, Int64Array

AT = 20  # the recall that is measured
_QUERIES = 256
_SMALLEST = 50_000  # items; fewer are scored exactly in the same time
# numbers for each part, and how many times k the scan hands on to be scored
_TRIES = ((2, 10), (2, 40), (1, 40), (1, 160))


class ApproximateBest(ProductBest):
    """Scans a quantised table, then scores exactly; whoever hides much is answered exactly."""

    def __init__(self, exact: ProductBest, index: faiss.Index, factor: int):
        self.exact = exact
        self.model, self.table, self.bias = exact.model, exact.table, exact.bias
        self.index = index
        self.factor = factor

    def queries(self, wishes: Sequence[Wish]) -> Tensor:
        """As those of exact search."""
        return self.exact.queries(wishes)

    def nearest(self, queries: Tensor, wishes: Sequence[Wish]) -> Lists:
        """See `BestScorer`."""
        most = max(wish.k + len(wish.hidden) for wish in wishes) * self.factor
        if any(wish.shown is not None for wish in wishes) or 4 * most > len(self.table):
            return self.exact.nearest(queries, wishes)
        asked = _with_one(queries, self.bias)
        padded = np.zeros((len(asked), self.index.d), dtype=np.float32)
        padded[:, : asked.shape[1]] = asked
        _, found = self.index.search(padded, most)  # (B, most)
        return [
            self._scored(query, np.sort(row[row >= 0]) + 1, wish)
            for query, row, wish in zip(queries, found, wishes, strict=True)
        ]

    def _scored(
        self, query: Tensor, items: Int64Array, wish: Wish
    ) -> tuple[Int32Array, Float32Array]:
        kept = items[~np.isin(items, wish.hidden)]
        at = torch.from_numpy(kept)
        scores = self.table[at] @ query
        if self.bias is not None:
            scores += self.bias[at]
        best = np.lexsort((kept, -scores.numpy()))[: wish.k]
        return kept[best].astype(np.int32), scores.numpy()[best]


def approximated(exact: ProductBest, min_recall: float) -> tuple[ProductBest, dict[str, object]]:
    """An approximate search with at least that recall, the fastest first; or the exact one.

    Returns:
        the search, and what it is: kind, the recall that was measured, and why it is exact.
    """
    n_items = len(exact.table) - 1
    if n_items < _SMALLEST:
        return exact, {"kind": "exact", "why": f"{n_items} items are scored exactly as fast"}
    faiss.omp_set_num_threads(1)
    wishes = _some_sessions(n_items)
    with torch.inference_mode():
        queries = exact.queries(wishes)
        true = exact.nearest(queries, wishes)
        vectors = _with_one(exact.table[1:], exact.bias, column=True)
        measured = 0.0
        for numbers, factor in _TRIES:
            index = _index(vectors, numbers)
            search = ApproximateBest(exact, index, factor)
            measured = _recall(search.nearest(queries, wishes), true)
            if measured >= min_recall:
                told = {"kind": "approximate", f"recall@{AT}": measured, "queries": len(wishes)}
                return search, told
    why = f"of the exact top {AT} it found {measured:.4f}, less than {min_recall}"
    return exact, {"kind": "exact", "why": why, f"recall@{AT}": measured}


def _index(vectors: Float32Array, numbers: int) -> faiss.Index:
    width = vectors.shape[1]
    parts = -(-width // numbers)
    padded = np.zeros((len(vectors), parts * numbers), dtype=np.float32)
    padded[:, :width] = vectors
    index = faiss.IndexPQFastScan(padded.shape[1], parts, 4, faiss.METRIC_INNER_PRODUCT)
    rng = np.random.default_rng(0)
    sample = rng.choice(len(padded), min(len(padded), 65_536), replace=False)
    index.train(padded[np.sort(sample)])
    index.add(padded)
    return index


def _with_one(vectors: Tensor, bias: Tensor | None, *, column: bool = False) -> Float32Array:
    """(n, D + 1): a bias is the product of a last number with the 1 that queries have there."""
    array: Float32Array = vectors.numpy()
    if bias is None:
        return np.ascontiguousarray(array)
    last: AnyArray = bias[1:].numpy()[:, None] if column else np.ones((len(array), 1), np.float32)
    return np.hstack([array, last])


def _some_sessions(n_items: int) -> list[Wish]:
    rng = np.random.default_rng(0)
    nothing = np.empty(0, np.int32)
    return [
        Wish(
            query=Query((), AT),
            clicks=rng.integers(1, n_items + 1, size=rng.integers(1, 6), dtype=np.int32),
            unknown=[],
            k=AT,
            hidden=nothing,
            shown=None,
            gaps=None,
            waited=0.0,
            user=0,
        )
        for _ in range(_QUERIES)
    ]


def _recall(found: Lists, true: Lists) -> float:
    shares = [
        len(np.intersect1d(a, b)) / len(b) for (a, _), (b, _) in zip(found, true, strict=True)
    ]
    return float(np.mean(shares))
