"""Presets, and the counts that the papers publish for their logs."""

import pytest

from nextclick import protocol
from nextclick.data.options import FilterOptions
from nextclick.data.protocols import PROTOCOLS
from nextclick.errors import ConfigError


def test_sr_gnn_on_yoochoose():
    options = protocol("sr-gnn-yoochoose").options
    assert options.read.format == "yoochoose"
    # one pass: sessions of one click, items of fewer than five, sessions of one click again
    assert options.filters == FilterOptions(
        min_item_support=5, min_session_length=2, iterate=False, filter_on="all"
    )
    # strictly before and strictly after the last click less one day, to the second
    split = options.split
    assert (split.kind, split.days, split.whole_days, split.drop_edge) == (
        "last-days",
        1,
        False,
        True,
    )
    # the most recent 1/64 of the samples; items missing only there stay in the test
    assert (split.recent, split.unseen) == (64, None)
    published = protocol("sr-gnn-yoochoose").published
    assert published["Yoochoose 1/64"].startswith("369,859 training samples, 55,898 test samples")
    assert published["Yoochoose 1/4"].startswith("5,917,745 training samples, 55,898 test samples")


def test_sr_gnn_on_diginetica():
    options = protocol("sr-gnn-diginetica").options
    assert (options.read.format, options.read.order) == ("diginetica", "time")
    assert (options.filters.min_item_support, options.filters.iterate) == (5, False)
    # seven calendar days; the day of the boundary is dropped
    split = options.split
    assert (split.kind, split.days, split.whole_days, split.drop_edge) == (
        "last-days",
        7,
        True,
        True,
    )
    assert (split.recent, options.filters.min_session_length) == (1, 2)
    counts = protocol("sr-gnn-diginetica").published["Diginetica"]
    assert counts == "719,470 training samples, 60,858 test samples, 43,097 items"


def test_asars():
    options = protocol("asars").options
    assert options.sessions.gap_seconds == 3600
    filters = options.filters
    assert (filters.min_item_support, filters.min_session_length) == (10, 2)
    assert (filters.min_user_sessions, filters.iterate) == (10, True)
    # items and users unseen in training are removed from the test
    assert (options.split.unseen, options.split.unseen_users) == ("drop", "drop")
    published = protocol("asars").published
    assert published["MovieLens"] == "53,309 events, 237 users, 1,395 items, 3,609 sessions"
    assert published["Recsys15"] == "17,920,066 events, 23,459 items, 4,247,567 sessions"
    assert published["Tianchi"].startswith("6,921,446 events, 12,332 users, 31,893 items, 93,287")


def test_tasrec():
    options = protocol("tasrec").options
    assert (options.filters.min_item_support, options.filters.min_session_length) == (5, 2)
    # the first 5/6 of the blocks train, the last 20 % of the training sessions validate
    assert (options.split.kind, options.split.fraction) == ("blocks", pytest.approx(1 / 6))
    assert options.split.valid_fraction == 0.2


def test_an_unknown_protocol_is_answered_with_the_nearest_name():
    message = "there is no protocol 'srgnn-yoochoose': did you mean sr-gnn-yoochoose"
    with pytest.raises(ConfigError, match=message):
        protocol("srgnn-yoochoose")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_options_of_every_protocol_are_valid(name):
    assert protocol(name).options.checked() == protocol(name).options
    assert protocol(name).name == name
