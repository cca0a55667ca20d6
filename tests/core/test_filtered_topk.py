import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nextclick.core.filtered_topk import (
    CandidateFilter,
    TopK,
    fill_from_popular,
    sparse_topk,
)
from nextclick.core.topk import SortedBase
from nextclick.core.types import SparseScores
from nextclick.serving.request import RecommendationRequest, ResolvedRequest


def wish(k, hidden=(), allow=None, n_items=9):
    shown = None
    if allow is not None:
        shown = np.zeros(n_items + 1, dtype=bool)
        shown[list(allow)] = True
    hidden = np.array(sorted(hidden), dtype=np.int32)
    nothing = np.empty(0, np.int32)
    return ResolvedRequest(RecommendationRequest(()), nothing, [], k, hidden, shown, None, 0.0, 0)


def by_hand(scores, asked):
    """The slow twin: sort all, drop the lowest, drop what may not be shown, take k."""
    lowest = min(scores[1:])
    order = sorted(range(1, len(scores)), key=lambda i: (-scores[i], i))
    kept = [
        i
        for i in order
        if scores[i] > lowest
        and i not in asked.excluded
        and (asked.allowed is None or asked.allowed[i])
    ]
    return kept[: asked.k]


ROWS = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, -1.0]), min_size=9, max_size=9)
WISHES = st.builds(
    wish,
    st.integers(1, 9),
    st.sets(st.integers(1, 9)),
    st.none() | st.sets(st.integers(1, 9)),
)


@given(st.lists(st.tuples(ROWS, WISHES), min_size=1, max_size=4), st.integers(1, 9))
def test_the_best_in_blocks_are_the_best_of_all(rows, width):
    scores = np.array([[0.0, *row] for row, _ in rows], dtype=np.float32)
    wishes = [asked for _, asked in rows]
    filters = CandidateFilter.of(wishes)
    best = TopK.empty(filters)
    for first in range(1, 10, width):
        best.add(scores[:, first : first + width], first, filters)
    for (items, values), row, asked in zip(best.lists(), scores, wishes, strict=True):
        assert items.tolist() == by_hand(row, asked)
        assert values.tolist() == row[items].tolist()


LISTED = st.dictionaries(st.integers(1, 9), st.sampled_from([0.0, 1.0, 3.0]))


@given(ROWS, st.lists(st.tuples(LISTED, WISHES), min_size=1, max_size=3))
def test_sparse_answers_are_those_of_dense_scores(base, rows):
    listed = [dict(sorted(row.items())) for row, _ in rows]
    sparse = SparseScores(
        offsets=np.cumsum([0, *map(len, listed)]),
        items=np.array([i for row in listed for i in row], dtype=np.int32),
        values=np.array([v for row in listed for v in row.values()], dtype=np.float32),
        base=np.array([0.0, *base], dtype=np.float32),
    )
    wishes = [asked for _, asked in rows]
    found = sparse_topk(sparse, SortedBase.from_scores(sparse.base), CandidateFilter.of(wishes))
    for (items, values), row, asked in zip(found, sparse.dense(), wishes, strict=True):
        assert items.tolist() == by_hand(row, asked)
        assert values.tolist() == row[items].tolist()


@given(WISHES, st.sets(st.integers(1, 9)))
def test_popular_items_fill_what_is_left(asked, chosen):
    chosen = np.array(sorted(chosen), dtype=np.int32)[: asked.k]
    popular = np.array([3, 1, 2, 9, 8, 7, 6, 5, 4], dtype=np.int32)
    expected = [
        i
        for i in popular
        if i not in chosen
        and i not in asked.excluded
        and (asked.allowed is None or asked.allowed[i])
    ]
    assert fill_from_popular(popular, chosen, asked).tolist() == expected[: asked.k - len(chosen)]
