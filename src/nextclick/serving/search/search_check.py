"""Verifies the bounded search of a large table against exhaustive scoring, and tunes its speed."""

from __future__ import annotations

import logging
import timeit
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float32Array, Int32Array
    from nextclick.serving.request import ResolvedRequest
    from nextclick.serving.search.dot_product import DotProductSearcher

log = logging.getLogger("nextclick.serving")

_MIN_TUNED_SECONDS = 0.001  # a faster search is not tuned: approximation would gain nothing
_BOUND_SCALES = tuple(n / 20 for n in range(19, 3, -1))  # 0.95 … 0.2
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


def calibrate_bounds(
    searcher: DotProductSearcher, requests: Sequence[ResolvedRequest], min_recall: float
) -> dict[str, object]:
    """Verify the index of a searcher; see `Searcher.calibrate`.

    An exact search that misses an item is disabled. With `min_recall` below 1, a search that takes
    more than a millisecond gets the lowest `bound_scale` that keeps the recall. Every second
    request selects the scale; the reported recall is measured on the others.
    """
    if searcher.index is None:
        return {"method": "exhaustive"}
    selection = RecallCheck(searcher, requests[::2])
    recall = selection.recall()
    if recall < 1.0:
        searcher.index = None
        log.warning("bounded search missed %.4f of the top items: disabled", 1.0 - recall)
        return {"method": "exhaustive"}
    if min_recall < 1.0 and selection.seconds() > _MIN_TUNED_SECONDS:
        holdout = RecallCheck(searcher, requests[1::2])
        recall = _lower_bound_scale(searcher, selection, holdout, min_recall)
    description = {"method": "bounded", "recall": recall, "requests": len(requests[::2])}
    if searcher.bound_scale < 1.0:
        description["bound_scale"] = searcher.bound_scale
    return description


def _lower_bound_scale(
    searcher: DotProductSearcher, selection: RecallCheck, holdout: RecallCheck, min_recall: float
) -> float:
    """Lower the bound scale of a searcher; returns the recall on the holdout.

    The selection may miss half of the allowed share, so that the holdout does not miss more.
    """
    accepted = [1.0]
    for searcher.bound_scale in _BOUND_SCALES:
        if selection.recall() < (1.0 + min_recall) / 2:
            break
        accepted.append(searcher.bound_scale)
    for searcher.bound_scale in reversed(accepted):
        recall = holdout.recall()
        if recall >= min_recall:
            break
    return recall
