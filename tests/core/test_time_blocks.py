"""Blocks of time by hand: hours, time zones, and the days on which clocks are set."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from nextclick.core.time_blocks import TimeBlocks, check_timezone
from nextclick.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")


def ms(*when, zone=UTC):
    return round(datetime(*when, tzinfo=zone).timestamp() * 1000)


def test_days_begin_at_midnight_utc():
    blocks = TimeBlocks.from_first(ms(2024, 5, 1, 13), 1.0)
    assert blocks.origin_ms == ms(2024, 5, 1)
    times = [ms(2024, 4, 30, 23), ms(2024, 5, 1), ms(2024, 5, 1, 23, 59), ms(2024, 5, 2)]
    assert blocks.of(np.array(times)).tolist() == [-1, 0, 0, 1]
    assert blocks.start_ms(3) == ms(2024, 5, 4)


def test_days_that_begin_at_an_hour():
    blocks = TimeBlocks.from_first(ms(2024, 5, 1, 3), 1.0, hour=4.5)
    assert blocks.origin_ms == ms(2024, 4, 30, 4, 30)
    assert blocks.of(np.array([ms(2024, 5, 1, 4, 29), ms(2024, 5, 1, 4, 30)])).tolist() == [0, 1]
    quarters = TimeBlocks.from_first(ms(2024, 5, 1, 13), 0.25, hour=5)
    assert [quarters.start_ms(b) for b in (0, 1, 2)] == [ms(2024, 5, 1, h) for h in (5, 11, 17)]


def test_days_of_a_time_zone_have_23_and_25_hours():
    blocks = TimeBlocks.from_first(ms(2024, 3, 30, 12, zone=BERLIN), 1.0, timezone="Europe/Berlin")
    assert blocks.origin_ms == ms(2024, 3, 29, 23)  # midnight in Berlin
    starts = [blocks.start_ms(b) for b in range(3)]
    assert np.diff(starts).tolist() == [24 * 3_600_000, 23 * 3_600_000]
    for b, start in enumerate(starts):
        assert blocks.of(np.array([start - 1, start])).tolist() == [b - 1, b]
    october = blocks.block_of(ms(2024, 10, 27, 12, zone=BERLIN))
    assert blocks.start_ms(october + 1) - blocks.start_ms(october) == 25 * 3_600_000


def test_blocks_do_not_go_back_when_clocks_do():
    half_hours = TimeBlocks.from_first(ms(2024, 10, 26), 1 / 48, timezone="Europe/Berlin")
    times = np.arange(ms(2024, 10, 26, 22), ms(2024, 10, 27, 4), 600_000)
    blocks = half_hours.of(times)
    assert (np.diff(blocks) >= 0).all()
    assert [half_hours.block_of(int(time)) for time in times] == blocks.tolist()
    assert half_hours.of(times[::-1]).tolist() == blocks[::-1].tolist()


def test_a_block_is_over_if_at_most_a_twenty_fourth_of_it_is_missing():
    blocks = TimeBlocks.from_first(ms(2024, 5, 1), 1.0)
    assert not blocks.is_over(0, ms(2024, 5, 1, 22, 59))
    assert blocks.is_over(0, ms(2024, 5, 1, 23))
    assert blocks.is_over(0, ms(2024, 5, 3))
    assert not blocks.is_over(1, ms(2024, 5, 2, 1))


def test_blocks_of_a_manifest():
    blocks = TimeBlocks(ms(2024, 5, 1), 86_400_000, "Asia/Tokyo")
    assert TimeBlocks.from_protocol(blocks.to_protocol()) == blocks
    assert TimeBlocks.from_protocol({"block_ms": None, "block_origin_ms": None}) is None
    earlier = {"block_ms": 5, "block_origin_ms": 7}  # of a store without the field
    assert TimeBlocks.from_protocol(earlier) == TimeBlocks(7, 5)


@pytest.mark.parametrize("name", ["Berlin", "../etc/passwd", ""])
def test_an_unknown_time_zone(name):
    with pytest.raises(ConfigError, match="block_timezone must be the name of an IANA time zone"):
        check_timezone(name)
