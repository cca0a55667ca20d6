import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.core.types import silent
from nextclick.models.classical import bpr_sgd
from nextclick.models.classical.bpr_sgd import (
    ItemLists,
    Samples,
    SGDRule,
    Weights,
    absent_item,
    mean_of_clicks,
    train_pairs,
    uniform_factors,
)


def array(values):
    return np.array(values, dtype=np.float32)


def int_array(*values):
    return np.array(values, dtype=np.int32)


def step(weights, rule, *, n_epochs=1, user=0):
    """Take one step for a click on item 1; the list of the owner has only item 1."""
    samples = Samples(int_array(1), int_array(0), int_array(user), int_array(0))
    lists = ItemLists.from_clicks(int_array(1), int_array(0), 1)
    train_pairs(weights, samples, lists, rule, name="test", seed=0, progress=silent)


def test_one_step_by_hand():
    # two items, so that the negative is 2: x = 2 · (1 - 0) + 0.5 - 0.1 - 0.4 = 2
    weights = Weights(
        array([[2.0]]), np.zeros((1, 0), np.float32), array([[9], [1], [0]]), array([9, 0.1, 0.1])
    )
    step(weights, SGDRule(learning_rate=0.5, regularization=0.1, epochs=1))
    c = 0.1192029  # σ(-2)
    assert weights.contexts == pytest.approx(array([[2 + 0.5 * (c * (1 - 0) - 0.1 * 2)]]))
    assert weights.items == pytest.approx(
        array([[9], [1 + 0.5 * (c * 2 - 0.1 * 1)], [0 + 0.5 * (-c * 2 - 0.1 * 0)]])
    )
    expected = [9, 0.1 + 0.5 * (c - 0.1 * 0.1), 0.1 + 0.5 * (-c - 0.1 * 0.1)]
    assert weights.bias == pytest.approx(array(expected))


def test_one_step_with_a_user_by_hand():
    # x = 1 · (1 - 2) + 3 · (0.5 - (-0.5)) + 0 = 2; the bias stays
    weights = Weights(
        array([[1.0]]), array([[7], [3]]), array([[9, 9], [1, 0.5], [2, -0.5]]), array([0, 0, 0])
    )
    step(weights, SGDRule(0.5, 0.0, epochs=1, train_bias=False), user=1)
    c = 0.1192029
    assert weights.contexts == pytest.approx(array([[1 + 0.5 * c * (1 - 2)]]))
    assert weights.users == pytest.approx(array([[7], [3 + 0.5 * c * (0.5 + 0.5)]]))
    assert weights.items == pytest.approx(
        array([[9, 9], [1 + 0.5 * c, 0.5 + 0.5 * c * 3], [2 - 0.5 * c, -0.5 - 0.5 * c * 3]])
    )
    assert weights.bias.tolist() == [0, 0, 0]


def test_user_dropout_trains_row_0():
    weights = Weights(
        array([[0.0]]), array([[1], [1]]), array([[0, 0], [0, 1], [0, 0]]), array([0] * 3)
    )
    step(weights, SGDRule(0.5, 0.0, epochs=200, user_dropout=0.5), user=1)
    assert (weights.users[:, 0] > 1).all()
    weights = Weights(
        array([[0.0]]), array([[1], [1]]), array([[0, 0], [0, 1], [0, 0]]), array([0] * 3)
    )
    step(weights, SGDRule(0.5, 0.0, epochs=200), user=1)
    assert weights.users[0] == 1


def test_a_sample_without_negatives_is_skipped():
    weights = Weights(
        array([[2.0]]), np.zeros((1, 0), np.float32), array([[9], [1]]), array([0, 0])
    )
    step(weights, SGDRule(0.5, 0.1, epochs=3))
    assert (weights.contexts.tolist(), weights.items.tolist()) == ([[2]], [[9], [1]])


