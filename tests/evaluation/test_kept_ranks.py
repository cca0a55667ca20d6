"""Metrics from stored ranks."""

import numpy as np
import pytest

from nextclick.errors import ProtocolError
from nextclick.evaluation.rank_store import RankStore

RANKS = RankStore(
    np.array([1, 4, np.inf, 25], dtype=np.float32), np.array([0, 0, 2, 2], dtype=np.int32)
)


def test_metrics_by_hand():
    assert RANKS.mean("mrr", 20) == (1 + 1 / 4) / 4
    assert RANKS.mean("mrr", np.inf) == pytest.approx((1 + 1 / 4 + 1 / 25) / 4)
    sums, prefixes = RANKS.sums("recall", 20)
    assert (sums.tolist(), prefixes.tolist()) == ([2.0, 0.0], [2, 2])


def test_round_trip(tmp_path):
    RANKS.write(tmp_path / "ranks.npz")
    read = RankStore.read(tmp_path / "ranks.npz")
    assert np.array_equal(read.ranks, RANKS.ranks)
    assert np.array_equal(read.session, RANKS.session)
    assert [path.name for path in tmp_path.iterdir()] == ["ranks.npz"]


def test_files_that_are_no_ranks(tmp_path):
    (tmp_path / "broken.npz").write_text("nothing")
    for name in ("broken.npz", "absent.npz"):
        with pytest.raises(ProtocolError, match=r"cannot read the ranks: .*; evaluate again"):
            RankStore.read(tmp_path / name)
