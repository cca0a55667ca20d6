"""The simulated log: its shape, and each structure present, and absent with its switch off."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from nextclick.data import traffic
from nextclick.data.shop import open_shop
from nextclick.data.simulate import SimulationConfig, simulate_chunks, simulate_frame
from nextclick.data.visits import LONGEST, LONGEST_MS, SHORTEST_MS
from nextclick.errors import ConfigError
from nextclick.config import build_config, describe
from nextclick.sessions import MS_PER_DAY

NO_STRUCTURE: dict[str, float] = {
    "purpose": 0,
    "similarity": 0,
    "dwell_signal": 0,
    "reclick": 0,
    "taste": 0,
    "drift": 0,
    "new_items": 0,
}


def small(**changes: Any) -> SimulationConfig:
    sizes = {"events": 60_000, "items": 600, "users": 3_000, "days": 12, "categories": 12}
    return SimulationConfig(**(sizes | changes))


class Log:
    """A log in the order of sessions, with the indices of its items."""

    def __init__(self, config: SimulationConfig):
        self.config = config
        self.shop = open_shop(config)
        frame = simulate_frame(config).sort("session_id", "timestamp")
        self.frame = frame
        order = np.argsort(self.shop.item_ids)
        ids = frame["item_id"].to_numpy()
        self.items = order[np.searchsorted(self.shop.item_ids[order], ids)]
        self.category = self.shop.category[self.items]
        self.session = frame["session_id"].to_numpy()
        self.time = frame["timestamp"].to_numpy()
        self.first = np.diff(self.session, prepend=-1) != 0
        self.follows = np.flatnonzero(~self.first)  # clicks that have one before them
        start = datetime.datetime.combine(config.start, datetime.time(), datetime.UTC)
        self.day = (self.time - int(start.timestamp() * 1000)) // MS_PER_DAY

    def distance(self) -> np.ndarray:
        """Steps on the ring from each followed click to the next; large across categories."""
        now, then = self.items[self.follows - 1], self.items[self.follows]
        size = np.diff(self.shop.bounds)[self.shop.category[now] - 1]
        step = np.abs(now - then)
        return np.where(
            self.shop.category[now] == self.shop.category[then],
            np.minimum(step, size - step),
            10**6,
        )

    def gaps(self) -> np.ndarray:
        return np.log(self.time[self.follows] - self.time[self.follows - 1])

    def clicks(self) -> np.ndarray:
        """(days, N) how often each item was clicked on each day."""
        n_days, n_items = self.config.days, self.config.items
        day = np.minimum(self.day, n_days - 1)
        return np.bincount(day * n_items + self.items, minlength=n_days * n_items).reshape(
            n_days, n_items
        )


@pytest.fixture(scope="module")
def log() -> Log:
    return Log(small())


# --- shape


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
    assert sessions["n"].max() <= LONGEST
    assert sessions["n"].quantile(0.99) > 20  # heavy-tailed
    in_shop = dict(zip(log.shop.item_ids.tolist(), log.shop.category.tolist(), strict=True))
    assert [in_shop[item] for item in frame["item_id"]] == frame["category"].to_list()


def test_gaps_within_a_session_lie_within_their_bounds(log: Log) -> None:
    gaps = log.time[log.follows] - log.time[log.follows - 1]
    assert gaps.min() >= SHORTEST_MS
    assert gaps.max() <= LONGEST_MS


def test_sessions_begin_within_the_days_and_mostly_in_the_evening(log: Log) -> None:
    assert set(log.day[log.first]) == set(range(12))
    hour = log.time[log.first] // 3_600_000 % 24
    per_hour = np.bincount(hour, minlength=24)
    assert per_hour[20] == per_hour[19:22].max()
    assert per_hour[20] > 8 * per_hour[3]


def test_quotas_follow_the_week_and_add_up() -> None:
    config = small(events=727, days=7, start=datetime.date(2026, 3, 2))  # a Monday; Σ WEEK = 7.27
    assert traffic.daily_quotas(config).tolist() == [100, 97, 98, 100, 102, 110, 120]
    sunday = small(events=727, days=7, start=datetime.date(2026, 3, 1))
    assert traffic.daily_quotas(sunday)[0] == 120


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
def test_any_shop_gives_exactly_the_events_asked_for(changes: dict[str, Any]) -> None:
    frame = simulate_frame(small(**changes))
    assert frame.height == changes["events"]
    assert frame["timestamp"].is_sorted()


def test_parts_of_a_day_join_into_one_ordered_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "CHUNK_EVENTS", 300)
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
    assert (np.diff(time[order])[inside] >= SHORTEST_MS).all()
    assert (np.diff(user[order])[inside] == 0).all()
    hour = time // 3_600_000 % 24
    assert (hour == 20).sum() > 5 * (hour == 3).sum()  # parts keep to their hours


def test_ids_are_neither_dense_nor_in_order(log: Log) -> None:
    ids = log.shop.item_ids
    assert len(np.unique(ids)) == len(ids) == 600
    assert np.ptp(ids) > 5 * 600
    assert abs(np.corrcoef(ids, np.arange(600))[0, 1]) < 0.2
    users = log.frame["user_id"].drop_nulls().unique().to_numpy()
    assert np.ptp(users) > 5 * 3_000


def test_the_seed_decides_everything() -> None:
    first, again = simulate_frame(small()), simulate_frame(small())
    assert first.equals(again)
    other = simulate_frame(small(seed=1))
    assert not first["item_id"].equals(other["item_id"])
    assert not first["timestamp"].equals(other["timestamp"])


# --- structures


def dwell_tells_where_next(log: Log) -> float:
    """Correlation of the logarithm of the dwell and whether the next click is close."""
    return float(np.corrcoef(log.gaps(), log.distance() <= 10)[0, 1])


def dwell_tells_what_returns(log: Log) -> float:
    """Log-dwell on clicks whose item comes back after another one, less that on the others."""
    where = log.follows - 1
    later: dict[tuple[int, int], int] = {}
    for place, key in enumerate(zip(log.session.tolist(), log.items.tolist(), strict=True)):
        later[key] = place  # its last click
    last = np.array([later[key] for key in zip(log.session[where], log.items[where], strict=True)])
    back = last > where + 1
    gaps = log.gaps()
    return float(gaps[back].mean() - gaps[~back].mean())


def test_dwell_tells_where_the_next_click_goes(log: Log) -> None:
    silent = Log(small(dwell_signal=0))
    assert dwell_tells_where_next(log) > 0.1
    assert abs(dwell_tells_where_next(silent)) < 0.02
    assert dwell_tells_what_returns(log) > 0.2
    assert abs(dwell_tells_what_returns(silent)) < 0.06


def test_dwell_is_as_long_without_its_signal(log: Log) -> None:
    without = Log(small(dwell_signal=0, purpose=0)).gaps()
    with_signal = Log(small(purpose=0)).gaps()
    np.testing.assert_allclose(
        np.quantile(with_signal, [0.1, 0.5, 0.9]), np.quantile(without, [0.1, 0.5, 0.9]), atol=0.05
    )


def same_category_across_sessions(log: Log) -> tuple[float, float]:
    """How often two sessions begin in one category: of one visitor, and of two."""
    opening = log.frame.filter(pl.Series(log.first)).drop_nulls("user_id").sort("user_id")
    category, user = opening["category"].to_numpy(), opening["user_id"].to_numpy()
    mine = category[1:][np.diff(user) == 0] == category[:-1][np.diff(user) == 0]
    half = len(category) // 2
    return float(mine.mean()), float((category[:half] == category[half : 2 * half]).mean())


def test_a_visitor_comes_back_to_their_own_categories(log: Log) -> None:
    own, others = same_category_across_sessions(log)
    assert own > others + 0.1
    own, others = same_category_across_sessions(Log(small(taste=0)))
    assert own == pytest.approx(others, abs=0.025)


def drift(log: Log) -> tuple[float, float]:
    """Correlation of the items' log-clicks on two days that are 1 and 8 days apart."""
    popularity = np.log(log.clicks() + 0.5)
    return tuple(  # type: ignore[return-value]
        np.mean([np.corrcoef(popularity[d], popularity[d - k])[0, 1] for d in range(8, 12)])
        for k in (1, 8)
    )


