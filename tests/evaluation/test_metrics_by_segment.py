"""Metrics by segment: by hand, and against the metrics over all prefixes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_evaluate import FunctionScorer, N, hashed, random_log

from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError
from nextclick.evaluation import RankingProtocol, evaluate
from nextclick.evaluation.segments import (
    RankedPrefixes,
    by_column,
    by_earlier_sessions,
    by_popularity,
    by_prefix_length,
    by_user,
)

KEEP = RankingProtocol(unseen="miss")


def values(rows: tuple, metric: str) -> dict[str, tuple[int, int, float]]:
    """Segment to prefixes, sessions and a metric."""
    return {r.segment: (r.prefixes, r.sessions, r.metrics[metric].value) for r in rows}


def test_by_hand() -> None:
    # scores are the item's number, so of 4 items the ranks are 4 - target + 1
    scorer = FunctionScorer(lambda _: np.arange(5), n_items=4)
    log = replace(
        Sessions.from_lists([[1, 4, 1, 4], [2, 3], [3, 0, 4]], n_items=4),
        users=np.array([2, 1, 0], dtype=np.int32),
        n_users=2,
    )
    device = np.array([1, 2, 0], dtype=np.int32)
    found = evaluate(
        scorer,
        log,
        ks=[2],
        protocol=KEEP,
        n_bootstrap=0,
        segmentations=[
            by_prefix_length(),
            by_user(log.users, np.array([2, 2, 0])),
            by_column("device", device, ["phone", "desktop"]),
        ],
    )
    # targets 4 1 4 | 3 | unseen 4, with ranks 1 4 1 | 2 | inf 1
    assert found.ranks.tolist() == [1, 4, 1, 2, np.inf, 1]
    segments = found.segments
    assert values(segments["target"], "recall@2") == {"repeat": (2, 1, 0.5), "new": (4, 3, 0.75)}
    assert values(segments["target"], "mrr@2") == {"repeat": (2, 1, 0.5), "new": (4, 3, 0.625)}
    assert values(segments["prefix-length"], "mrr@2") == {
        "1": (3, 3, 0.5),
        "2": (2, 2, 0.5),
        "3-5": (1, 1, 1.0),
    }
    assert values(segments["user"], "recall@2") == {"known": (3, 1, 2 / 3), "new": (3, 2, 2 / 3)}
    assert values(segments["device"], "recall@2") == {
        "(missing)": (2, 1, 0.5),
        "phone": (3, 1, 2 / 3),
        "desktop": (1, 1, 1.0),
    }


@pytest.mark.parametrize(
    ("position", "label"),
    [(1, "1"), (2, "2"), (3, "3-5"), (5, "3-5"), (6, "6-10"), (10, "6-10"), (11, "11+")],
)
def test_prefix_lengths_have_inclusive_bounds(position: int, label: str) -> None:
    log = Sessions.from_lists([[1] * position + [2]])
    protocol = RankingProtocol(mode="last")
    found = evaluate(
        FunctionScorer(lambda _: np.arange(3), n_items=2),
        log,
        ks=[1],
        protocol=protocol,
        segmentations=[by_prefix_length()],
    )
    assert [row.segment for row in found.segments["prefix-length"]] == [label]


def test_popularity_has_a_tenth_of_the_trained_items_in_each_decile() -> None:
    support = np.array([0, *range(20, 0, -1), 0])  # 20 items, the first is the most popular
    segmentation = by_popularity(support)
    log = Sessions.from_lists([[1, 1], [1, 2], [1, 3], [1, 20], [1, 19], [1, 21], [1, 0]], 21)
    found = evaluate(
        FunctionScorer(lambda _: np.arange(22), n_items=21),
        log,
        ks=[1],
        protocol=KEEP,
        segmentations=[segmentation],
        n_bootstrap=0,
    )
    counts = {row.segment: row.prefixes for row in found.segments["popularity"]}
    assert counts == {"1": 2, "9": 1, "10": 2, "unseen": 2}
    equal = by_popularity(np.full(11, 3))
    assert equal.segment_of(type("P", (), {"targets": np.arange(1, 11)})()).tolist() == [5] * 10


@pytest.mark.parametrize("protocol", [RankingProtocol(), KEEP])
def test_segments_add_up_to_all_prefixes(protocol: RankingProtocol) -> None:
    log = random_log()
    rng = np.random.default_rng(3)
    users = rng.integers(0, 5, len(log)).astype(np.int32)
    found = evaluate(
        FunctionScorer(hashed),
        log,
        protocol=protocol,
        segmentations=[
            by_prefix_length(),
            by_popularity(np.arange(N + 1) % 7),
            by_user(users, np.array([1, 3])),
            by_column("shop", users, list("abcd")),
        ],
        n_bootstrap=50,
    )
    assert list(found.segments) == ["target", "prefix-length", "popularity", "user", "shop"]
    for rows in found.segments.values():
        assert sum(row.prefixes for row in rows) == found.counts.prefixes
        for name, metric in found.metrics.items():
            total = sum(row.prefixes * row.metrics[name].value for row in rows)
            assert total / found.counts.prefixes == pytest.approx(metric.value)
            for row in rows:
                estimate = row.metrics[name]
                assert estimate.low is not None and estimate.high is not None
                assert estimate.low <= estimate.value <= estimate.high


def test_segments_by_earlier_sessions() -> None:
    counts = np.array([0, 1, 2, 4, 5, 9, 10, 400])
    segmentation = by_earlier_sessions(counts)
    prefixes = RankedPrefixes(
        np.array([0, 1, 1, 2, 3, 4, 5, 6, 7]), np.ones(9, np.int32), np.ones(9, np.int32)
    )
    labels = [segmentation.labels[code] for code in segmentation.segment_of(prefixes)]
    assert labels == ["0", "1", "1", "2-4", "2-4", "5-9", "5-9", "10+", "10+"]


def test_segments_by_user_need_users() -> None:
    with pytest.raises(ConfigError, match="by user needs a log with users"):
        by_user(None, None)
