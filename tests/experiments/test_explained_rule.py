"""A rule that was planted in a log is named by the explanation: A, then B, means C."""

import pytest

from benchmark_module import benchmark_module


@pytest.fixture(scope="module")
def rule():
    with benchmark_module("explained_rule") as module:
        yield module


def test_session_knn_names_both_clicks(rule, tmp_path):
    log = rule.planted(4_000, 3, 40, seed=0)
    summary = rule.explained(log, "session-knn", tmp_path, most=100, seed=0)
    assert summary["sessions"] == 100
    assert summary["named"] >= 0.9


def test_who_reads_the_last_click_alone_names_no_two(rule, tmp_path):
    log = rule.planted(2_000, 3, 40, seed=0)
    summary = rule.explained(log, "markov", tmp_path, most=50, seed=0, repeats="keep")
    assert summary["named"] < 0.3


@pytest.mark.slow
def test_narm_names_both_clicks(rule, tmp_path):
    log = rule.planted(8_000, 4, 40, seed=0)
    config = rule.SETTINGS["narm"] | {"epochs": 12, "threads": 1}
    summary = rule.explained(log, "narm", tmp_path, most=100, seed=0, **config)
    assert summary["first"] >= 0.95
    assert summary["named"] >= 0.9
