import numpy as np

from nextclick.core.sessions import Sessions
from nextclick.models.classical import inverted_index
from nextclick.models.classical.inverted_index import Postings

LOG = Sessions.from_lists([[1, 2, 1], [0, 2], [2, 3], []], n_items=4)


def sessions_of(postings, item):
    return postings.sessions[postings.offsets[item] : postings.offsets[item + 1]].tolist()


def test_each_session_is_listed_once_newest_first():
    postings = Postings.from_sessions(LOG)
    assert [sessions_of(postings, i) for i in range(5)] == [[], [0], [2, 1, 0], [2], []]
    assert postings.n_sessions.tolist() == [0, 1, 3, 1, 0]


def test_a_limit_keeps_the_latest_sessions_and_counts_all():
    postings = Postings.from_sessions(LOG, max_per_item=2)
    assert sessions_of(postings, 2) == [2, 1]
    assert postings.n_sessions.tolist() == [0, 1, 3, 1, 0]


def test_ranges_of_items_list_what_all_items_list(monkeypatch):
    rng = np.random.default_rng(1)
    log = Sessions.from_lists([rng.integers(0, 30, rng.integers(9)).tolist() for _ in range(200)])
    whole = Postings.from_sessions(log)
    assert [ranges[:2] for ranges in Postings.by_items(log)] == [(0, log.n_items + 1)]
    monkeypatch.setattr(inverted_index, "MAX_ENTRIES", 60)
    parts = list(Postings.by_items(log))
    assert len(parts) > 5
    assert [start for start, _, _ in parts] == [0, *(stop for _, stop, _ in parts[:-1])]
    for start, stop, postings in parts:
        assert postings.n_sessions.tolist() == whole.n_sessions.tolist()
        assert len(postings.sessions) <= 60
        for item in range(log.n_items + 1):
            expected = sessions_of(whole, item) if start <= item < stop else []
            assert sessions_of(postings, item) == expected


def test_an_item_with_more_clicks_than_a_range_is_a_range(monkeypatch):
    monkeypatch.setattr(inverted_index, "MAX_ENTRIES", 1)
    ranges = [(start, stop) for start, stop, _ in Postings.by_items(LOG)]
    assert ranges == [(0, 1), (1, 2), (2, 3), (3, 5)]
