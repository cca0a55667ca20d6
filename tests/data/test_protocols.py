"""Presets against the figures that the papers print for their logs."""

import pytest

from nextclick import protocol
from nextclick.data.options import FilterOptions
from nextclick.data.protocols import PROTOCOLS
from nextclick.errors import ConfigError


def test_sr_gnn_on_yoochoose():
    found = protocol("sr-gnn-yoochoose").options
    assert found.read.format == "yoochoose"
    # one pass: sessions of one click, items of fewer than five, sessions of one click again
    assert found.filters == FilterOptions(
        min_item_support=5, min_session_length=2, min_user_sessions=1, iterate=False
    )
    # strictly before and strictly after the last click less one day, to the second
    split = found.split
    assert (split.kind, split.days, split.whole_days, split.drop_edge) == (
        "last-days",
        1,
        False,
        True,
    )
    # the most recent 1/64 of the samples; what only the cut lost stays in the test
    assert (split.recent, split.unseen) == (64, None)
    published = protocol("sr-gnn-yoochoose").published
    assert published["Yoochoose 1/64"].startswith("369,859 training samples, 55,898 test samples")
    assert published["Yoochoose 1/4"].startswith("5,917,745 training samples, 55,898 test samples")


def test_sr_gnn_on_diginetica():
    found = protocol("sr-gnn-diginetica").options
    assert (found.read.format, found.read.order) == ("diginetica", "time")
    assert (found.filters.min_item_support, found.filters.iterate) == (5, False)
    # seven days by the date; the day of the boundary vanishes
    split = found.split
    assert (split.kind, split.days, split.whole_days, split.drop_edge) == (
        "last-days",
        7,
        True,
        True,
    )
    assert (split.recent, found.filters.min_session_length) == (1, 2)
    figures = protocol("sr-gnn-diginetica").published["Diginetica"]
    assert figures == "719,470 training samples, 60,858 test samples, 43,097 items"


def test_asars():
    found = protocol("asars").options
    assert found.sessions.gap_seconds == 3600
    filters = found.filters
    assert (filters.min_item_support, filters.min_session_length) == (10, 2)
    assert (filters.min_user_sessions, filters.iterate) == (10, True)
    # items and users unseen in training are removed from the test
    assert found.split.unseen == "drop"
    published = protocol("asars").published
    assert published["MovieLens"] == "53,309 events, 237 users, 1,395 items, 3,609 sessions"
    assert published["Recsys15"] == "17,920,066 events, 23,459 items, 4,247,567 sessions"
    assert published["Tianchi"].startswith("6,921,446 events, 12,332 users, 31,893 items, 93,287")


def test_tasrec():
    found = protocol("tasrec").options
    assert (found.filters.min_item_support, found.filters.min_session_length) == (5, 2)
    # the first 5/6 of the blocks train, the last 20 % of the training sessions validate
    assert (found.split.kind, found.split.fraction) == ("blocks", pytest.approx(1 / 6))
    assert found.split.valid_fraction == 0.2


def test_an_unknown_protocol_gets_the_nearest_name():
    message = "there is no protocol 'srgnn-yoochoose': did you mean sr-gnn-yoochoose"
    with pytest.raises(ConfigError, match=message):
        protocol("srgnn-yoochoose")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_value_of_a_protocol_may_be_used(name):
    assert protocol(name).options.checked() == protocol(name).options
    assert protocol(name).name == name
