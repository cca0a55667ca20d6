import numpy as np
import pytest
import torch

from nextclick.core.sessions import Sessions
from nextclick.models.ops.gap_bins import FIRST_BIN, MAX_BINS, UNKNOWN, GapBins, input_gaps


def timed(*sessions):
    """Sessions of item 1 at these seconds."""
    log = Sessions.from_lists([[1] * len(s) for s in sessions])
    times = np.array([1000 * t for s in sessions for t in s], dtype=np.int64)
    return Sessions(log.items, log.offsets, 1, times=times)


def test_the_gap_before_the_last_click_is_never_an_input():
    log = timed([0, 5, 7, 37], [10, 40], [3], [0, 1, 3])
    assert input_gaps(log).tolist() == [5, 2, 1]
    assert input_gaps(log.slice(1, 4)).tolist() == [1]


def test_the_width_follows_scott_s_rule():
    gaps = np.random.default_rng(0).integers(0, 300, 5000)
    log = timed(*([0, int(gap), int(gap) + 30] for gap in gaps))
    bins = GapBins.from_sessions(log)
    assert bins.width == pytest.approx(3.49 * gaps.std() * 5000 ** (-1 / 3), rel=1e-6)
    assert bins.n_bins == int(np.quantile(gaps, 0.995) / bins.width) + 1


def test_the_bin_is_the_gap_divided_by_the_width():
    bins = GapBins(10.0, 4)
    seconds = torch.tensor([0.0, 9.9, 10.0, 39.0, 1e12, torch.inf, -5.0, torch.nan])
    expected = [FIRST_BIN + k for k in (0, 0, 1, 3, 3, 3, 0)] + [UNKNOWN]
    assert bins.rows(seconds).tolist() == expected


def test_constant_gaps_get_one_bin_and_outliers_at_most_max_bins():
    assert GapBins.from_sessions(timed([0, 5], [0, 7])) == GapBins(1.0, 1)
    assert GapBins.from_sessions(timed([0, 4, 9], [0, 4, 5])) == GapBins(1.0, 1)
    bins = GapBins.from_sessions(timed(*([0, 1, 2] for _ in range(90)), [0, 10**6, 10**6 + 1]))
    assert bins.n_bins <= MAX_BINS
