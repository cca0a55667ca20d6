"""Compare session-knn with session-rec: same parameters, sessions and targets.

    git clone https://github.com/rn5l/session-rec /tmp/session-rec
    pip install nextclick pandas
    python benchmarks/session_knn.py --session-rec /tmp/session-rec --log FOLDER --sample 1000

FOLDER holds a pre-split log: `all_train_seq.txt`, a pickled list of training sessions, oldest
first, and `test.txt`, pickled prefixes and labels, the prefixes of a session longest first. Each
sampled test session is sent click by click to both, one query at a time on one thread, without
clicks on items unseen in training. A query computes the scores of all items. "sparse" is the time
of nextclick if items that score above 0 are sufficient, as in serving. Ranks count ties against the
target.

Accuracy and time are those of session-rec's unchanged code. "Agreement" is measured in a second
pass over a fifth of the sessions with two of its conventions replaced by those of nextclick: among
equally similar sessions the more recent is preferred (session-rec uses the order of a Python set,
and treats sums that differ by rounding as different), and idf counts sessions (session-rec counts
clicks). The remaining differences come from `last_n_clicks`, beyond which session-rec still draws
candidates, and from `linear` weights.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from nextclick.core.config import build_config
from nextclick.core.percentiles import percentiles
from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import AnyArray, Float64Array, silent
from nextclick.data.readers.plain_pickle import read_plain_pickle
from nextclick.models.classical.session_knn import SessionKNN, SessionKNNConfig

K = 20
SAME = 1e-5  # scores are compared relative to the best; ours are float32


class Candidate(Protocol):
    """A scorer that is called click by click."""

    name: str

    def start(self) -> None:
        """A new session begins."""

    def next(self, item: int) -> AnyArray:
        """(N + 1,) scores after a click on `item`."""


@dataclass
class Log:
    """A pre-split log with items numbered 1..N."""

    train: Sessions
    test: list[list[int]]


class Ours:
    """nextclick's session-knn."""

    name = "nextclick"

    def __init__(self, log: Log, config: SessionKNNConfig):
        self.model = SessionKNN.fit(log.train, config, seed=0, progress=silent)
        self.clicks: list[int] = []

    def start(self) -> None:
        """Forget the clicks."""
        self.clicks = []

    def next(self, item: int) -> AnyArray:
        """(N + 1,) scores after a click on `item`."""
        self.clicks.append(item)
        scores: AnyArray = self.model.score(SessionBatch.from_lists([self.clicks]))[0]
        return scores


class Theirs:
    """session-rec's VMContextKNN, scores not divided by the highest."""

    name = "session-rec"

    def __init__(self, module: ModuleType, log: Log, config: SessionKNNConfig):
        import pandas as pd

        session_of_click = np.repeat(np.arange(len(log.train)), log.train.lengths())
        frame = pd.DataFrame(
            {
                "SessionId": session_of_click,
                "ItemId": log.train.items,
                "Time": session_of_click,  # a later session ends later
            }
        )
        self.model: Any = module.VMContextKNN(
            k=config.k,
            sample_size=config.sample_size,
            similarity=config.similarity,
            weighting=config.weighting,
            weighting_score=config.weighting_score,
            idf_weighting=config.idf_weighting or False,
            last_n_clicks=config.last_n_clicks,
            normalize=False,
        )
        self.model.fit(frame)
        self.items = np.arange(1, log.train.n_items + 1)
        self.session = 0

    def start(self) -> None:
        """Take the next number of a session."""
        self.session += 1

    def next(self, item: int) -> AnyArray:
        """(N + 1,) scores after a click on `item`."""
        series = self.model.predict_next(self.session, item, self.items)
        return np.concatenate([[0.0], series.to_numpy()])

    def align(self, log: Log) -> None:
        """Prefer the more recent of equally similar sessions, and let idf count sessions."""
        similarity = self.model.calc_similarity
        self.model.calc_similarity = lambda clicks, sessions, *rest: [
            (session, round(r, 9))
            for session, r in similarity(clicks, sorted(sessions, reverse=True), *rest)
        ]
        holding = self.model.item_session_map
        self.model.idf = {i: np.log(len(log.train) / len(s)) for i, s in holding.items()}


