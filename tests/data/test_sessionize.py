from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nextclick.data.encode import IdEncoder
from nextclick.data.readers.log_parts import RawPart
from nextclick.data.sessionize import cut_by_inactivity, gather_sessions

clicks = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 50)), min_size=1, max_size=80
)


class FixedSizeEncoder(IdEncoder):
    """An encoder with a size and no ids."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size


def raw_part(rows, step=7):
    part = RawPart(groups=FixedSizeEncoder(6))
    for start in range(0, len(rows), step):
        groups, items, times = zip(*rows[start : start + step], strict=True)
        part.chunk_groups.append(np.array(groups, dtype=np.int32))
        part.chunk_items.append(np.array(items, dtype=np.int32))
        part.chunk_times.append(np.array(times, dtype=np.int64))
    return part


def as_lists(table):
    return [
        [(int(i), int(t)) for i, t in zip(table.items[a:b], table.times[a:b], strict=True)]
        for a, b in zip(table.offsets[:-1], table.offsets[1:], strict=True)
    ]


@given(clicks)
def test_sessions_are_those_of_a_stable_sort(rows):
    expected = [
        sorted(((i, t) for g, i, t in rows if g == group), key=lambda click: click[1])
        for group in range(6)
    ]
    assert as_lists(gather_sessions(raw_part(rows))) == expected


@given(clicks, st.integers(0, 20))
def test_the_clicks_of_a_user_are_split_at_longer_gaps(rows, gap):
    expected, users = [], []
    for user in range(6):
        last = None
        for click in sorted(((i, t) for g, i, t in rows if g == user), key=lambda c: c[1]):
            if last is None or click[1] - last > gap:
                expected.append([])
                users.append(user)
            expected[-1].append(click)
            last = click[1]
    by_user = gather_sessions(raw_part(rows))
    by_user = replace(by_user, users=np.arange(len(by_user), dtype=np.int32))
    table = cut_by_inactivity(by_user, gap)
    assert as_lists(table) == expected
    assert table.users.tolist() == users


def test_clicks_out_of_order_are_counted():
    rows = [(0, 1, 30), (0, 2, 10), (0, 3, 20), (1, 1, 5), (1, 2, 6)]
    assert gather_sessions(raw_part(rows)).out_of_order == 1
