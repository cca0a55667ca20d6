"""All statistics together: those available, reasons for those missing, and their figures."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from nextclick.analysis import ItemCategories, compute_statistics
from nextclick.core.sessions import MS_PER_DAY, Sessions

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.figures

STATISTICS = (
    "within_session",
    "repeats",
    "gaps",
    "popularity",
    "activity",
    "drift",
    "temporal_graph",
)
N = 30


def log_of(n_sessions=300, *, timed=True, named=True, days=4):
    rng = np.random.default_rng(0)
    log = Sessions.from_lists(
        [rng.integers(0, N + 1, rng.integers(1, 8)).tolist() for _ in range(n_sessions)], N
    )
    starts = np.sort(rng.integers(0, days * MS_PER_DAY, n_sessions)) + 17_440 * MS_PER_DAY
    gaps = rng.integers(0, 60, len(log.items)) * 1000
    gaps[log.offsets[:-1]] = 0
    upto = np.cumsum(gaps)
    times = np.repeat(starts - upto[log.offsets[:-1]], log.lengths()) + upto
    users = rng.integers(0, 40, n_sessions).astype(np.int32)
    blocks = (starts // MS_PER_DAY - 17_440).astype(np.int32)
    return replace(
        log,
        times=times if timed else None,
        blocks=blocks if timed else None,
        users=users if named else None,
        n_users=40,
    )


CATEGORIES = ItemCategories(np.append(0, np.arange(N) % 5).astype(np.int32), 4, {})


def drawn(statistics, folder):
    """How each picture begins."""
    from nextclick.analysis.plots.asars_figure1 import draw_figure1
    from nextclick.analysis.plots.profile_plot import draw_profile
    from nextclick.analysis.plots.temporal_graph_plot import draw_temporal_graph

    begins = []
    for draw in (draw_figure1, draw_profile, draw_temporal_graph):
        path = folder / f"{draw.__name__}.png"
        draw(statistics, path, title="a $b_c$ log", subtitle="1 click")
        begins.append(path.read_bytes()[:4])
    return begins


def test_a_complete_log_has_every_statistic(tmp_path):
    statistics = compute_statistics(log_of(), CATEGORIES)
    assert statistics.missing == {}
    assert all(getattr(statistics, name) is not None for name in STATISTICS)
    assert (
        statistics.within_session.categories.shares[0] > statistics.within_session.items.shares[0]
    )
    json.dumps(statistics.to_json(), allow_nan=False)
    assert drawn(statistics, tmp_path) == [b"\x89PNG"] * 3
    assert "matplotlib.pyplot" not in sys.modules  # its state is global


@pytest.mark.parametrize(
    ("log", "missing"),
    [
        (log_of(named=False), {"repeats"}),
        (
            log_of(timed=False, named=False),
            {"repeats", "gaps", "activity", "drift", "temporal_graph"},
        ),
        (log_of(days=1), {"drift", "temporal_graph"}),
        (log_of(1), {"repeats", "drift", "temporal_graph"}),
    ],
)
def test_missing_statistics_have_a_reason(log, missing, tmp_path):
    statistics = compute_statistics(log)
    assert set(statistics.missing) == missing | {"categories"}
    assert all((getattr(statistics, name) is None) == (name in missing) for name in STATISTICS)
    assert all(reason.endswith((".", "NAME")) for reason in statistics.missing.values())
    if len(log) == 1 or log.times is None:
        assert drawn(statistics, tmp_path) == [b"\x89PNG"] * 3


def test_the_reasons_say_what_to_do():
    statistics = compute_statistics(log_of(timed=False, named=False))
    assert "--user-column" in statistics.missing["repeats"]
    assert "with times" in statistics.missing["gaps"]
    assert "--categories FILE" in statistics.missing["categories"]


def test_clicks_on_unknown_items_alone(tmp_path):
    unknown = replace(log_of(), items=np.zeros(log_of().n_events, np.int32))
    statistics = compute_statistics(unknown)
    assert {"within_session", "popularity", "drift", "repeats"} <= set(statistics.missing)
    assert drawn(statistics, tmp_path) == [b"\x89PNG"] * 3


@pytest.mark.parametrize("gap", [1, 40 * MS_PER_DAY])
def test_gaps_that_are_all_equal_can_be_drawn(gap, tmp_path):
    log = replace(Sessions.from_lists([[1, 2, 1]] * 5), times=np.tile([0, gap, 2 * gap], 5))
    statistics = compute_statistics(log)
    assert (statistics.gaps.gamma, statistics.gaps.lognormal) == (None, None)
    assert drawn(statistics, tmp_path) == [b"\x89PNG"] * 3


def test_progress_reaches_the_total():
    calls = []
    compute_statistics(log_of(), progress=lambda *stage: calls.append(stage))
    assert calls == [("analyze", done, 7) for done in range(1, 8)]
