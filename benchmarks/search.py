"""Measure exact and approximate search of random tables, in one process and on one thread.

    pip install 'nextclick[serve,neural,faiss]'
    python benchmarks/search.py [--items 43000 100000 1000000] [--width 128] [--queries 40]

The vectors of items have length 1 and uniform directions, the worst case of bounds. A query is the
sum of the vectors of two items. Columns: milliseconds of processor time of a search of the best 20
items, the minimum of three passes. The table is searched by scoring all items, by the exact search
of the server, and by the approximate one with the fewest candidates whose recall reaches
--min-recall; then with three queries, as of a session with three intents. The seconds of building
an index are processor time.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from nextclick.serving.request import RecommendationRequest, ResolvedRequest
from nextclick.serving.search.byte_index import ByteIndex
from nextclick.serving.search.quantized_index import QuantizedIndex
from server_process import machine

if TYPE_CHECKING:
    from collections.abc import Callable

K, PASSES, SESSION = 20, 3, 3
CANDIDATES = (2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200)


def unit_rows(rng: np.random.Generator, n: int, width: int) -> Any:
    """(n, width) float32 rows of length 1."""
    rows = rng.standard_normal((n, width), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def request() -> ResolvedRequest:
    """For the best items, without filters."""
    clicks, nothing = np.array([1], np.int32), np.empty(0, np.int32)
    return ResolvedRequest(
        RecommendationRequest((), K), clicks, [], K, nothing, None, None, 0.0, 0
    )  # fmt: skip


def least_ms(work: Callable[[Any], object], batches: list[Any]) -> float:
    """Milliseconds of processor time of each batch."""
    times = []
    for _ in range(PASSES):
        began = time.process_time()
        for batch in batches:
            work(batch)
        times.append(time.process_time() - began)
    return 1e3 * min(times) / len(batches)


def seconds(build: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the seconds of processor time."""
    began = time.process_time()
    return build(), time.process_time() - began


def row(n_items: int, width: int, n_queries: int, min_recall: float) -> str:
    """Of the table."""
    rng = np.random.default_rng(0)
    table = unit_rows(rng, n_items + 1, width)
    pairs = 1 + rng.integers(n_items, size=(2, n_queries + 512))
    queries = table[pairs[0]] + table[pairs[1]]
    sample, queries = queries[n_queries:], queries[:n_queries]
    single = list(queries[:, None])
    exact, exact_built = seconds(lambda: ByteIndex.of(table))
    best = [exact.top(query[0], request())[0][0] for query in single]
    index, built = seconds(lambda: QuantizedIndex.of(table, None, sample))
    for n in CANDIDATES:
        index = replace(index, candidates_per_item=n)
        found = [result[0] for query in single for result in index.top(query, [request()])]
        recall = np.mean([np.isin(b, f).mean() for b, f in zip(best, found, strict=True)])
        if recall >= min_recall:
            break
    sessions = [queries[at : at + SESSION] for at in range(0, n_queries - SESSION + 1, SESSION)]
    requests = [request()] * SESSION
    times = [
        least_ms(lambda query: table @ query[0], single),
        least_ms(lambda query: exact.top(query[0], request()), single),
        least_ms(lambda query: index.top(query, [request()]), single),
        least_ms(lambda some: [exact.top(query, request()) for query in some], sessions),
        least_ms(lambda some: index.top(some, requests), sessions),
    ]
    shown = " | ".join(f"{ms:.2f}" for ms in times)
    sizes = f"{exact.codes.nbytes / 2**20:,.0f} | {index.codes.code_size * n_items / 2**20:,.0f}"
    return (
        f"| {n_items:,} × {width} | {shown} | {n} | {recall:.4f} | {exact_built:.1f} | {built:.1f} "
        f"| {sizes} |"
    )


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, nargs="+", default=[43_000, 100_000, 1_000_000])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--queries", type=int, default=40, help="at least three (default 40)")
    parser.add_argument("--min-recall", type=float, default=0.99)
    options = parser.parse_args()
    columns = (
        "items × width", "all products", "exact", "approximate", "exact, 3 queries",
        "approximate, 3 queries", "candidates per item", "recall", "exact built, s",
        "approximate built, s", "exact, MiB", "approximate, MiB",
    )  # fmt: skip
    print(f"{machine()}; ms\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    with threadpool_limits(1):
        for n_items in options.items:
            print(row(n_items, options.width, options.queries, options.min_recall), flush=True)


if __name__ == "__main__":
    main()
