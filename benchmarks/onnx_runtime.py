"""Compare ONNX Runtime with the server's encoders: the time of one request, on one thread.

    pip install 'nextclick[neural,onnx,serve]'
    python benchmarks/onnx_runtime.py STORE ARTIFACT… [--sessions 300]

Exports each artifact and queries one random prefix of each of some test sessions, one after the
other. Columns, the median milliseconds of processor time of a request, of the pass with the
smallest median of five:

    server              the query of the session as the server computes it, by compiled kernels if
                        the model has them, else by PyTorch
    PyTorch             the query by PyTorch
    ONNX Runtime        the query by the exported graph, which then computes no score
    server, top 20      the 20 best items, as the server answers
    ONNX Runtime, all   the scores of all items by the exported graph, and the 20 best by NumPy

The output also has the largest difference of a score. The artifacts are of models whose scores are
products with a table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch
from threadpoolctl import threadpool_limits

from nextclick.export.onnx_export import MODEL, export_onnx, graph_feed
from nextclick.serving.recommender import Recommender
from nextclick.serving.request import RecommendationRequest, to_batch
from nextclick.serving.search.dot_product import DotProductSearcher
from nextclick.serving.warm_up import calibrate_search
from server_process import machine
from store_sessions import RawSession, sessions_of_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.serving.request import ResolvedRequest

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


def open_session(file: Path) -> onnxruntime.InferenceSession:
    """The exported graph, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def top_of(scores: np.ndarray) -> np.ndarray:
    """(K,) best items of (N + 1,) scores."""
    best = np.argpartition(-scores, K)[:K]
    order: np.ndarray = best[np.argsort(-scores[best])]
    return order


def row(folder: Path, visits: Sequence[RawSession]) -> str:
    """A row of the table."""
    recommender = Recommender.load(folder)
    calibrate_search(recommender, 1.0)
    searcher, model = recommender.searcher, recommender.artifact.model
    if not isinstance(searcher, DotProductSearcher):
        raise SystemExit(f"{folder} is of a model whose scores are no products with a table")
    rng = np.random.default_rng(0)
    requests = []
    for visit in visits:
        n = int(rng.integers(1, len(visit.items) + 1))
        times = None if visit.times is None else visit.times[:n]
        one = recommender.resolve(RecommendationRequest(visit.items[:n], K, times, visit.user))
        requests += [one] if len(one.clicks) else []
    with tempfile.TemporaryDirectory() as scratch:
        export_onnx(folder, Path(scratch) / "exported")
        session = open_session(Path(scratch) / "exported" / MODEL)
    only_query = onnxruntime.RunOptions()
    only_query.add_run_config_entry("only_execute_path_to_fetches", "1")
    feeds = [graph_feed(model, latest(request, model)) for request in requests]
    with torch.inference_mode():
        found = [
            median_ms(lambda one: searcher.queries([one]), requests),
            median_ms(lambda one: searcher.model.queries(to_batch([one])), requests),
            median_ms(lambda one: session.run(["query"], one, only_query), feeds),
            median_ms(lambda one: recommender.answer([one]), requests),
            median_ms(lambda one: top_of(session.run(["scores"], one)[0][0]), feeds),
        ]
        offline = [model.score(to_batch([one]))[0, 1:] for one in requests[:50]]
    scores = [session.run(["scores"], one)[0][0, 1:] for one in feeds[:50]]
    largest = max(np.abs(a - b).max() for a, b in zip(scores, offline, strict=True))
    items, width = searcher.table.shape
    shown = " | ".join(f"{ms:.3f}" for ms in found)
    return f"| {model.name} | {items - 1:,} × {width} | {shown} | {largest:.1e} |"


def latest(request: ResolvedRequest, model: Any) -> Any:
    """A batch of the clicks of one request that the model reads."""
    gaps, n = request.gaps, model.max_length
    cut = replace(request, clicks=request.clicks[-n:], gaps=None if gaps is None else gaps[-n:])
    return to_batch([cut])


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
        "model", "items × width", "server", "PyTorch", "ONNX Runtime", "server, top 20",
        "ONNX Runtime, all", "largest difference",
    )  # fmt: skip
    print(f"{machine()}; ms\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    visits = sessions_of_store(options.store, limit=options.sessions)
    with threadpool_limits(1):
        for folder in options.artifacts:
            print(row(folder, visits), flush=True)


if __name__ == "__main__":
    main()
