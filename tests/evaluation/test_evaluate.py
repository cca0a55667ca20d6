"""Evaluation: by hand, sparse against dense scores, and for any block size."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nextclick.core.sessions import Sessions
from nextclick.core.types import SparseScores
from nextclick.errors import ConfigError, EmptyLogError, NextclickWarning, ScoringError
from nextclick.evaluation import Estimate, Evaluation, RankingProtocol, evaluate
from reference.eval_prefixes import samples
from reference.eval_ranks import rank, top

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.session_batch import SessionBatch

N = 30
KEEP = RankingProtocol(unseen="miss")


class FunctionScorer:
    """Scores each prefix by a function of its items."""

    def __init__(self, score_row: Callable[[list[int]], np.ndarray], n_items: int = N) -> None:
        self.n_items = n_items
        self.score_row = score_row

    def score(self, batch: SessionBatch) -> np.ndarray:
        rows = [
            self.score_row(items[:n].tolist())
            for items, n in zip(batch.items, batch.lengths, strict=True)
        ]
        return np.array(rows, dtype=np.float32)


class SparseFunctionScorer(FunctionScorer):
    """The same scores, listing the items that differ from item 0's."""

    def score_sparse(self, batch: SessionBatch) -> SparseScores:
        dense = self.score(batch)
        base = np.full(self.n_items + 1, dense[0, 0])
        rows, items = np.nonzero(dense != base)
        return SparseScores(
            offsets=np.searchsorted(rows, np.arange(len(dense) + 1)).astype(np.int64),
            items=items.astype(np.int32),
            values=dense[rows, items],
            base=base,
        )


def hashed(items: list[int]) -> np.ndarray:
    """Few distinct scores, many of them 0, that depend on every item of the prefix."""
    row = np.random.default_rng([len(items), *items]).integers(-6, 5, N + 1).clip(0)
    row[0] = 0
    return row.astype(np.float32)


def last_plus_one(items: list[int]) -> np.ndarray:
    row = np.zeros(N + 1, dtype=np.float32)
    row[items[-1] + 1 if items else 1] = 1
    return row


def random_log(n_sessions: int = 40, seed: int = 0) -> Sessions:
    rng = np.random.default_rng(seed)
    return Sessions.from_lists(
        [rng.integers(0, N + 1, rng.integers(1, 27)).tolist() for _ in range(n_sessions)], N
    )


def without_times(evaluation: Evaluation) -> dict[str, object]:
    values = evaluation.to_json()
    return {name: values[name] for name in values if name not in ("seconds", "queries_per_second")}


def test_hand_worked() -> None:
    # scores are the item's number, so of 4 items the ranks are 4 - target + 1
    scorer = FunctionScorer(lambda _: np.arange(5), n_items=4)
    log = Sessions.from_lists([[1, 4, 3], [2], [0, 1, 0]], n_items=4)
    found = evaluate(scorer, log, ks=[2, 1], protocol=KEEP, support=np.array([9, 1, 2, 3, 4]))
    assert found.ranks.tolist() == [1, 2, 4, np.inf]
    assert found.session.tolist() == [0, 0, 2, 2]
    values = {name: estimate.value for name, estimate in found.metrics.items()}
    assert values == {
        "recall@1": 1 / 4,
        "mrr@1": 1 / 4,
        "ndcg@1": 1 / 4,
        "recall@2": 2 / 4,
        "mrr@2": 1.5 / 4,
        "ndcg@2": pytest.approx((1 + 1 / np.log2(3)) / 4),
    }
    counts = found.counts
    assert (counts.sessions, counts.prefixes) == (2, 4)
    assert (counts.unseen_targets, counts.empty_prefixes) == (1, 1)
    assert found.coverage == {"coverage@1": 0.25, "coverage@2": 0.5}
    assert found.popularity["popularity@2"].support == 3.5
    assert [(row.label, row.prefixes) for row in found.by_length] == [("1", 2), ("2", 2)]


def test_unseen_targets_are_dropped_by_default() -> None:
    scorer = FunctionScorer(lambda _: np.arange(5), n_items=4)
    log = Sessions.from_lists([[1, 4, 3], [3, 0], [0, 1, 0]], n_items=4)
    found = evaluate(scorer, log, ks=[1])
    assert found.ranks.tolist() == [1, 2, 4]
    assert found.counts.sessions == 2
    assert (found.counts.prefixes, found.counts.unseen_targets) == (3, 2)
    assert found.protocol["unseen"] == "drop"