def test_yesterday_tells_more_than_last_week() -> None:
    still = {"new_items": 0, "events": 120_000}
    yesterday, last_week = drift(Log(small(**still)))
    assert yesterday > last_week + 0.1
    yesterday, last_week = drift(Log(small(**still, drift=0)))
    assert yesterday == pytest.approx(last_week, abs=0.04)


def one_category(log: Log) -> float:
    """How often a click two places later is in the same category."""
    pairs = log.session[2:] == log.session[:-2]
    return float((log.category[2:] == log.category[:-2])[pairs].mean())


def test_a_purpose_keeps_a_session_in_one_category() -> None:
    nothing = Log(small(**NO_STRUCTURE))
    aimed = Log(small(**NO_STRUCTURE | {"purpose": 1}))
    share = np.bincount(nothing.category) / len(nothing.category)
    assert one_category(nothing) == pytest.approx((share**2).sum(), abs=0.01)  # chance
    assert one_category(aimed) > 0.6


def test_clicks_follow_the_links_between_items() -> None:
    nothing = Log(small(**NO_STRUCTURE))
    linked = Log(small(**NO_STRUCTURE | {"similarity": 1}))
    assert (nothing.distance() <= 10).mean() < 0.06
    assert (linked.distance() <= 10).mean() > 0.35


