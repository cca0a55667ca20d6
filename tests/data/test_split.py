import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.core.time_blocks import TimeBlocks
from nextclick.data.options import SplitOptions
from nextclick.data.split import parse_boundary, recent_samples, split_by_time
from nextclick.errors import ConfigError, EmptyLogError

DAY = 86_400_000


def split(ends, options, alive=None, block_ms=DAY, origin=0, now_ms=2**50, prefixes=2):
    ends = np.array(ends, dtype=np.int64)
    alive = np.ones(len(ends), dtype=np.bool_) if alive is None else np.array(alive)
    splits = split_by_time(
        ends, alive, options, TimeBlocks(origin, block_ms), now_ms,
        lambda train, test: prefixes * len(test),
    )  # fmt: skip
    return list(splits)


def test_the_last_day_is_counted_back_from_the_last_click():
    ends = [0, DAY, 2 * DAY, 2 * DAY + 1, 3 * DAY]
    (parts,) = split(ends, SplitOptions(kind="last-days"))
    assert parts.train.tolist() == [0, 1]
    assert parts.test.tolist() == [2, 3, 4]
    assert parts.boundary_ms == 2 * DAY


def test_sr_gnn_drops_the_session_on_the_boundary():
    (parts,) = split([0, 2 * DAY, 2 * DAY + 1, 3 * DAY], SplitOptions(drop_edge=True))
    assert (parts.train.tolist(), parts.test.tolist(), parts.n_edge) == ([0], [2, 3], 1)


def test_whole_days_drop_the_day_before_the_test():
    hours = [6, 30, 54, 70, 80]  # days 0, 1, 2, 2, 3
    ends = [h * 3_600_000 for h in hours]
    options = SplitOptions(days=1, whole_days=True, drop_edge=True)
    (parts,) = split(ends, options)
    assert (parts.train.tolist(), parts.test.tolist(), parts.n_edge) == ([0, 1], [4], 2)


def test_the_last_whole_days_are_tested():
    ends = [h * 3_600_000 for h in (6, 30, 54, 70, 80)]  # days 0, 1, 2, 2, 3
    (parts,) = split(ends, SplitOptions(days=2, whole_days=True))
    assert (parts.train.tolist(), parts.test.tolist()) == ([0, 1], [2, 3, 4])
    assert parts.boundary_ms == 2 * DAY


def test_a_fraction_takes_the_last_sessions():
    (parts,) = split([50, 10, 40, 20, 30], SplitOptions(kind="fraction", fraction=0.4))
    assert parts.train.tolist() == [1, 3, 4]
    assert parts.test.tolist() == [2, 0]


def test_blocks_split_where_five_sixths_of_them_end():
    ends = [b * 4 * DAY + 5 for b in range(12)]
    options = SplitOptions(kind="blocks", fraction=1 / 6)
    (parts,) = split(ends, options, block_ms=4 * DAY)
    assert parts.train.tolist() == list(range(10))
    assert parts.boundary_ms == 40 * DAY


def test_windows_slide_by_the_length_of_the_test():
    ends = [d * DAY for d in range(7)]
    options = SplitOptions(kind="windows", windows=2, days=2, train_days=2)
    first, second = split(ends, options)
    assert (first.name, second.name) == ("window-1", "window-2")
    assert (first.train.tolist(), first.test.tolist()) == ([0, 1], [2, 3])
    assert (second.train.tolist(), second.test.tolist()) == ([2, 3], [4, 5, 6])


def test_dropped_sessions_are_in_no_part():
    options = SplitOptions(kind="fraction", fraction=0.5)
    (parts,) = split([1, 2, 3, 4], options, alive=[True, False, True, False])
    assert (parts.train.tolist(), parts.test.tolist()) == ([0], [2])


@given(
    st.lists(st.integers(0, 10 * DAY), min_size=5, max_size=60),
    st.sampled_from(["last-days", "fraction", "blocks"]),
    st.booleans(),
    st.booleans(),
)
def test_parts_are_disjoint_and_training_ends_first(ends, kind, whole, edge):
    options = SplitOptions(kind=kind, fraction=0.3, whole_days=whole, drop_edge=edge)
    try:
        (parts,) = split(ends, options)
    except EmptyLogError:
        return
    assert not set(parts.train.tolist()) & set(parts.test.tolist())
    assert max(ends[s] for s in parts.train) <= min(ends[s] for s in parts.test)
    assert all(ends[a] <= ends[b] for a, b in zip(parts.train, parts.train[1:], strict=False))


def slow_recent(lengths, recent):
    """Reference of SR-GNN: the last ⌊n/k⌋ samples of a list with the longest prefixes first."""
    samples = [(s, n) for s, length in enumerate(lengths) for n in range(length, 1, -1)]
    kept = samples[len(samples) - len(samples) // recent :]
    first = min(s for s, _ in kept)
    return first, max(n for s, n in kept if s == first)


@given(st.lists(st.integers(2, 9), min_size=4, max_size=40), st.integers(1, 4))
def test_recent_samples_are_the_end_of_the_list_of_the_paper(lengths, recent):
    first, clicks = recent_samples(np.array(lengths), recent)
    assert (first, clicks) == slow_recent(lengths, recent)
    kept = [clicks, *lengths[first + 1 :]]
    assert sum(n - 1 for n in kept) == sum(n - 1 for n in lengths) // recent


@pytest.mark.parametrize(
    ("text", "ms"),
    [("1970-01-02", DAY), ("86400000", DAY), ("1970-01-02T01:00:00+01:00", DAY)],
)
def test_a_boundary_is_iso_or_milliseconds(text, ms):
    assert parse_boundary(text) == ms


def test_an_invalid_boundary_is_rejected():
    with pytest.raises(
        ConfigError, match=r"split boundary must be ISO 8601 or milliseconds .* 'x'"
    ):
        parse_boundary("x")
    with pytest.raises(ConfigError, match="split boundary: a time is required"):
        parse_boundary(None)


def test_an_empty_part_names_the_boundary_and_the_log():
    options = SplitOptions(kind="boundary", boundary="2001-01-01")
    with pytest.raises(
        EmptyLogError,
        match=r"the test part is empty: the boundary is 2001-.*, and the sessions end "
        r"between 1970-01-01T00:00:00.000\+00:00 and 1970-",
    ):
        split([0, 1, 2], options)