def load_theirs(checkout: Path) -> ModuleType:
    """Import their file; what it asks for and no longer exists is stubbed."""
    path = checkout / "algorithms" / "knn" / "vsknn.py"
    if not path.is_file():
        sys.exit(f"--session-rec: {path} does not exist; give a checkout of rn5l/session-rec")
    memory = ModuleType("pympler")
    memory.__dict__["asizeof"] = ModuleType("pympler.asizeof")
    sys.modules.setdefault("pympler", memory)
    if not hasattr(time, "clock"):
        time.__dict__["clock"] = time.perf_counter
    if not hasattr(np, "in1d"):
        np.__dict__["in1d"] = np.isin
    spec = importlib.util.spec_from_file_location("session_rec_vsknn", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_log(folder: Path) -> Log:
    """Number the items in the order of their raw ids, and put test sessions together again."""
    train = read_plain_pickle(folder / "all_train_seq.txt")
    prefixes, labels = read_plain_pickle(folder / "test.txt")
    raw = sorted({item for session in train for item in session})
    index = {item: i for i, item in enumerate(raw, start=1)}
    test, previous = [], None
    for prefix, label in zip(prefixes, labels, strict=True):
        if previous is None or list(prefix) != previous[:-1]:
            test.append([index[item] for item in [*prefix, label] if item in index])
        previous = list(prefix)
    sessions = Sessions.from_lists([[index[i] for i in s] for s in train], len(raw))
    return Log(sessions, [session for session in test if len(session) >= 2])


def play(candidate: Candidate, sessions: list[list[int]]) -> tuple[Float64Array, Float64Array]:
    """Return the (queries,) ranks of the next clicks, and the seconds that each query took."""
    ranks, seconds = [], []
    for session in sessions:
        candidate.start()
        for item, target in pairwise(session):
            began = time.perf_counter()
            scores = candidate.next(item)
            seconds.append(time.perf_counter() - began)
            ranks.append(np.count_nonzero(scores[1:] >= scores[target]))
    return np.array(ranks, dtype=np.float64), np.array(seconds)


def report(name: str, ranks: Float64Array, seconds: Float64Array) -> None:
    """Print one line of the table."""
    hits = ranks <= K
    micros = seconds * 1e6
    print(
        f"{name:12} {100 * hits.mean():9.2f} {100 * (hits / ranks).mean():9.2f} "
        f"{np.median(micros):12.1f} {percentiles(micros, [99])[0]:12.1f}"
    )


def sparse_seconds(ours: Ours, sessions: list[list[int]]) -> Float64Array:
    """Return the seconds of each query where the items that score above 0 are all that is asked."""
    seconds = []
    for session in sessions:
        for length in range(1, len(session)):
            began = time.perf_counter()
            ours.model.score_sparse(SessionBatch.from_lists([session[:length]]))
            seconds.append(time.perf_counter() - began)
    return np.array(seconds)


def agreement(ours: Ours, theirs: Theirs, sessions: list[list[int]]) -> str:
    """Compare all scores of all queries, relative to the best of each."""
    queries, same_queries, items, same_items = 0, 0, 0, 0
    for session in sessions:
        ours.start()
        theirs.start()
        for item in session[:-1]:
            a, b = ours.next(item), theirs.next(item)
            either = (a > 0) | (b > 0)
            same = np.abs(a / a.max() - b / b.max())[either] <= SAME
            queries, items = queries + 1, items + len(same)
            same_queries, same_items = same_queries + bool(same.all()), same_items + int(same.sum())
    return (
        f"agreement: {same_queries} of {queries} queries in every score, "
        f"{same_items} of {items} scores"
    )


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--session-rec", type=Path, required=True, help="a checkout of it")
    parser.add_argument("--log", type=Path, required=True, help="folder of a pre-split log")
    parser.add_argument("--sample", type=int, default=1000, help="test sessions to play")
    parser.add_argument("--seed", type=int, default=0, help="which sessions")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()

    values = {"repeats": "keep"} | dict(pair.split("=", 1) for pair in options.set)
    config = build_config(SessionKNNConfig, values, "session-knn")
    log = load_log(options.log)
    rng = np.random.default_rng(options.seed)
    chosen = rng.permutation(len(log.test))[: options.sample]
    sessions = [log.test[i] for i in chosen]
    module = load_theirs(options.session_rec)

    ours = Ours(log, config)
    play(ours, sessions[:10])  # compiles
    theirs = Theirs(module, log, config)
    queries = sum(len(session) - 1 for session in sessions)
    print(f"{config}\n{len(sessions)} sessions, {queries} queries, {log.train.n_items} items")
    print(f"{'':12} {'Recall@20':>9} {'MRR@20':>9} {'median µs':>12} {'p99 µs':>12}")
    medians = []
    for candidate in (theirs, ours):
        ranks, seconds = play(candidate, sessions)
        report(candidate.name, ranks, seconds)
        medians.append(np.median(seconds))
    sparse = sparse_seconds(ours, sessions)
    (p99,) = percentiles(sparse, [99])
    print(f"{'  sparse':32} {np.median(sparse) * 1e6:12.1f} {p99 * 1e6:12.1f}")
    print(
        f"ratio of medians: {medians[0] / medians[1]:.0f}, "
        f"sparse {medians[0] / np.median(sparse):.0f}"
    )
    theirs.align(log)
    print(agreement(ours, theirs, sessions[: max(1, len(sessions) // 5)]))


if __name__ == "__main__":
    main()
