"""Sessions cut into chunks and joined again."""

import numpy as np
import pytest

from nextclick.core.sessions import Sessions

LOG = Sessions.from_lists([[1, 2], [], [3, 4, 5, 6, 7], [8], [9], []])


@pytest.mark.parametrize(
    ("max_clicks", "lengths"),
    [(1, [1, 1, 1, 1, 2]), (3, [2, 1, 3]), (7, [3, 3]), (100, [6])],
)
def test_chunks_are_whole_sessions(max_clicks, lengths):
    chunks = list(LOG.chunks(max_clicks))
    assert [len(chunk) for _, chunk in chunks] == lengths
    assert [first for first, _ in chunks] == [0, *np.cumsum(lengths)[:-1]]
    joined = Sessions.join([chunk for _, chunk in chunks])
    assert joined.items.tolist() == LOG.items.tolist()
    assert joined.offsets.tolist() == LOG.offsets.tolist()


def test_a_log_without_sessions_has_no_chunk():
    assert list(LOG.slice(0, 0).chunks(5)) == []
