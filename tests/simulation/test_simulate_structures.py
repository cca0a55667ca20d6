"""Each structure of the simulated log is present, and absent if disabled."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from simulated import NO_STRUCTURE, Log, small

from nextclick.simulation.catalog import build_catalog, ring_items
from nextclick.simulation.simulate import simulate_frame


@pytest.fixture(scope="module")
def log() -> Log:
    return Log(small())


def dwell_predicts_distance(log: Log) -> float:
    """Correlation of the logarithm of the dwell and whether the next click is close."""
    return float(np.corrcoef(log.gaps(), log.distance() <= 10)[0, 1])


def dwell_predicts_return(log: Log) -> float:
    """Log-dwell on clicks whose item comes back after another one, less that on the others."""
    where = log.follows - 1
    keys = zip(log.session.tolist(), log.items.tolist(), strict=True)
    later = {key: place for place, key in enumerate(keys)}  # its last click
    last = np.array([later[key] for key in zip(log.session[where], log.items[where], strict=True)])
    back = last > where + 1
    gaps = log.gaps()
    return float(gaps[back].mean() - gaps[~back].mean())


def test_dwell_time_predicts_the_next_click(log: Log) -> None:
    with_signal, without = (Log(small(purpose=0, taste=0, dwell_signal=d)) for d in (1, 0))
    assert dwell_predicts_distance(with_signal) > 0.1
    assert abs(dwell_predicts_distance(without)) < 0.02
    assert dwell_predicts_distance(log) > 0.05  # a purpose keeps visitors close all the same
    assert dwell_predicts_return(log) > 0.4
    assert abs(dwell_predicts_return(without)) < 0.05


def test_dwell_times_have_the_same_distribution_without_their_signal(log: Log) -> None:
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


def test_yesterday_is_more_informative_than_last_week() -> None:
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
    forward = (np.abs(ahead - size // 3) <= 2).mean()
    backward = (np.abs(size - ahead - size // 3) <= 2).mean()
    assert forward > 2 * backward


def share_of_reclicks(log: Log) -> float:
    pairs = np.unique(np.stack([log.session, log.items]), axis=1).shape[1]
    return 1 - pairs / len(log.items)


def test_visitors_click_items_again(log: Log) -> None:
    assert share_of_reclicks(log) > share_of_reclicks(Log(small(reclick=0))) + 0.05
    chance = share_of_reclicks(Log(small(**NO_STRUCTURE)))
    assert share_of_reclicks(Log(small(**NO_STRUCTURE | {"reclick": 0.5}))) > chance + 0.1


def share_of_repeats(log: Log) -> float:
    """Share of the clicks after the first that return to an item of the session."""
    pairs = np.unique(np.stack([log.session, log.items]), axis=1).shape[1]
    return float((len(log.items) - pairs) / len(log.follows))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.45])
def test_the_share_of_repeats_is_the_given_one(share: float) -> None:
    assert share_of_repeats(Log(small(repeats=share))) == pytest.approx(share, abs=0.01)


def test_new_items_appear_on_their_day_and_old_ones_fade() -> None:
    log = Log(small(**NO_STRUCTURE | {"new_items": 0.3, "events": 120_000}))
    clicks, shop = log.clicks(), log.shop
    assert (shop.release > 0).sum() == (shop.fading < 12).sum() == 180
    days = np.arange(12)[:, None]  # (days, 1)
    age, past = days - shop.release, days - shop.fading  # (days, N)
    assert clicks[age < 0].sum() == 0
    new = (shop.release > 0) & (shop.release < 6)
    early, late = (age >= 0) & (age < 2) & new, (age >= 4) & (age < 6) & new
    assert clicks[early].sum() > 1.5 * clicks[late].sum()
    old = (shop.fading >= 2) & (shop.fading < 6)
    before, after = (past >= -2) & (past < 0) & old, (past >= 4) & (past < 6) & old
    assert clicks[before].sum() > 3 * clicks[after].sum()
    steady = build_catalog(small(new_items=0))
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


def test_moved_items_change_the_links() -> None:
    config = small(moves=0.3)
    days = list(ring_items(build_catalog(config), config))
    category = build_catalog(config).category
    for before, after in pairwise(days):
        assert (np.sort(after) == np.arange(config.items)).all()
        assert (category[after] == category).all()
        assert 0.2 < (before != after).mean() <= 0.35
    still, moved = (Log(small(moves=moves)) for moves in (0.0, 0.3))
    assert (moved.distance() <= 10).mean() < 0.9 * (still.distance() <= 10).mean()
    assert all(
        (day == np.arange(config.items)).all()
        for day in ring_items(build_catalog(small()), small())
    )
