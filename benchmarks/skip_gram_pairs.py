"""Measure skip-gram pairs of weighted walks per second: compiled, plain Python, and gensim.

    python benchmarks/skip_gram_pairs.py STORE
    pip install gensim && python benchmarks/skip_gram_pairs.py STORE

All use the item graph of the store's training sessions and LGSR's settings: 13 walks from each
item, up to 50 items long, drawn in proportion to edge weights, a window of 8 on either side.

- compiled: `Walks.batches`: walks, shuffling and batches of 8,192 pairs as arrays.
- python: `random.choices` with cumulative weights for each step, and pairs in a list, without
  shuffling, as in DeepWalk and node2vec.
- gensim: `Word2Vec` (skip-gram, negative sampling, fixed window) on walks of the compiled kernel.
  It generates pairs and trains on them together, so its pairs per second include the arithmetic of
  100 dimensions with 5 negatives, and no walking.

One thread each. Python and gensim process as many walks as fit in some seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import resource
import sys
import time

import numpy as np

from nextclick.data.store import Store
from nextclick.graphs.item_graph import ItemGraph
from nextclick.graphs.walks import Walks

WALKS, LENGTH, WINDOW, BATCH = 13, 50, 8, 8192


def compiled(graph: ItemGraph) -> dict[str, float]:
    """The whole pass."""
    walks = Walks(graph, walks=WALKS, length=LENGTH, window=WINDOW)
    next(iter(walks.batches(0, BATCH)))  # compile
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.perf_counter(), time.process_time()
    pairs = sum(len(batch) for batch in walks.batches(0, BATCH))
    taken = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"pairs": pairs, **taken, "peak_mib_above_graph": more / 1024}


def plain(graph: ItemGraph, seconds: float) -> dict[str, float]:
    """Walks and pairs with lists and dictionaries, until the time is over."""
    weights = graph.weights()
    followers: dict[int, tuple[list[int], list[int]]] = {}
    for i in range(1, graph.n_items + 1):
        part = slice(graph.offsets[i], graph.offsets[i + 1])
        if part.stop > part.start:
            cumulative = np.cumsum(weights[part]).tolist()
            followers[i] = (graph.followers[part].tolist(), cumulative)
    rng = random.Random(0)
    starts = list(followers)
    pairs = 0
    began, cpu = time.perf_counter(), time.process_time()
    while time.process_time() - cpu < seconds:
        walk = [rng.choice(starts)]
        while len(walk) < LENGTH and walk[-1] in followers:
            items, cumulative = followers[walk[-1]]
            walk.append(rng.choices(items, cum_weights=cumulative)[0])
        found: list[tuple[int, int]] = []
        for p, center in enumerate(walk):
            around = range(max(p - WINDOW, 0), min(p + WINDOW + 1, len(walk)))
            found.extend((center, walk[q]) for q in around if q != p)
        pairs += len(found)
    taken = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    return {"pairs": pairs, **taken}


def gensim(graph: ItemGraph, n_walks: int) -> dict[str, float]:
    """One epoch of Word2Vec over some walks, without the time of building its vocabulary."""
    from gensim.models import Word2Vec  # type: ignore[import-not-found]  # need not be installed

    walks = Walks(graph, walks=WALKS, length=LENGTH, window=WINDOW)
    rng = np.random.default_rng(0)
    starts = rng.choice(np.flatnonzero(np.diff(graph.offsets)), n_walks)
    corpus = [[str(item) for item in walks.walk(int(start), 0)] for start in starts]
    model = Word2Vec(
        vector_size=100, window=WINDOW, sg=1, negative=5, min_count=1, sample=0, workers=1,
        shrink_windows=False,
    )  # fmt: skip
    model.build_vocab(corpus)
    lengths = np.array([len(walk) for walk in corpus])
    pairs = sum(
        min(n - 1, p + WINDOW) - max(0, p - WINDOW) for n in lengths.tolist() for p in range(n)
    )
    began, cpu = time.perf_counter(), time.process_time()
    model.train(corpus, total_examples=len(corpus), epochs=1)
    taken = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    return {"pairs": pairs, **taken}


def main() -> None:
    """Print one JSON object for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the Python walker")
    parser.add_argument("--gensim-walks", type=int, default=2_000)
    args = parser.parse_args()
    began = time.perf_counter()
    graph = ItemGraph.from_sessions(Store.open(args.store).part("train"))
    told = {"items": graph.n_items, "edges": len(graph.followers)}
    print(json.dumps({"graph": told, "seconds": time.perf_counter() - began}))
    ways = {"compiled": compiled(graph), "python": plain(graph, args.seconds)}
    if importlib.util.find_spec("gensim") is None:
        print("gensim is not installed", file=sys.stderr)
    else:
        ways["gensim"] = gensim(graph, args.gensim_walks)
    for name, found in ways.items():
        rate = {f"pairs_per_{kind}": found["pairs"] / found[kind] for kind in taken_by(found)}
        print(json.dumps({"way": name, **found, **rate}))


def taken_by(found: dict[str, float]) -> list[str]:
    """The kinds of seconds that were measured."""
    return [kind for kind in ("seconds", "cpu_seconds") if kind in found]


if __name__ == "__main__":
    main()
