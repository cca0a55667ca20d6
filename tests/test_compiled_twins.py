"""NumPy functions and their compiled twins give the same bits, and a small run compiles nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.core import compiled_above as module
from nextclick.core import filtered_topk, filtered_topk_kernels, topk, topk_kernels
from nextclick.core.compiled_above import compile_at_once, compiled_above
from nextclick.core.filtered_topk import CandidateFilter
from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.topk import SortedBase
from nextclick.core.types import SparseScores
from nextclick.data import encode, session_position_kernels, sessionize
from nextclick.evaluation import rank_kernels, ranks
from nextclick.models.blended import candidate_features, candidate_kernels
from nextclick.models.blended.item_counts import Popularity
from nextclick.models.blended.top_lists import TopLists
from nextclick.models.classical import inverted_index as postings
from nextclick.models.classical import (
    item_kernels,
    item_knn,
    repeat_counts,
    repeat_kernels,
    repeat_model,
    session_index,
    session_scores,
    session_votes,
    transitions,
)
from nextclick.models.classical.inverted_index import Postings
from nextclick.models.classical.position_weights import CODES
from nextclick.models.classical.session_index import SessionIndex

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

N = 7
logs = st.lists(st.lists(st.integers(0, N), max_size=9), min_size=1, max_size=25)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=60, deadline=None)


def plain(function: Callable) -> Callable:
    """The NumPy body of a decorated function."""
    return function.__wrapped__


def assert_same(one: object, other: object) -> None:
    if isinstance(one, tuple | list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    else:
        assert one == other


def sparse_scores(rng: np.random.Generator, n_rows: int) -> SparseScores:
    """Rows with many equal scores, listed and not."""
    lists = [rng.permutation(N)[: rng.integers(0, N + 1)] + 1 for _ in range(n_rows)]
    items = np.concatenate([np.empty(0, np.int64), *lists]).astype(np.int32)
    return SparseScores(
        offsets=np.cumsum([0, *map(len, lists)]).astype(np.int64),
        items=items,
        values=(rng.integers(0, 4, len(items)) / 4).astype(np.float32),
        base=(rng.integers(0, 4, N + 1) / 4).astype(np.float32),
    )


@few
@given(st.lists(st.lists(st.integers(0, 5), max_size=30), min_size=1, max_size=4))
def test_positions_of_clicks_in_sessions(chunks):
    kernel = session_position_kernels.session_positions
    counts = np.bincount([group for chunk in chunks for group in chunk], minlength=6)
    cursor = np.cumsum(counts) - counts
    other = cursor.copy()
    for chunk in chunks:
        groups = np.array(chunk, dtype=np.int32)
        assert_same(plain(sessionize.session_positions)(groups, cursor), kernel(groups, other))
        assert_same(cursor, other)


@few
@given(seeds, st.integers(1, N))
def test_best_items_of_rows(seed, k):
    rng = np.random.default_rng(seed)
    sparse = sparse_scores(rng, 5)
    base = SortedBase.from_scores(sparse.base)
    lists = plain(topk.sparse_top)(sparse, base, k)
    assert_same(lists, topk_kernels.sparse_top(sparse, base, k))
    dense = sparse.dense()
    assert_same(plain(topk.dense_top)(dense, k), topk_kernels.dense_top(dense, k))
    assert_same(lists, plain(topk.dense_top)(dense, k))


@few
@given(seeds)
def test_best_items_that_may_be_shown(seed):
    rng = np.random.default_rng(seed)
    sparse = sparse_scores(rng, 5)
    excluded = [np.sort(rng.permutation(N)[: rng.integers(0, 4)] + 1) for _ in range(5)]
    candidates = CandidateFilter(
        k=rng.integers(1, N + 1, 5),
        excluded_offsets=np.cumsum([0, *map(len, excluded)]),
        excluded=np.concatenate(excluded).astype(np.int32),
        mask_of=rng.integers(-1, 2, 5),
        masks=rng.random((2, N + 1)) < 0.5,
    )
    base = SortedBase.from_scores(sparse.base)
    assert_same(
        plain(filtered_topk.sparse_topk)(sparse, base, candidates),
        filtered_topk_kernels.sparse_topk(sparse, base, candidates),
    )


@few
@given(st.lists(st.lists(st.integers(-1, N + 2), max_size=5), min_size=1, max_size=6))
def test_first_wrong_entry(rows):
    offsets = np.cumsum([0, *map(len, rows)])
    items = np.array([item for row in rows for item in row], dtype=np.int32)
    assert_same(
        plain(ranks.find_invalid_entry)(offsets, items, N),
        rank_kernels.find_invalid_entry(offsets, items, N),
    )


@few
@given(logs, st.lists(st.integers(0, 4), min_size=N + 1, max_size=N + 1))
def test_sessions_of_items(log, at_most):
    sessions = Sessions.from_lists(log, N)
    arguments = sessions.items, sessions.offsets, np.array(at_most)
    assert_same(plain(postings.invert)(*arguments), item_kernels.invert(*arguments))
    kept = np.arange(0, len(log), 2)
    arguments = sessions.items, sessions.offsets, kept, N
    assert_same(
        plain(session_index.distinct_items)(*arguments), session_votes.distinct_items(*arguments)
    )


@few
@given(logs, st.integers(1, 4), st.booleans(), st.integers(0, N), st.integers(0, N))
def test_rows_of_item_tables(log, n, by_click, one, other):
    sessions = Sessions.from_lists(log, N)
    start, stop = min(one, other), max(one, other) + 1
    lists = Postings.from_sessions(sessions)
    damped = sessions.support() + 20.0
    arguments = sessions, lists, (damped**0.3, damped**0.7), by_click, n
    rows, compiled = (
        plain(item_knn.neighbor_rows)(*arguments),
        item_kernels.neighbor_rows(*arguments),
    )
    assert_same(rows(start, stop), compiled(start, stop))
    weights = 1 / np.arange(1.0, 5.0)  # thirds: sums depend on their order
    arguments = sessions, lists, weights, n
    rows = plain(transitions.follower_rows)(*arguments)
    assert_same(rows(start, stop), item_kernels.follower_rows(*arguments)(start, stop))


rules = st.builds(
    session_scores.VotingRule,
    k=st.integers(1, 6),
    sample_size=st.integers(1, 8),
    cosine=st.booleans(),
    weighting=st.sampled_from(list(CODES.values())),
    weighting_score=st.sampled_from(list(CODES.values())),
    idf_weighting=st.sampled_from([0.0, 0.7]),
    last_n_clicks=st.integers(1, 12),
)
queries = st.lists(st.lists(st.integers(1, N), max_size=14), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(logs, queries, rules, st.sampled_from(repeat_model.REPEATS))
def test_votes_of_neighbor_sessions(log, clicks, rule, repeats):
    sessions = Sessions.from_lists(log, N)
    index = SessionIndex.from_sessions(sessions, rule.sample_size)
    table = repeat_model.RepeatModel.fit(repeats, sessions).table
    batch = SessionBatch.from_lists(clicks)
    arguments = batch.items, batch.lengths, index, rule, table
    assert_same(plain(session_scores.score_rows)(*arguments), session_votes.score_rows(*arguments))


@few
@given(st.lists(st.lists(st.integers(1, N), max_size=30), min_size=1, max_size=9), st.booleans())
def test_counts_of_repeats(log, is_long):
    if is_long:  # beyond the window
        log = [[*log[0], *range(1, 250), *log[0]], *log]
    sessions = Sessions.from_lists(log, max(N, 250))
    arguments = sessions.items, sessions.offsets
    assert_same(
        plain(repeat_counts.count_returns)(*arguments), repeat_kernels.count_returns(*arguments)
    )


@few
@given(seeds, queries)
def test_scores_of_repeats(seed, clicks):
    rng = np.random.default_rng(seed)
    table = np.where(rng.random((3, repeat_counts.N_CELLS)) < 0.2, 0, rng.random())
    sparse = sparse_scores(rng, len(clicks))
    batch = SessionBatch.from_lists(clicks)
    arguments = batch.items, batch.lengths, sparse.offsets, sparse.items, sparse.values, table
    assert_same(
        plain(repeat_model.score_repeats)(*arguments), repeat_kernels.score_repeats(*arguments)
    )


@few
@given(seeds, queries)
def test_logits_of_candidates(seed, clicks):
    rng = np.random.default_rng(seed)
    lists = [
        TopLists.join(
            [
                (
                    rng.permutation(N)[:n].astype(np.int32) + 1,
                    np.sort(rng.integers(0, 4, n)).astype(np.float32)[::-1],  # some without votes
                )
                for n in rng.integers(0, N + 1, len(clicks))
            ]
        )
        for _ in range(3)
    ]
    trending = np.flatnonzero(rng.random(N + 1) < rng.choice([0.0, 0.3]))
    popularity = Popularity(
        np.log1p(rng.integers(0, 99, (N + 1, 4))), trending[trending > 0].astype(np.int32)
    )
    arguments = (
        SessionBatch.from_lists(clicks),
        lists,
        [True, False, True],
        popularity,
        np.where(rng.random(13) < 0.2, 0.0, rng.normal(size=13)),
    )
    assert_same(
        plain(candidate_features.candidate_logits)(*arguments),
        candidate_kernels.candidate_logits(*arguments),
    )


@few
@given(
    st.lists(st.none() | st.integers(-(2**40), 2**40) | st.integers(0, 9), max_size=90),
    st.integers(1, 40),
    st.integers(0, 90),
)
def test_codes_by_sorting_and_by_hashing(ids, step, sorted_rows):
    codes = []
    for limit in (0, sorted_rows, 1000):  # hashing, first one and then the other, sorting
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encode, "_SORTED_ROWS", limit)
            encoder = encode.IdEncoder()
            chunks = [ids[i : i + step] for i in range(0, len(ids), step)]
            series = [pl.Series(chunk, dtype=pl.Int64) for chunk in chunks]
            codes.append([encoder.encode(chunk).tolist() for chunk in series])
    assert codes[0] == codes[1] == codes[2]


def square(n: int) -> str:
    """Stands for a kernel."""
    return f"compiled {n}"


def test_the_kernel_takes_over_once_the_work_passes_the_limit(monkeypatch):
    def decorated() -> Callable[[int], str]:
        return compiled_above(10, kernel=f"{__name__}:square", work=lambda n: n)(
            lambda n: f"plain {n}"
        )

    monkeypatch.setattr(module, "_compile_at_once", False)
    function = decorated()
    assert [function(n) for n in (4, 6, 1, 0)] == ["plain 4", "plain 6", "compiled 1", "compiled 0"]
    function = decorated()
    compile_at_once()
    assert function(1) == "compiled 1"


SMALL_RUN = """
import sys
sys.modules["matplotlib"] = None  # drawing a report takes seconds
from nextclick.data.prepare_store import prepare
from nextclick.models.model_registry import BASELINES
from nextclick.experiments.comparison import CompareOptions, compare

log, folder = sys.argv[1:]
prepared = prepare(log, folder + "/store")
names = [name for name in BASELINES if name not in ("bpr-mf", "fpmc")]  # these learn step by step
compare(prepared.store, names, folder + "/models", CompareOptions(ks=(5,)))
print([name for name in ("numba", "torch") if name in sys.modules])
"""


def test_a_small_run_imports_neither_numba_nor_torch(tmp_path: Path):
    rng = np.random.default_rng(0)
    rows = [f"{s},{rng.integers(0, 30)},{1000 * s + t}" for s in range(400) for t in range(5)]
    log = tmp_path / "clicks.csv"
    log.write_text("\n".join(["session_id,item_id,timestamp", *rows]))
    command = [sys.executable, "-c", SMALL_RUN, str(log), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "[]"
