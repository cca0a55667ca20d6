"""Prepares a loaded model for its first request: warm-up, search calibration, timing."""

from __future__ import annotations

import timeit
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.compiled_above import compile_at_once
from nextclick.core.item_rules import ItemRules
from nextclick.errors import ScoringError
from nextclick.serving.request import RecommendationRequest, to_batch

if TYPE_CHECKING:
    from nextclick.core.types import RawId
    from nextclick.serving.recommender import Recommender
    from nextclick.serving.request import ResolvedRequest

INLINE_SECONDS = 0.004  # maximum time of a request in the event loop; a thread costs about 1 ms
# for each of selection and measurement of the search; more for an approximate one
_SAMPLE_REQUESTS, _APPROXIMATE_SAMPLE_REQUESTS = 30, 60


def warm_up(recommender: Recommender) -> None:
    """Run typical requests: compiles kernels, reads pages, and checks the scores.

    Raises:
        ScoringError: a score is not finite.
    """
    compile_at_once()  # no request waits for a compiler
    popular, k = _popular_session(recommender)
    hiding = ItemRules(exclude_seen=True, block=popular[:1])
    for session in ([popular[0]], popular, ["\x00"]):
        times = [0.0] * len(session)
        requests = [
            recommender.resolve(request)
            for request in (
                RecommendationRequest(session, k, times=times, now=1.0, explain=True),
                RecommendationRequest(session, k, rules=hiding),
                RecommendationRequest(session, 1, rules=ItemRules(allow=popular)),
            )
        ]
        recommender.answer(requests)
        recommender.explanations(requests)
        scores = recommender.artifact.model.score(to_batch(requests[:1]))
        if not np.isfinite(scores[:, 1:]).all():
            raise ScoringError("a score of an item is not finite; train the model again")


def calibrate_search(recommender: Recommender, min_recall: float = 1.0) -> dict[str, object]:
    """Verify and tune the search on sessions over the whole catalog; see `Searcher.calibrate`."""
    n = _SAMPLE_REQUESTS if min_recall == 1.0 else _APPROXIMATE_SAMPLE_REQUESTS
    return recommender.searcher.calibrate(sample_requests(recommender, 2 * n), min_recall)


def answers_inline(recommender: Recommender) -> bool:
    """Whether a request takes less than `INLINE_SECONDS`, the minimum of ten runs."""
    session, k = _popular_session(recommender)
    requests = [recommender.resolve(RecommendationRequest(session, k))]
    times = timeit.repeat(lambda: recommender.answer(requests), number=1, repeat=10)
    return min(times) < INLINE_SECONDS


def sample_requests(recommender: Recommender, n: int) -> list[ResolvedRequest]:
    """Sessions of one to three items, from the most clicked item to the least clicked one."""
    raw, popular = recommender.artifact.items.raw, recommender.popular
    k = min(20, len(popular))
    ranks = np.linspace(0, len(popular) - 1, n * 3).astype(np.int64)
    sessions = [[raw(int(popular[i])) for i in ranks[m::n][: m % 3 + 1]] for m in range(n)]
    return [recommender.resolve(RecommendationRequest(session, k)) for session in sessions]


def _popular_session(recommender: Recommender) -> tuple[list[RawId], int]:
    """A session that every model can answer, and a valid k."""
    popular = recommender.popular
    return recommender.artifact.items.raw_ids(popular[:3]), min(20, len(popular))
