"""How the best items of a model are found: what the search of a large table is worth, tried."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from nextclick.serving.request import Query

if TYPE_CHECKING:
    from nextclick.serving.recommender import Recommender
    from nextclick.serving.request import Wish
    from nextclick.serving.search.dot_product import ProductBest, Trial

log = logging.getLogger("nextclick.serving")

_TRIED = 30  # requests that a search is tried with
_SLOW = 0.001  # seconds; a search that takes less is not worth to miss an item
_CAUTIONS = tuple(n / 20 for n in range(19, 3, -1))  # 0.95 … 0.2


def tried_search(recommender: Recommender, least_recall: float = 1.0) -> dict[str, object]:
    """How the best items are found, and with what recall if most are passed over.

    Sessions of one to three clicks, spread over the catalog from the most clicked item to the
    least, are asked both ways. An exact search that misses one is not used. One that takes more
    than a millisecond becomes less cautious, as far as `least_recall` of the best are found; the
    recall that is told is of other sessions than those that chose.
    """
    if not recommender.artifact.model.capabilities.product_scores:
        return {"kind": "all"}
    from nextclick.serving.search.dot_product import (  # imports torch, as the scorer has
        ProductBest,
        Trial,
    )

    scorer = recommender.scorer
    if not isinstance(scorer, ProductBest) or scorer.rounded is None:
        return {"kind": "all"}
    wishes = _spread(recommender, 2 * _TRIED)
    trial = Trial(scorer, wishes[::2])
    recall = trial.recall()
    if recall < 1.0:
        scorer.rounded = None
        log.warning("bounds missed %.4f of the best items: all are scored", 1.0 - recall)
        return {"kind": "all"}
    if least_recall < 1.0 and trial.seconds() > _SLOW:
        recall = _relax(scorer, trial, Trial(scorer, wishes[1::2]), least_recall)
    told = {"kind": "bounds", "recall": recall, "requests": _TRIED}
    return told if scorer.caution == 1.0 else told | {"caution": scorer.caution}


def _relax(scorer: ProductBest, chosen: Trial, other: Trial, least_recall: float) -> float:
    """Lower the scorer's caution; the recall of the other requests.

    Those that choose may miss half as much, so that others do not miss more.
    """
    fits = [1.0]
    for scorer.caution in _CAUTIONS:
        if chosen.recall() < (1.0 + least_recall) / 2:
            break
        fits.append(scorer.caution)
    for scorer.caution in reversed(fits):
        recall = other.recall()
        if recall >= least_recall:
            break
    return recall


def _spread(recommender: Recommender, n: int) -> list[Wish]:
    """Requests of sessions of one to three items, from the most clicked to the least."""
    raw, popular = recommender.artifact.items.raw, recommender.popular
    k = min(20, len(popular))
    at = np.linspace(0, len(popular) - 1, n * 3).astype(np.int64)
    sessions = [[raw(int(popular[i])) for i in at[m::n][: m % 3 + 1]] for m in range(n)]
    return [recommender.wish(Query(session, k)) for session in sessions]
