"""The drill of the open day, on a small log: a part of a day never replaces the day before."""

import sys

import pytest

from docs_pages import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import drift
import open_day


@pytest.fixture(scope="module")
def drill(tmp_path_factory):
    ring = drift.Ring(events=4_000, items=60, days=8)
    values = {"epochs": 3, "width": 8, "threads": 1}
    folder = tmp_path_factory.mktemp("drill")
    return open_day.Drill.create(ring, "Europe/Berlin", values, folder)


def test_a_part_of_a_day_is_kept_apart(drill):
    before = drill.artifact.model.neighbor_pairs[drill.day]
    rows = {(row.cut, row.model): row for cut in open_day.CUTS for row in drill.rows(cut)}
    for cut in ("01:00", "12:00"):
        apart, closed = rows[cut, "apart"], rows[cut, "closed"]
        assert (apart.last_block, apart.pairs) == (drill.day - 1, before)
        assert (closed.last_block, closed.pairs < before) == (drill.day, True)
        assert (apart.recall, apart.mrr) == (rows[cut, "stale"].recall, rows[cut, "stale"].mrr)
    assert rows["01:00", "closed"].pairs < before / 4
    at_midnight = rows["23:59", "apart"]
    assert at_midnight.last_block == drill.day
    assert at_midnight.pairs == rows["23:59", "closed"].pairs > before / 2


def test_days_begin_at_midnight_of_the_clock(drill):
    assert drill.blocks.timezone == "Europe/Berlin"
    assert drill.artifact.trained["protocol"]["block_timezone"] == "Europe/Berlin"
    assert drill.artifact.model.last_block == drill.day - 1