def test_complements_go_one_way() -> None:
    linked = Log(small(**NO_STRUCTURE | {"similarity": 1}))
    now, then = linked.items[linked.follows - 1], linked.items[linked.follows]
    same = linked.shop.category[now] == linked.shop.category[then]
    c = linked.shop.category[now][same] - 1
    size = np.diff(linked.shop.bounds)[c]
    ahead = (then[same] - now[same]) % size
    assert (np.abs(ahead - size // 3) <= 2).mean() > 4 * (
        np.abs(size - ahead - size // 3) <= 2
    ).mean()


def share_of_reclicks(log: Log) -> float:
    pairs = np.unique(np.stack([log.session, log.items]), axis=1).shape[1]
    return 1 - pairs / len(log.items)


def test_visitors_click_again_what_they_clicked(log: Log) -> None:
    without = Log(small(reclick=0))
    assert share_of_reclicks(log) > share_of_reclicks(without) + 0.05
    assert share_of_reclicks(Log(small(**NO_STRUCTURE))) < 0.04


def test_new_items_appear_on_their_day_and_old_ones_fade(log: Log) -> None:
    clicks, shop = log.clicks(), log.shop
    assert (shop.release > 0).sum() == (shop.fading < 12).sum() == 60
    days = np.arange(12)[:, None]  # (days, 1)
    assert clicks[days < shop.release].sum() == 0
    new = (shop.release > 0) & (shop.release < 6)
    age = days - shop.release  # (days, N)
    assert clicks[:, new][age[:, new] < 2].mean() > 1.5 * clicks[:, new][age[:, new] > 4].mean()
    old = shop.fading < 6
    past = days - shop.fading
    assert clicks[:, old][past[:, old] < 0].mean() > 2 * clicks[:, old][past[:, old] > 4].mean()
    steady = open_shop(small(new_items=0))
    assert steady.release.max() == 0
    assert steady.fading.min() == 12


def test_some_sessions_are_anonymous(log: Log) -> None:
    opening = log.frame.filter(pl.Series(log.first))
    assert opening["user_id"].is_null().mean() == pytest.approx(0.3, abs=0.02)
    assert simulate_frame(small(events=500, anonymous=0))["user_id"].null_count() == 0
    assert simulate_frame(small(events=500, anonymous=1))["user_id"].null_count() == 500


def test_some_visitors_come_far_more_often_than_others(log: Log) -> None:
    visits = log.frame.filter(pl.Series(log.first)).drop_nulls()["user_id"].value_counts()["count"]
    most = visits.sort(descending=True)
    assert most[: len(most) // 100].sum() > 0.08 * most.sum()


# --- config


def test_a_person_may_type_every_parameter() -> None:
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
def test_a_value_out_of_range_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate_chunks(small(**changes))
