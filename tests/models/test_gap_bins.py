import numpy as np
import pytest
import torch

from nextclick.core.array_checks import ArrayError
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


def test_log_bins_grow_by_a_constant_factor():
    gaps = np.random.default_rng(0).lognormal(4, 1, 5000)
    log = timed(*([0, int(gap), int(gap) + 30] for gap in gaps))
    bins = GapBins.from_sessions(log, "log")
    bounds = np.array(bins.bounds)
    assert (bins.n_bins, len(bounds), bounds[0]) == (32, 31, 1.0)
    np.testing.assert_allclose(bounds[1:] / bounds[:-1], bounds[1], rtol=1e-5)
    assert bounds[-1] == pytest.approx(np.quantile(input_gaps(log), 0.995), rel=1e-6)


def test_quantile_bins_hold_equally_many_gaps():
    log = timed(*([0, gap, gap + 30] for gap in range(1, 3201)))
    bins = GapBins.from_sessions(log, "quantile")
    rows = bins.rows(torch.from_numpy(input_gaps(log))).numpy()
    assert np.bincount(rows)[FIRST_BIN:].tolist() == [100] * 32


def test_equal_bounds_are_one_bound():
    log = timed(*([0, 3, 9] for _ in range(60)), *([0, 8, 9] for _ in range(40)))
    assert GapBins.from_sessions(log, "quantile").bounds == (3.0, 8.0)
    assert GapBins.from_sessions(timed([0, 5], [0, 7]), "log") == GapBins(1.0, 1)


@pytest.mark.parametrize("bins", [GapBins(2.5, 9), GapBins(1.0, 3, (2.5, 22.5))], ids=str)
def test_rows_of_arrays_and_tensors_are_equal(bins):
    seconds = np.array([np.nan, -1, 0, 2.4, 2.5, 22.4, 22.5, 1e30, np.inf], dtype=np.float32)
    rows = bins.rows(torch.from_numpy(seconds)).numpy()
    np.testing.assert_array_equal(bins.rows_of_array(seconds), rows)
    if bins.bounds:
        expected = [UNKNOWN] + [FIRST_BIN + k for k in (0, 0, 0, 1, 1, 2, 2, 2)]
        assert rows.tolist() == expected


def test_bins_are_restored_from_their_tensors():
    for bins in (GapBins(2.5, 9), GapBins(1.0, 3, (2.5, 22.5))):
        state = {name: tensor.numpy() for name, tensor in bins.tensors().items()}
        state["gaps.weight"] = np.zeros((bins.n_rows, 2), np.float32)
        assert GapBins.from_state(state) == bins
    state["gap_bounds"] = state["gap_bounds"][:1]
    with pytest.raises(ArrayError, match="gap_bounds"):
        GapBins.from_state(state)
