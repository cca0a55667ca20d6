import math

import pytest
import torch

from nextclick.models.ops import segments
from nextclick.models.ops.segments import (
    group_energy,
    group_softmax,
    group_sum,
    plain_group_energy,
    plain_group_softmax,
    plain_group_sum,
)


def draw(G, M, H, seed=0):
    """Groups of 0 to 4 rows, queries, keys, weights, and a number for each gathered row."""
    torch.manual_seed(seed)
    bounds = torch.cat([torch.zeros(1, dtype=torch.int64), torch.randint(0, 5, (G,)).cumsum(0)])
    E = int(bounds[-1])
    return (
        torch.randint(0, M, (E,)),
        bounds,
        torch.randn(G, H).mul(3).requires_grad_(),
        torch.randn(M, H).mul(3).requires_grad_(),
        torch.randn(H).requires_grad_(),
        torch.randn(E).requires_grad_(),
    )


def check_same(actual, expected, inputs, plain_inputs):
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    torch.manual_seed(1)
    gradient = torch.randn(expected.shape)
    actual.backward(gradient)
    expected.backward(gradient)
    for tensor, plain in zip(inputs, plain_inputs, strict=True):
        torch.testing.assert_close(tensor.grad, plain.grad, atol=2e-5, rtol=1e-4)


def test_sums_by_hand():
    rows = torch.tensor([[1.0, 2.0], [10.0, 20.0]])
    source, bounds = torch.tensor([0, 1, 1]), torch.tensor([0, 2, 2, 3])
    actual = group_sum(rows, source, bounds, torch.tensor([0.5, 0.1, 2.0]))
    torch.testing.assert_close(actual, torch.tensor([[1.5, 3.0], [0.0, 0.0], [20.0, 40.0]]))


def test_energies_by_hand():
    # σ(log 3) = 3/4, σ(-log 3) = 1/4
    query = torch.tensor([[0.0], [math.log(3.0)]])
    key = torch.tensor([[math.log(3.0)], [-math.log(9.0)]])
    source, bounds = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 3])
    actual = group_energy(query, key, torch.tensor([2.0]), source, bounds)
    torch.testing.assert_close(actual, torch.tensor([1.5, 1.8, 0.5]))


def test_softmax_by_hand():
    energy = torch.tensor([math.log(3.0), 0.0, 100.0, 5.0, 5.0])
    actual = group_softmax(energy, torch.tensor([0, 2, 3, 3, 5]))
    torch.testing.assert_close(actual, torch.tensor([0.75, 0.25, 1.0, 0.5, 0.5]))


@pytest.mark.parametrize("shape", [(6, 9, 5), (1, 1, 1), (40, 30, 100), (3, 4, 0)])
def test_results_and_gradients_equal_the_plain_formulas(shape):
    source, bounds, *inputs = draw(*shape)
    *_, query, key, weight, numbers = draw(*shape)
    check_same(
        group_energy(*inputs[:3], source, bounds),
        plain_group_energy(query, key, weight, source, bounds),
        inputs[:3],
        [query, key, weight],
    )
    inputs[1].grad = key.grad = None
    check_same(
        group_sum(inputs[1], source, bounds, inputs[3]),
        plain_group_sum(key, source, bounds, numbers),
        [inputs[1], inputs[3]],
        [key, numbers],
    )
    inputs[3].grad = numbers.grad = None
    check_same(
        group_softmax(inputs[3], bounds),
        plain_group_softmax(numbers, bounds),
        inputs[3:],
        [numbers],
    )


def test_no_groups_give_no_rows():
    source, bounds = torch.empty(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    assert group_sum(torch.ones(3, 2), source, bounds, torch.empty(0)).shape == (0, 2)
    assert group_softmax(torch.empty(0), bounds).shape == (0,)


def test_fixed_weights_get_no_gradient():
    source, bounds, _, rows, _, numbers = draw(5, 6, 3)
    group_sum(rows, source, bounds, numbers.detach()).sum().backward()
    assert rows.grad is not None
    assert numbers.grad is None


def test_nan_is_preserved():
    source, bounds = torch.tensor([0, 1]), torch.tensor([0, 1, 2])
    rows = torch.tensor([[torch.nan], [1.0]])
    assert torch.isnan(group_sum(rows, source, bounds, torch.ones(2))).tolist() == [[True], [False]]
    energy = group_energy(torch.zeros(2, 1), rows, torch.ones(1), source, bounds)
    assert torch.isnan(energy).tolist() == [True, False]
    assert torch.isnan(group_softmax(energy, bounds)).tolist() == [True, False]


def test_inputs_of_lower_precision_and_any_layout():
    source, bounds, query, key, weight, numbers = (x.detach() for x in draw(6, 9, 4))
    expected = plain_group_energy(query, key, weight, source, bounds)
    swapped = key.T.contiguous().T
    torch.testing.assert_close(group_energy(query, swapped, weight, source, bounds), expected)
    low = [x.bfloat16().requires_grad_() for x in (query, key, weight)]
    actual = group_energy(*low, source, bounds)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, atol=0.1, rtol=0.05)
    actual.sum().backward()
    assert low[0].grad.dtype == torch.bfloat16
    assert group_sum(key.bfloat16(), source, bounds, numbers).dtype == torch.float32


def test_an_exported_graph_uses_the_plain_formulas(monkeypatch):
    source, bounds, query, key, weight, numbers = draw(6, 9, 4)
    results = [
        lambda: group_energy(query, key, weight, source, bounds),
        lambda: group_sum(key, source, bounds, numbers),
        lambda: group_softmax(numbers, bounds),
    ]
    expected = [result() for result in results]
    monkeypatch.setattr(segments.torch.compiler, "is_compiling", lambda: True)
    for result, known in zip(results, expected, strict=True):
        exported = result()
        assert "Group" not in type(exported.grad_fn).__name__
        torch.testing.assert_close(exported, known, atol=1e-5, rtol=1e-5)
