"""Verifies the search of a large table against exhaustive scoring, and chooses an approximation."""

from __future__ import annotations

import logging
import time
import timeit
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.serving.search.quantized_index import MIN_ITEMS, QuantizedIndex, import_faiss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float32Array, Int32Array
    from nextclick.serving.request import ResolvedRequest
    from nextclick.serving.search.dot_product import DotProductSearcher

log = logging.getLogger("nextclick.serving")

_MIN_EXACT_SECONDS = 0.001  # a faster exact search is not replaced by an approximation
_CANDIDATES = (2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200)  # for each requested item
_SUM_ERROR = 1e-5  # relative to the largest score: sums in another order differ by less


class RecallCheck:
    """Requests with their exact top items, to measure the recall and speed of a search."""

    def __init__(self, searcher: DotProductSearcher, requests: Sequence[ResolvedRequest]):
        self._searcher = searcher
        self._exact: list[tuple[Float32Array, ResolvedRequest, Int32Array, Float32Array]] = []
        for request in requests:
            query = searcher.queries([request])
            ((items, scores),) = searcher.search_all(query, [request])
            self._exact.append((query, request, items, scores))

    def recall(self) -> float:
        """The share of exact top items that the search returns; 1 if there are none.

        An item that ties with the last one, within rounding, counts as a match.
        """
        total = missed = 0
        for query, request, exact_items, exact_scores in self._exact:
            if not len(exact_items):
                continue  # all items have the same score
            ((items, scores),) = self._searcher.search(query, [request])
            total += len(exact_items)
            lost = exact_scores[~np.isin(exact_items, items)]
            if len(items) == len(exact_items):
                tolerance = _SUM_ERROR * np.abs(exact_scores).max()
                lost = lost[lost > scores.min() + tolerance]
            missed += len(lost)
        return 1.0 - missed / max(total, 1)

    def seconds(self) -> float:
        """Mean search time of a request, the minimum of three runs."""

        def search_each() -> None:
            for query, request, *_ in self._exact:
                self._searcher.search(query, [request])

        times = timeit.repeat(search_each, number=1, repeat=3)
        return min(times) / max(len(self._exact), 1)


def calibrate_index(
    searcher: DotProductSearcher, requests: Sequence[ResolvedRequest], min_recall: float
) -> dict[str, object]:
    """Verify the index of a searcher; see `Searcher.calibrate`.

    An exact search that misses an item is disabled. With `min_recall` below 1, a search that takes
    more than a millisecond is replaced by an approximation that reaches the recall and is faster.
    """
    if min_recall < 1.0:
        import_faiss()  # the option has no effect without it, whatever the size of the table
    searcher.approximate = None
    if searcher.index is None:
        return {"method": "exhaustive"}
    check = RecallCheck(searcher, requests[::2])
    recall = check.recall()
    if recall < 1.0:
        searcher.index = None
        log.warning("bounded search missed %.4f of the top items: disabled", 1.0 - recall)
        return {"method": "exhaustive"}
    description = {"method": "bounded", "recall": recall, "requests": len(requests[::2])}
    if min_recall < 1.0 and len(searcher.table) > MIN_ITEMS:
        return _approximate(searcher, check, requests[1::2], min_recall) or description
    return description


def _approximate(
    searcher: DotProductSearcher,
    selection: RecallCheck,
    others: Sequence[ResolvedRequest],
    min_recall: float,
) -> dict[str, object] | None:
    """Give a searcher the fastest approximation that reaches a recall.

    Returns:
        Its description; None if the exact search stays, because it is fast or the approximation
        is slower or misses the recall.
    """
    exact_seconds = selection.seconds()
    if exact_seconds < _MIN_EXACT_SECONDS:
        return None
    began = time.perf_counter()
    index = QuantizedIndex.of(searcher.table, searcher.bias, searcher.sample_queries())
    log.info("index of the approximate search built in %.1f s", time.perf_counter() - began)
    holdout = RecallCheck(searcher, others)
    recall = _choose_candidates(searcher, index, selection, holdout, min_recall)
    if recall < min_recall:
        log.warning(
            "approximate search found %.4f of the top items, below --min-recall %g: disabled",
            recall, min_recall,
        )  # fmt: skip
    elif selection.seconds() > exact_seconds:
        log.info("approximate search is slower than the exact one: disabled")
    else:
        assert searcher.approximate is not None
        return {
            "method": "quantized", "recall": recall, "requests": len(others),
            "candidates_per_item": searcher.approximate.candidates_per_item,
        }  # fmt: skip
    searcher.approximate = None
    return None


def _choose_candidates(
    searcher: DotProductSearcher,
    index: QuantizedIndex,
    selection: RecallCheck,
    holdout: RecallCheck,
    min_recall: float,
) -> float:
    """Choose the smallest number of candidates; returns the recall on the holdout.

    The selection may miss half of the allowed share, so that the holdout does not miss more.
    """
    recall = 0.0
    for n in _CANDIDATES:
        searcher.approximate = replace(index, candidates_per_item=n)
        if selection.recall() < (1.0 + min_recall) / 2:
            continue
        recall = holdout.recall()
        if recall >= min_recall:
            break
    return recall