@given(listed=st.sets(st.integers(1, 12)))
def test_absent_items_are_not_listed(listed):
    free = [i for i in range(1, 13) if i not in listed]
    ascending = np.array(sorted(listed), dtype=np.int32)
    assert [absent_item(ascending, k) for k in range(len(free))] == free


def test_lists_have_the_distinct_items_of_each_owner():
    lists = ItemLists.from_clicks(int_array(5, 2, 5, 1, 2), int_array(0, 0, 0, 2, 0), 4)
    assert lists.offsets.tolist() == [0, 2, 2, 3, 3]
    assert lists.items.tolist() == [2, 5, 1]
    assert lists.items.dtype == np.int32


def test_no_negative_is_an_item_of_the_owner():
    # negatives have a negative bias; 1, 3 and 5 are items of the owner
    weights = Weights(
        np.zeros((1, 2), np.float32),
        np.zeros((1, 0), np.float32),
        np.zeros((7, 2), np.float32),
        np.zeros(7, np.float32),
    )
    samples = Samples(*(np.repeat(int_array(v), 300) for v in (3, 0, 0, 0)))
    lists = ItemLists.from_clicks(int_array(5, 3, 1), int_array(0, 0, 0), 1)
    train_pairs(
        weights, samples, lists, SGDRule(0.01, 0.0, 1), name="test", seed=0, progress=silent
    )
    assert np.flatnonzero(weights.bias < 0).tolist() == [2, 4, 6]
    assert np.flatnonzero(weights.bias).tolist() == [2, 3, 4, 6]
    # each with the same probability: a third of 300 steps of about 0.01 / 2
    assert weights.bias[[2, 4, 6]] == pytest.approx(weights.bias[[2, 4, 6]].mean(), rel=0.3)


def test_an_epoch_in_several_calls_uses_every_sample_once(monkeypatch):
    monkeypatch.setattr(bpr_sgd, "_STEPS_PER_CALL", 3)
    reports = []
    weights = Weights(
        np.zeros((8, 1), np.float32),
        np.zeros((1, 0), np.float32),
        np.zeros((10, 1), np.float32),
        np.zeros(10, np.float32),
    )
    indices = np.arange(8, dtype=np.int32)
    samples = Samples(indices + 1, indices, np.zeros_like(indices), indices)
    train_pairs(
        weights,
        samples,
        # 9 is the only possible negative
        ItemLists.from_clicks(np.tile(indices + 1, 8), np.repeat(indices, 8), 8),
        SGDRule(1e-3, 0.0, 2),
        name="test",
        seed=0,
        progress=lambda *report: reports.append(report),
    )
    assert weights.bias[1:9] == pytest.approx(2 * 1e-3 / 2, rel=1e-2)
    assert [(done, total) for _, done, total in reports] == [(n, 16) for n in (3, 6, 8, 11, 14, 16)]
    # -log σ of margins that have hardly moved from 0
    match = re.fullmatch(r"train · epoch 2/2 · loss (0\.69\d\d) · [\d,]+ samples/s", reports[-1][0])
    assert float(match[1]) < np.log(2)


def test_the_mean_includes_repeats_and_excludes_padding():
    factors = array([[9, 9], [1, 2], [4, 5]])
    items = np.array([[1, 2, 1], [2, 1, 1], [1, 1, 1]], dtype=np.int32)
    mean = mean_of_clicks(items, int_array(3, 1, 0), factors)
    assert mean.dtype == np.float32
    assert mean == pytest.approx(array([[2, 3], [4, 5], [0, 0]]))


def test_initial_factors_are_uniform():
    table = uniform_factors(np.random.default_rng(0), 1000, 10, 0.05)
    assert (table.shape, table.dtype) == ((1000, 10), np.float32)
    assert (table.min(), table.max()) == pytest.approx((-0.05, 0.05), rel=0.01)
    assert table.std() == pytest.approx(0.05 / 3**0.5, rel=0.02)
