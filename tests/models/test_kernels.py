import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nextclick.models.ops.kernels import grow, keep_best, kth_largest


def test_grow_copies_the_used_part_and_adds_capacity():
    array = np.array([1, 2, 3], dtype=np.int32)
    assert len(grow(array, 2, 1)) == 3
    larger = grow(array, 2, 5)
    assert larger[:2].tolist() == [1, 2]
    assert len(larger) >= 7
    assert larger.dtype == np.int32


@given(values=st.lists(st.integers(0, 9), min_size=1, max_size=40), data=st.data())
def test_kth_largest_equals_sorting(values, data):
    k = data.draw(st.integers(1, len(values)))
    given_values = np.array(values, dtype=np.float64)
    assert kth_largest(given_values, k) == sorted(values, reverse=True)[k - 1]
    assert given_values.tolist() == values


@given(
    scores=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=12),
    n=st.integers(1, 14),
    seed=st.integers(0, 9),
)
def test_keep_best_sorts_by_score_then_index(scores, n, seed):
    items = np.random.default_rng(seed).permutation(len(scores)).astype(np.int32) + 1
    best, best_scores = keep_best(items, np.array(scores, dtype=np.float64), n)
    expected = sorted(zip(items.tolist(), scores, strict=True), key=lambda x: (-x[1], x[0]))[:n]
    assert list(zip(best.tolist(), best_scores.tolist(), strict=True)) == expected
