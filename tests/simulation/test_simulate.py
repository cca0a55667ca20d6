"""The simulated log: its shape and its parameters."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from simulated import NO_STRUCTURE, Log, small

from nextclick.core.config import build_config, describe
from nextclick.errors import ConfigError
from nextclick.simulation import daily_clicks
from nextclick.simulation.simulate import SimulationConfig, simulate_chunks, simulate_frame
from nextclick.simulation.visitor_behavior import MAX_CLICKS, MAX_DWELL_MS, MIN_DWELL_MS


@pytest.fixture(scope="module")
def log() -> Log:
    return Log(small())


def test_columns_counts_and_order(log: Log) -> None:
    frame = simulate_frame(small())
    assert frame.schema == {
        "session_id": pl.Int64,
        "user_id": pl.Int64,
        "item_id": pl.Int64,
        "category": pl.Int32,
        "timestamp": pl.Int64,
    }
    assert frame.height == 60_000
    assert frame["timestamp"].is_sorted()
    assert frame.null_count().row(0) == (0, frame["user_id"].null_count(), 0, 0, 0)
    sessions = frame.group_by("session_id").agg(pl.col("user_id").n_unique(), n=pl.len())
    assert sessions["user_id"].max() == 1
    assert sessions["n"].mean() == pytest.approx(5.5, abs=0.2)
    assert sessions["n"].max() <= MAX_CLICKS
    assert sessions["n"].quantile(0.99) > 20  # heavy-tailed
    in_shop = dict(zip(log.shop.item_ids.tolist(), log.shop.category.tolist(), strict=True))
    assert [in_shop[item] for item in frame["item_id"]] == frame["category"].to_list()


def test_dwell_times_are_within_their_limits(log: Log) -> None:
    gaps = log.time[log.follows] - log.time[log.follows - 1]
    assert gaps.min() >= MIN_DWELL_MS
    assert gaps.max() <= MAX_DWELL_MS


def test_sessions_begin_within_the_days_and_mostly_in_the_evening(log: Log) -> None:
    assert set(log.day[log.first]) == set(range(12))
    hour = log.time[log.first] // 3_600_000 % 24
    per_hour = np.bincount(hour, minlength=24)
    assert per_hour[20] == per_hour[19:22].max()
    assert per_hour[20] > 8 * per_hour[3]


def test_daily_quotas_follow_the_weekdays_and_sum_to_events() -> None:
    config = small(events=727, days=7, start=datetime.date(2026, 3, 2))  # a Monday; Σ WEEK = 7.27
    assert daily_clicks.daily_quotas(config).tolist() == [100, 97, 98, 100, 102, 110, 120]
    sunday = small(events=727, days=7, start=datetime.date(2026, 3, 1))
    assert daily_clicks.daily_quotas(sunday)[0] == 120


@pytest.mark.parametrize(
    "changes",
    [
        {"events": 1},
        {"events": 3, "days": 40},
        {"events": 50, "items": 1, "categories": 1, "users": 1},
        {"events": 500, "items": 7, "categories": 7, "new_items": 0.5, "days": 2},
        {"events": 500, "items": 30, "categories": 15, "new_items": 0.5, "days": 400},
        {"events": 500, "days": 1, "new_items": 0.5, "length": 50},
        {"events": 500, **NO_STRUCTURE},
        {"events": 500, **dict.fromkeys(NO_STRUCTURE, 1) | {"new_items": 0.5}},
    ],
)
def test_a_log_has_exactly_the_requested_number_of_events(changes: dict[str, Any]) -> None:
    frame = simulate_frame(small(**changes))
    assert frame.height == changes["events"]
    assert frame["timestamp"].is_sorted()


def test_chunks_of_a_day_form_one_sorted_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily_clicks, "CHUNK_EVENTS", 300)
    chunks = list(simulate_chunks(small(events=12_000)))
    assert len(chunks) > 40
    assert sum(len(chunk) for chunk in chunks) == 12_000
    time = np.concatenate([chunk.timestamp for chunk in chunks])
    assert (np.diff(time) >= 0).all()
    session = np.concatenate([chunk.session_id for chunk in chunks])
    assert len(np.unique(session)) == chunks[-1].n_sessions
    user = np.concatenate([chunk.user_id for chunk in chunks])
    order = np.lexsort((time, session))
    inside = np.diff(session[order]) == 0
    assert (np.diff(time[order])[inside] >= MIN_DWELL_MS).all()
    assert (np.diff(user[order])[inside] == 0).all()
    hour = time // 3_600_000 % 24
    assert (hour == 20).sum() > 5 * (hour == 3).sum()  # chunks keep to their hours


def test_ids_are_neither_dense_nor_in_order(log: Log) -> None:
    ids = log.shop.item_ids
    assert len(np.unique(ids)) == len(ids) == 600
    assert np.ptp(ids) > 5 * 600
    assert abs(np.corrcoef(ids, np.arange(600))[0, 1]) < 0.2
    users = log.frame["user_id"].drop_nulls().unique().to_numpy()
    assert np.ptp(users) > 5 * 3_000


def test_the_log_depends_on_the_seed() -> None:
    first, again = simulate_frame(small()), simulate_frame(small())
    assert first.equals(again)
    other = simulate_frame(small(seed=1))
    assert not first["item_id"].equals(other["item_id"])
    assert not first["timestamp"].equals(other["timestamp"])


def test_parameters_are_parsed_from_text() -> None:
    typed = {"events": "100", "start": "2026-01-01", "drift": "0.5"}
    config = build_config(SimulationConfig, typed, "simulate")
    assert config == SimulationConfig(events=100, start=datetime.date(2026, 1, 1), drift=0.5)
    assert all(parameter.description for parameter in describe(SimulationConfig))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"events": 0}, "simulation: events must be integer ≥ 1, got 0"),
        ({"taste": 1.5}, "taste must be number ≥ 0 and ≤ 1, got 1.5"),
        ({"items": 5, "categories": 6}, r"categories must be at most items \(5\), got 6"),
    ],
)
def test_a_value_out_of_range_is_rejected(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate_chunks(small(**changes))