@pytest.mark.parametrize("mode", ["all", "last"])
@pytest.mark.parametrize("ties", ["worst", "best", "mean"])
@pytest.mark.parametrize(("max_length", "min_prefix"), [(None, 1), (2, 3)])
def test_equals_the_definition(
    mode: str, ties: str, max_length: int | None, min_prefix: int
) -> None:
    log = random_log(25)
    protocol = RankingProtocol(
        mode=mode, ties=ties, unseen="miss", max_length=max_length, min_prefix=min_prefix
    )
    found = evaluate(FunctionScorer(hashed), log, protocol=protocol, ks=[3], n_bootstrap=0)
    expected = [s for s in samples(log, mode, max_length) if s.position >= min_prefix]
    ranks = [rank(hashed(s.items).tolist(), s.target, ties) for s in expected]
    assert found.ranks.tolist() == ranks
    assert found.metrics["recall@3"].value == np.mean([r <= 3 for r in ranks])
    shown = {item for s in expected for item in top(hashed(s.items).tolist(), 3)} - {0}
    assert found.coverage["coverage@3"] == len(shown) / N
    assert found.protocol == {
        "mode": mode,
        "ties": ties,
        "unseen": "miss",
        "max_length": max_length,
        "min_prefix": min_prefix,
        "rules": None,
    }


def test_a_test_of_one_session_has_no_intervals() -> None:
    log = Sessions.from_lists([[1, 2, 3, 1]], N)
    found = evaluate(FunctionScorer(hashed), log, ks=[3])
    assert found.metrics["recall@3"].low is None
    assert found.n_bootstrap == 0


@pytest.mark.parametrize("protocol", [RankingProtocol(), KEEP])
def test_sparse_and_dense_blocks_of_any_size_agree(protocol: RankingProtocol) -> None:
    log, support = random_log(), np.arange(N + 1) ** 2
    results = [
        without_times(
            evaluate(
                scorer,
                log,
                protocol=protocol,
                support=support,
                max_memory_bytes=max_memory_bytes,
                n_bootstrap=20,
            )
        )
        for scorer in (FunctionScorer(hashed), SparseFunctionScorer(hashed))
        for max_memory_bytes in (1, 3000, 1 << 30)
    ]
    assert all(result == results[0] for result in results[1:])


def test_a_changing_base_is_sorted_again() -> None:
    class ChangingBase:
        n_items = 3

        def __init__(self) -> None:
            self.base = np.array([0, 1, 2, 3], dtype=np.float32)

        def score(self, batch: SessionBatch) -> np.ndarray:
            raise NotImplementedError

        def score_sparse(self, batch: SessionBatch) -> SparseScores:
            self.base[1:] = self.base[:0:-1].copy()  # the same array, reversed in place
            none = np.zeros(len(batch) + 1, dtype=np.int64)
            return SparseScores(none, np.zeros(0, np.int32), np.zeros(0, np.float32), self.base)

    log = Sessions.from_lists([[1, 1, 1]], 3)
    assert evaluate(ChangingBase(), log, ks=[1], max_memory_bytes=1).ranks.tolist() == [1, 3]


def test_a_perfect_scorer() -> None:
    log = Sessions.from_lists([list(range(1, n)) for n in range(3, N + 2)], N)
    for scorer in (FunctionScorer(last_plus_one), SparseFunctionScorer(last_plus_one)):
        found = evaluate(scorer, log, ks=[1, N])
        assert set(found.metrics.values()) == {Estimate(1.0, 1.0, 1.0)}


def test_a_constant_scorer_has_no_hits() -> None:
    for scorer in (
        FunctionScorer(lambda _: np.ones(N + 1)),
        SparseFunctionScorer(lambda _: np.ones(N + 1)),
    ):
        found = evaluate(scorer, random_log(), ks=[1, N - 1, N])
        assert found.metrics["recall@1"].value == 0
        assert found.metrics[f"recall@{N - 1}"].value == 0
        assert found.metrics[f"recall@{N}"].value == 1
        assert found.coverage["coverage@1"] == 0


def test_lengths_add_up() -> None:
    found = evaluate(FunctionScorer(hashed), random_log(), ks=[5, 20], protocol=KEEP)
    assert sum(row.prefixes for row in found.by_length) == found.counts.prefixes
    assert found.by_length[-1].label == "20+"
    assert [row.length for row in found.by_length] == list(range(1, 21))
    for name in ("recall@20", "mrr@20", "ndcg@5"):
        mean = sum(row.metrics[name] * row.prefixes for row in found.by_length)
        assert mean / found.counts.prefixes == pytest.approx(found.metrics[name].value)
    hits = sum(row.hits[20] for row in found.by_length)
    assert hits / found.counts.prefixes == found.metrics["recall@20"].value


