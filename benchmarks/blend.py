"""Measure one recommendation of a blend, in one process and on one thread, without HTTP.

    nextclick simulate -o log.parquet --events 3000000 --items 100000 --users 30000
    nextclick prepare log.parquet -o STORE --min-item-support 1
    python benchmarks/blend.py STORE ARTIFACT [--neural cosine-gru] [--sessions 500] [--limit-ms 1]

If there is no ARTIFACT, one is built of session-knn, of a neural model after some steps of
training, and of markov: the time depends on their tables, not on their accuracy or weights.

Queries one random prefix of each of some test sessions, one after the other; the time of a request
is the minimum of five passes, which excludes other processes. The rows are the search of each
member for its candidates, the scores of the candidates, and the whole answer. Exits with 1 if the
median of the whole answer exceeds the limit, or if an answer differs from the offline ranking.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from nextclick.core.topk import SortedBase, sparse_top
from nextclick.data.store import Store
from nextclick.experiments.model_training import train
from nextclick.models.blended.blend import Blend, BlendConfig
from nextclick.models.blended.item_counts import ItemCounts
from nextclick.models.blended.members import resolve_members
from nextclick.models.blended.top_lists import TopLists
from nextclick.serving.recommender import Recommender
from nextclick.serving.request import RecommendationRequest, to_batch
from nextclick.serving.search.blend_search import BlendSearcher
from nextclick.serving.warm_up import calibrate_search, warm_up
from server_process import machine
from store_sessions import sessions_of_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.serving.request import ResolvedRequest
    from nextclick.serving.search.searcher import ScoredItems, Searcher

K, PASSES, OFFLINE = 20, 5, 50
NEURAL = {
    "loss": "sampled", "negatives": 2048, "sparse": True, "learning_rate": 0.002,
    "batch_size": 512, "epochs": 1, "keep": "last", "recent": 0.05,
}  # fmt: skip
WEIGHTS = (0.56, -0.94, 0.54, -0.80, 0.20, -0.50, -0.19, -0.23, 0.33, 0.30, -0.41)


def build(store: Path, name: str, path: Path) -> None:
    """Write an artifact whose weights are not fitted."""
    knn = train(store, "session-knn")
    neural = train(store, name, config=NEURAL)
    markov = train(store, "markov")
    config = BlendConfig(members=resolve_members(("session-knn", name, "markov")))
    counts = ItemCounts.from_sessions(Store.open(store).part("train"))
    models = [knn.model, neural.model, markov.model]
    model = Blend(config, models, counts, np.array(WEIGHTS))
    replace(knn, model=model).save(path)


def request_ms(work: Callable[[int], object], n: int) -> tuple[float, float]:
    """Median and 99th percentile of the milliseconds of n requests."""
    took = np.full((PASSES, n), np.inf)
    for row in took:
        for i in range(n):
            began = time.perf_counter()
            work(i)
            row[i] = time.perf_counter() - began
    best = 1e3 * took.min(axis=0)
    return float(np.median(best)), float(np.percentile(best, 99))


def random_prefixes(
    recommender: Recommender, store: Path, n_sessions: int
) -> list[ResolvedRequest]:
    """Requests with at least one known click."""
    rng = np.random.default_rng(0)
    requests = [
        recommender.resolve(
            RecommendationRequest(one.items[: int(rng.integers(1, len(one.items) + 1))], K)
        )
        for one in sessions_of_store(store, limit=n_sessions)
    ]
    return [request for request in requests if len(request.clicks)]


def differences(recommender: Recommender, requests: Sequence[ResolvedRequest]) -> int:
    """The number of answers whose items differ from those of the offline scores."""
    model = recommender.artifact.model
    scores = model.score_sparse(to_batch(requests))
    lists = sparse_top(scores, SortedBase.from_scores(scores.base), K)
    served = [recommender.searcher.top([request])[0][0] for request in requests]
    return sum(
        row[row > 0].tolist() != items.tolist() for row, items in zip(lists, served, strict=True)
    )


def _search(member: Searcher, requests: Sequence[ResolvedRequest], i: int) -> ScoredItems:
    return member.top([requests[i]])


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="what `nextclick prepare` made")
    parser.add_argument("artifact", type=Path, help="a blend that `nextclick train` made")
    parser.add_argument(
        "--neural", default="cosine-gru", help="the neural member of a new artifact"
    )
    parser.add_argument("--sessions", type=int, default=500, help="of the test (default 500)")
    parser.add_argument("--limit-ms", type=float, default=1.0, help="of the median (default 1)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.artifact.exists():
        build(options.store, options.neural, options.artifact)
    with threadpool_limits(1):
        began = time.perf_counter()
        recommender = Recommender.load(options.artifact)
        loaded = time.perf_counter() - began
        searcher = recommender.searcher
        if not isinstance(searcher, BlendSearcher):
            raise SystemExit(f"{options.artifact} is not a blend; train one with --model blend")
        warm_up(recommender)
        search = calibrate_search(recommender)
        requests = random_prefixes(recommender, options.store, options.sessions)
        whole = searcher.member_requests(requests)
        lists = [
            [TopLists.join(member.top([request])) for member in searcher.searchers]
            for request in whole
        ]
        rows: dict[str, Callable[[int], object]] = {
            f"search of {label}": partial(_search, member, whole)
            for label, member in zip(searcher.model.labels, searcher.searchers, strict=True)
        }
        rows["scores of the candidates"] = lambda i: searcher.model.score_lists(
            lists[i], to_batch([requests[i]])
        )
        rows["whole answer"] = lambda i: recommender.answer([requests[i]])
        size = sum(f.stat().st_size for f in options.artifact.rglob("*") if f.is_file())
        print(
            f"{machine()}; {recommender.artifact.model.n_items:,} items, {len(requests)} requests, "
            f"{size / 1e6:.1f} MB on disk, loaded in {loaded:.1f} s; {search}\n"
        )
        print("| ms | median | p99 |\n|---|---|---|", flush=True)
        for name, work in rows.items():
            median, p99 = request_ms(work, len(requests))
            print(f"| {name} | {median:.2f} | {p99:.2f} |", flush=True)
        different = differences(recommender, requests[:OFFLINE])
    print(f"\n{different} of {min(OFFLINE, len(requests))} answers differ from the offline ranking")
    if different or median > options.limit_ms:
        raise SystemExit(f"median {median:.2f} ms, limit {options.limit_ms:.2f} ms")


if __name__ == "__main__":
    main()
