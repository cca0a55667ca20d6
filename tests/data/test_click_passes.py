"""The compiled passes over clicks are those in NumPy, and both are what a loop finds."""

from itertools import pairwise

import numpy as np
import pytest

from nextclick.data import click_kernels, click_passes

N_ITEMS = 7


def made_up(rng):
    """Items, mask and offsets of sessions of which some are empty, and a mask of sessions."""
    lengths = rng.integers(0, 5, rng.integers(0, 30))
    offsets = np.append(0, np.cumsum(lengths))
    items = rng.integers(0, N_ITEMS, offsets[-1], dtype=np.int32)
    return items, rng.random(len(items)) < 0.7, offsets, rng.random(len(lengths)) < 0.5


@pytest.mark.parametrize("passes", [click_passes, click_kernels], ids=["numpy", "compiled"])
def test_a_loop_finds_the_same(passes):
    rng = np.random.default_rng(0)
    for _ in range(30):
        items, keep, offsets, some = made_up(rng)
        ranges = [slice(*bounds) for bounds in pairwise(offsets)]
        expected = [int(keep[clicks].sum()) for clicks in ranges]
        assert passes.remaining_lengths(keep, offsets).tolist() == expected
        dropped = rng.random(N_ITEMS) < 0.3
        for sessions in (None, some):
            counted = np.zeros(N_ITEMS, dtype=np.int64)
            left = keep.copy()
            for s, clicks in enumerate(ranges):
                if sessions is None or sessions[s]:
                    np.add.at(counted, items[clicks][keep[clicks]], 1)
                    left[clicks] &= ~dropped[items[clicks]]
            counts = passes.count_items(items, keep, offsets, sessions, N_ITEMS)
            assert counts.tolist() == counted.tolist()
            mask = keep.copy()
            passes.drop_items(mask, items, offsets, dropped, sessions)
            assert mask.tolist() == left.tolist()
        mask = keep.copy()
        passes.drop_sessions(mask, offsets, some)
        assert mask.tolist() == (keep & ~np.repeat(some, np.diff(offsets))).tolist()


def test_long_logs_have_the_compiled_passes():
    assert click_passes.passes_for(999_999) is click_passes
    assert click_passes.passes_for(1_000_000) is click_kernels
