from nextclick.core.sessions import Sessions
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
