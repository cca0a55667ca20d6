"""Results: there and back again, and never two kinds in one table."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nextclick.errors import ConfigError, OutputError, ProtocolError
from nextclick.evaluation.intervals import Estimate
from nextclick.evaluation.results import (
    Result,
    check_comparable,
    leaderboard,
    mean_over_seeds,
)

if TYPE_CHECKING:
    from pathlib import Path


def result(label: str, recall: float, **changes: object) -> Result:
    told = {"value": recall, "low": recall - 0.02, "high": recall + 0.03}
    whole = Result(
        model="item-knn",
        label=label,
        config={"name": label},
        seed=0,
        data_fingerprint="f00d",
        protocol={"mode": "all", "ties": "worst", "unseen": "drop"},
        evaluation={"metrics": {"recall@20": told, "mrr@20": told}},
    )
    return replace(whole, **changes)


def test_there_and_back_again(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    one = result("Präfix", 0.5, leaky="gap to the target")
    one.write(path)
    assert Result.read(path) == one
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
    found = mean_over_seeds([low, high])
    of_seeds = 12.706 * (0.1 / 2**0.5) / 2**0.5  # t with one degree of freedom
    assert found.value == pytest.approx(0.45)
    assert found.low == 0.0  # of_seeds is 0.64: a fraction ends at 0 and 1
    assert found.high == 1.0
    assert of_seeds == pytest.approx(0.6353)
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


def test_a_leak_is_always_shown_and_never_averaged_away() -> None:
    same = {"config": {"gap": "any"}}
    rows = leaderboard(
        [
            result("ASARS", 0.5, seed=1, **same),
            result("ASARS", 0.9, seed=2, leaky="sees the gap to the target", **same),
        ]
    )
    assert [row.label for row in rows] == ["ASARS (leaky: sees the gap to the target)", "ASARS"]
    assert [row.leaky for row in rows] == ["sees the gap to the target", None]


def test_other_data_is_refused() -> None:
    message = (
        "a and b may not stand in one table: data_fingerprint is 'f00d' and 'beef'. "
        "Evaluate both on the same store with the same options, or make a table of each"
    )
    with pytest.raises(ProtocolError, match=message):
        leaderboard([result("a", 0.1), result("b", 0.2, data_fingerprint="beef")])


def test_another_protocol_is_refused_field_by_field() -> None:
    other = {"mode": "all", "ties": "best", "unseen": "drop", "max_length": 19}
    message = (
        "a and c may not stand in one table: "
        "protocol.max_length is 'not stated' and 19; protocol.ties is 'worst' and 'best'"
    )
    with pytest.raises(ProtocolError, match=message):
        check_comparable([result("a", 0.1), result("b", 0.1), result("c", 0.2, protocol=other)])


def test_the_same_result_twice() -> None:
    message = "a and a are the same model, config and seed 0; leave one of them out"
    with pytest.raises(ProtocolError, match=message):
        leaderboard([result("a", 0.1), result("a", 0.1)])


def test_a_metric_that_a_result_lacks() -> None:
    with pytest.raises(ConfigError, match="a has no metric 'recall@21': did you mean recall@20"):
        leaderboard([result("a", 0.1)], metric="recall@21")


def test_files_that_hold_no_result(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with pytest.raises(ProtocolError, match="cannot read the result: No such file"):
        Result.read(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"json: a result is a JSON file, got Expecting"):
        Result.read(path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ProtocolError, match="a result is a JSON object, got list"):
        Result.read(path)
    path.write_text('{"schema": "nextclick.evaluation/0"}', encoding="utf-8")
    message = "result.json: schema must be 'nextclick.evaluation/1', got 'nextclick.evaluation/0'"
    with pytest.raises(ProtocolError, match=message):
        Result.read(path)


@pytest.mark.parametrize(
    "changes", [{"extra": 1}, {"evaluation": {}}, {"evaluation": {"metrics": {"a": {"mean": 1}}}}]
)
def test_fields_that_do_not_fit(changes: dict[str, object]) -> None:
    told = result("a", 0.1).to_json() | changes
    with pytest.raises(ProtocolError, match=r"this is no result of nextclick\.evaluation/1: "):
        Result.from_json(told)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written: File exists; choose a path"):
        result("a", 0.1).write(tmp_path / "file" / "result.json")
