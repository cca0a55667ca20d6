"""Compare the encoders of the server with PyTorch: the time of one request, on one thread.

    pip install 'nextclick[neural,serve]'
    python benchmarks/onnx_runtime.py STORE ARTIFACT… [--sessions 300]

Queries one random prefix of each of some test sessions, one after the other. Columns, the median
milliseconds of processor time of a request, of the pass with the smallest median of five:

    encoder          what computes a query in the server
    query, server    the query of the session as the server computes it
    query, PyTorch   the query by PyTorch
    answer, server   the 20 best items, as the server answers

The output also has the largest difference of a query. The artifacts are of models whose scores are
products with a table.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from nextclick.artifact import Artifact
from nextclick.serving.recommender import Recommender
from nextclick.serving.request import RecommendationRequest, to_batch
from nextclick.serving.search.dot_product import DotProductSearcher
from nextclick.serving.warm_up import calibrate_search
from server_process import machine
from store_sessions import RawSession, sessions_of_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

K, PASSES = 20, 5


def median_ms(work: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """Median milliseconds of processor time of one call."""
    medians = []
    for _ in range(PASSES + 1):  # the first compiles kernels and reads pages
        took = []
        for each in inputs:
            began = time.process_time_ns()
            work(each)
            took.append(time.process_time_ns() - began)
        medians.append(float(np.median(took)))
    return min(medians[1:]) / 1e6


def row(folder: Path, visits: Sequence[RawSession]) -> str:
    """A row of the table."""
    recommender = Recommender.load(folder)
    calibrate_search(recommender, 1.0)
    searcher, model = recommender.searcher, Artifact.load(folder).model
    if not isinstance(searcher, DotProductSearcher):
        raise SystemExit(f"{folder} is of a model whose scores are no products with a table")
    rng = np.random.default_rng(0)
    requests = []
    for visit in visits:
        n = int(rng.integers(1, len(visit.items) + 1))
        times = None if visit.times is None else visit.times[:n]
        one = recommender.resolve(RecommendationRequest(visit.items[:n], K, times, visit.user))
        requests += [one] if len(one.clicks) else []
    own: Any = model
    medians = [
        median_ms(lambda one: searcher.queries([one]), requests),
        median_ms(lambda one: own.queries(to_batch([one])), requests),
        median_ms(lambda one: recommender.answer([one]), requests),
    ]
    largest = max(
        float(np.abs(searcher.queries([one])[0] - own.queries(to_batch([one]))[0]).max())
        for one in requests[:50]
    )
    items, width = searcher.table.shape
    encoder = "PyTorch" if searcher.encoder is None else type(searcher.encoder).__name__
    shown = " | ".join(f"{ms:.3f}" for ms in medians)
    return f"| {model.name} | {encoder} | {items - 1:,} × {width} | {shown} | {largest:.1e} |"


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="what `nextclick prepare` made")
    parser.add_argument("artifacts", type=Path, nargs="+", help="what `nextclick train` made")
    parser.add_argument("--sessions", type=int, default=300, help="of the test (default 300)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = (
        "model", "encoder", "items × width", "query, server", "query, PyTorch", "answer, server",
        "largest difference",
    )  # fmt: skip
    print(f"{machine()}; ms\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    visits = sessions_of_store(options.store, limit=options.sessions)
    with threadpool_limits(1):
        for folder in options.artifacts:
            print(row(folder, visits), flush=True)


if __name__ == "__main__":
    main()
