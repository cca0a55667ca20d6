"""Measure the time of one recommendation, in one process and on one thread, without HTTP.

    pip install 'nextclick[serve,neural]'
    python benchmarks/answer.py STORE ARTIFACT… [--sessions 300] [--min-recall 0.99]

Queries one random prefix of each of some test sessions, one after the other. Columns, in ms per
request, the minimum CPU time of five passes:

    checks         raw ids to indices, and the allowed items
    query          the session's query, as the server computes it, and in PyTorch
    search         the 20 best items, as the server searches, and by scoring all items
    8 at once      the same for batches of eight, per request
    answer         the total

The output also has the share of the table's bytes that the search reads, or the candidates of an
approximate search, and its recall of the best items. With --min-recall below 1, which needs the
extra faiss, the search is configured as the server does with that option. The
artifacts are of models whose scores are products with a table.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from nextclick.serving.recommender import Recommender
from nextclick.serving.request import RecommendationRequest, to_batch
from nextclick.serving.search.dot_product import DotProductSearcher
from nextclick.serving.search.search_check import RecallCheck
from nextclick.serving.warm_up import calibrate_search
from server_process import machine
from store_sessions import RawSession, sessions_of_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

K, BATCH, PASSES = 20, 8, 5


def least_ms(work: Callable[[], object], n: int) -> float:
    """Milliseconds of processor time for each of n requests."""
    work()  # kernels are compiled, pages are read
    took = []
    for _ in range(PASSES):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return 1e3 * min(took) / n


def _all(work: Callable[..., object], *of: Sequence[object]) -> None:
    for one in zip(*of, strict=True):
        work(*one)


def row(folder: Path, visits: Sequence[RawSession], min_recall: float) -> str:
    """Of the table."""
    recommender = Recommender.load(folder)
    calibrate_search(recommender, min_recall)
    scorer: Any = recommender.searcher
    if not isinstance(scorer, DotProductSearcher):
        raise SystemExit(f"{folder} is of a model whose scores are no products with a table")
    rng = np.random.default_rng(0)
    asked = [
        RecommendationRequest(one.items[: int(rng.integers(1, len(one.items) + 1))], K)
        for one in visits
    ]
    asked = [query for query in asked if len(recommender.resolve(query).clicks)]
    wishes = [recommender.resolve(query) for query in asked]
    single = [[wish] for wish in wishes]
    batches = [wishes[at : at + BATCH] for at in range(0, len(wishes), BATCH)]
    times: dict[str, Callable[[], object]] = {}
    with torch.inference_mode():
        queries = [scorer.queries(one) for one in single]
        joined = [scorer.queries(some) for some in batches]
        times["checks"] = partial(_all, recommender.resolve, asked)
        times["query"] = partial(_all, scorer.queries, single)
        times["in PyTorch"] = lambda: [scorer.model.queries(to_batch(one)) for one in single]
        for name, search in (("", scorer.search), (", all scored", scorer.search_all)):
            times["search" + name] = partial(_all, search, queries, single)
            times["8 at once" + name] = partial(_all, search, joined, batches)
        times["answer"] = partial(_all, recommender.answer, single)
        found = {name: least_ms(work, len(wishes)) for name, work in times.items()}
    read = "all"
    if scorer.approximate is not None:
        read = f"{scorer.approximate.candidates_per_item} candidates per item"
    elif scorer.index is not None:
        shares = [
            scorer.index.top(query[0], one[0])[1]
            for query, one in zip(queries, single, strict=True)
        ]
        read = f"{100 * np.mean(shares):.1f} %"
    items, width = scorer.table.shape
    shown = " | ".join(f"{ms:.2f}" for ms in found.values())
    recall = f"{RecallCheck(scorer, wishes).recall():.4f}"
    return f"| {folder.name} | {items - 1:,} × {width} | {shown} | {read} | {recall} |"


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="what `nextclick prepare` made")
    parser.add_argument("artifacts", type=Path, nargs="+", help="what `nextclick train` made")
    parser.add_argument("--sessions", type=int, default=300, help="of the test (default 300)")
    parser.add_argument("--min-recall", type=float, default=1.0, help="of the server (default 1)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = (
        "model", "items × width", "checks", "query", "in PyTorch", "search", "8 at once",
        "search, all scored", "8 at once, all scored", "answer", "bytes read", "recall",
    )  # fmt: skip
    print(f"{machine()}; ms\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    visits = sessions_of_store(options.store, limit=options.sessions)
    with threadpool_limits(1):
        for folder in options.artifacts:
            print(row(folder, visits, options.min_recall), flush=True)


if __name__ == "__main__":
    main()