def test_the_interval_contains_the_value_and_is_optional() -> None:
    estimate = evaluate(FunctionScorer(hashed), random_log()).metrics["recall@10"]
    assert estimate.low < estimate.value < estimate.high
    none = evaluate(FunctionScorer(hashed), random_log(), n_bootstrap=0).metrics["recall@10"]
    assert none == Estimate(estimate.value, None, None)


def test_json_has_fractions_and_no_arrays() -> None:
    found = evaluate(FunctionScorer(hashed), random_log(), support=np.arange(N + 1))
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert values == found.to_json()
    assert values["metrics"]["recall@20"]["value"] == found.metrics["recall@20"].value
    assert values["by_length"][0]["hits"]["20"] == found.by_length[0].hits[20]
    assert values["popularity"]["popularity@10"]["support"] > 0
    assert (values["ks"], values["n_bootstrap"], values["seed"]) == ([10, 20], 1000, 0)
    assert values["queries_per_second"] > 0
    assert set(values["seconds"]) == {"total", "scoring", "ranking"}
    assert "ranks" not in values
    assert "session" not in values


def test_progress_ends_at_the_number_of_samples() -> None:
    log, calls = random_log(), []
    evaluate(
        FunctionScorer(hashed),
        log,
        max_memory_bytes=1000,
        progress=lambda stage, done, total: calls.append((stage, done, total)),
    )
    assert calls[-1] == ("evaluate", log.n_prefixes, log.n_prefixes)
    assert len(calls) > 2


def test_the_error_for_a_score_names_row_and_item() -> None:
    def bad(items: list[int]) -> np.ndarray:
        return np.where(np.arange(N + 1) == 7, np.nan if len(items) == 3 else 0, 1)

    log = Sessions.from_lists([[1, 2, 3, 4]], N)
    with pytest.raises(ScoringError, match="row 2, item 7: the score is nan"):
        evaluate(FunctionScorer(bad), log, max_memory_bytes=1)


def test_scores_of_the_wrong_shape() -> None:
    with pytest.raises(ScoringError, match=r"expected scores of shape \(1, 31\), got \(1, 30\)"):
        evaluate(FunctionScorer(lambda _: np.ones(N)), Sessions.from_lists([[1, 2]], N))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ks": []}, r"ks must name at least one cut-off in 1\.\.30, got none"),
        ({"ks": [10, 0]}, r"ks must be in 1\.\.30, the number of items; got 0"),
        ({"n_bootstrap": -1}, "n_bootstrap must be at least 0, got -1"),
        ({"support": np.ones(N)}, r"support must have shape \(31,\), a count for padding and each"),
    ],
)
def test_arguments_out_of_range(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(FunctionScorer(hashed), random_log(), **changes)


def test_a_cutoff_above_the_catalog_is_lowered() -> None:
    with pytest.warns(NextclickWarning, match="the catalog has 30 items: K = 31 is lowered to 30"):
        lowered = evaluate(FunctionScorer(hashed), random_log(), ks=[31, 5, 30])
    assert lowered.ks == (5, 30)


def test_protocols_out_of_range() -> None:
    with pytest.raises(ConfigError, match="unseen must be miss or drop, got 'keep'"):
        RankingProtocol(unseen="keep")
    with pytest.raises(ConfigError, match="min_prefix must be at least 1, got 0"):
        RankingProtocol(min_prefix=0)
    with pytest.raises(ConfigError, match="ties must be worst, best or mean, got 'low'"):
        RankingProtocol(ties="low")
    with pytest.raises(ConfigError, match="mode must be all, last or first, got 'middle'"):
        RankingProtocol(mode="middle")
    with pytest.raises(ConfigError, match="max_length must be at least 1, or None"):
        RankingProtocol(max_length=0)


def test_another_number_of_items() -> None:
    log = replace(random_log(), n_items=N + 1)
    message = "the scorer has 30 items, but the sessions have 31; evaluate on the store"
    with pytest.raises(ScoringError, match=message):
        evaluate(FunctionScorer(hashed), log)


@pytest.mark.parametrize("lists", [[], [[1], [2]], [[1, 0], [2, 0, 0]]])
def test_no_prefix_to_evaluate(lists: list[list[int]]) -> None:
    with pytest.raises(
        EmptyLogError, match="no prefix to evaluate: no session has a target to rank after 1 clicks"
    ):
        evaluate(FunctionScorer(hashed), Sessions.from_lists(lists, N))


def test_evaluation_imports_no_dataframe_library() -> None:
    code = (
        "import sys, nextclick.evaluation; "
        "print(sorted({'torch', 'polars', 'pandas', 'nextclick.data', 'nextclick.artifact'} "
        "& sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
