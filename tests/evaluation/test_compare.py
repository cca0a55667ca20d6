"""Results: files, leaderboards, and errors for results that are not comparable."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nextclick.errors import ConfigError, OutputError, ProtocolError
from nextclick.evaluation.intervals import Estimate
from nextclick.evaluation.leaderboard import check_comparable, leaderboard, mean_over_seeds
from nextclick.evaluation.results import Result

if TYPE_CHECKING:
    from pathlib import Path


def result(label: str, recall: float, **changes: object) -> Result:
    estimate = {"value": recall, "low": recall - 0.02, "high": recall + 0.03}
    base = Result(
        model="item-knn",
        label=label,
        config={"name": label},
        seed=0,
        data_fingerprint="f00d",
        protocol={"mode": "all", "ties": "worst", "unseen": "drop"},
        evaluation={"metrics": {"recall@20": estimate, "mrr@20": estimate}},
    )
    return replace(base, **changes)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    written = result("Präfix", 0.5, leaky="gap to the target")
    written.write(path)
    assert Result.read(path) == written
    assert json.loads(path.read_text(encoding="utf-8"))["schema"] == "nextclick.evaluation/1"


def test_best_first() -> None:
    rows = leaderboard([result("b", 0.2), result("c", 0.5), result("a", 0.2)])
    assert [row.label for row in rows] == ["c", "a", "b"]
    assert rows[0].metrics["recall@20"] == Estimate(0.5, 0.48, 0.53)
    assert rows[0].seed_deviation == {}
    assert leaderboard([]) == []


def test_sorted_by_the_chosen_metric() -> None:
    better = {"metrics": {"recall@20": {"value": 0.1}, "mrr@20": {"value": 0.9}}}
    rows = leaderboard([result("a", 0.5), result("b", 0.1, evaluation=better)], metric="mrr@20")
    assert [row.label for row in rows] == ["b", "a"]


def test_seeds_are_averaged() -> None:
    same = {"config": {"d": 100}}
    rows = leaderboard(
        [
            result("GRU", 0.52, seed=2, **same),
            result("GRU", 0.48, seed=1, **same),
            result("GRU, wide", 0.3, config={"d": 200}),
        ]
    )
    assert [(row.label, row.seeds) for row in rows] == [("GRU", (1, 2)), ("GRU, wide", (0,))]
    assert rows[0].metrics["recall@20"].value == pytest.approx(0.5)
    assert rows[0].seed_deviation["recall@20"] == pytest.approx(0.02 * 2**0.5)


def test_the_interval_of_a_mean_adds_sessions_and_seeds_in_squares() -> None:
    low, high = Estimate(0.4, 0.39, 0.42), Estimate(0.5, 0.47, 0.52)
    mean = mean_over_seeds([low, high])
    seed_error = 12.706 * (0.1 / 2**0.5) / 2**0.5  # t with one degree of freedom
    assert mean.value == pytest.approx(0.45)
    assert mean.low == 0.0  # seed_error is 0.64; the interval is clipped to 0..1
    assert mean.high == 1.0
    assert seed_error == pytest.approx(0.6353)
    seven = mean_over_seeds([Estimate(0.4 + 0.001 * i, 0.39, 0.42 + 0.001 * i) for i in range(7)])
    deviation = 0.001 * (28 / 6) ** 0.5
    assert seven.high - 0.403 == pytest.approx((0.02**2 + (2.447 * deviation / 7**0.5) ** 2) ** 0.5)
    assert 0.403 - seven.low == pytest.approx((0.013**2 + (2.447 * deviation / 7**0.5) ** 2) ** 0.5)


def test_equal_seeds_keep_the_interval_of_the_sessions() -> None:
    estimate = Estimate(0.5, 0.48, 0.53)
    assert mean_over_seeds([estimate]) == estimate
    many = mean_over_seeds([estimate] * 20)
    assert (many.low, many.high) == (pytest.approx(0.48), pytest.approx(0.53))
    assert mean_over_seeds([Estimate(0.2), Estimate(0.4)]) == Estimate(pytest.approx(0.3))


def test_leaky_results_are_labeled_and_not_averaged_with_others() -> None:
    same = {"config": {"gap": "any"}}
    rows = leaderboard(
        [
            result("ASARS", 0.5, seed=1, **same),
            result("ASARS", 0.9, seed=2, leaky="sees the gap to the target", **same),
        ]
    )
    assert [row.label for row in rows] == ["ASARS (leaky: sees the gap to the target)", "ASARS"]
    assert [row.leaky for row in rows] == ["sees the gap to the target", None]


def test_other_data_is_not_comparable() -> None:
    message = (
        "a and b are not comparable: data_fingerprint is 'f00d' and 'beef'. "
        "Evaluate both on the same store with the same options, or make a separate table of each"
    )
    with pytest.raises(ProtocolError, match=message):
        leaderboard([result("a", 0.1), result("b", 0.2, data_fingerprint="beef")])


def test_another_protocol_is_not_comparable() -> None:
    other = {"mode": "all", "ties": "best", "unseen": "drop", "max_length": 19}
    message = (
        "a and c are not comparable: "
        "protocol.max_length is 'not stated' and 19; protocol.ties is 'worst' and 'best'"
    )
    with pytest.raises(ProtocolError, match=message):
        check_comparable([result("a", 0.1), result("b", 0.1), result("c", 0.2, protocol=other)])


def test_a_duplicate_result() -> None:
    message = "a and a are the same model, config and seed 0; omit one of them"
    with pytest.raises(ProtocolError, match=message):
        leaderboard([result("a", 0.1), result("a", 0.1)])


def test_a_missing_metric() -> None:
    with pytest.raises(ConfigError, match="a has no metric 'recall@21': did you mean recall@20"):
        leaderboard([result("a", 0.1)], metric="recall@21")


def test_files_that_are_no_results(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with pytest.raises(ProtocolError, match="cannot read the result: No such file"):
        Result.read(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"json: not a result, which is a JSON file: Expecting"):
        Result.read(path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ProtocolError, match="not a result, which is a JSON object: got list"):
        Result.read(path)
    path.write_text('{"schema": "nextclick.evaluation/0"}', encoding="utf-8")
    message = "result.json: schema must be 'nextclick.evaluation/1', got 'nextclick.evaluation/0'"
    with pytest.raises(ProtocolError, match=message):
        Result.read(path)


@pytest.mark.parametrize(
    "changes", [{"extra": 1}, {"evaluation": {}}, {"evaluation": {"metrics": {"a": {"mean": 1}}}}]
)
def test_invalid_fields(changes: dict[str, object]) -> None:
    values = result("a", 0.1).to_json() | changes
    with pytest.raises(ProtocolError, match=r"not a result of nextclick\.evaluation/1: .*again"):
        Result.from_json(values)


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written: File exists; choose a path"):
        result("a", 0.1).write(tmp_path / "file" / "result.json")
