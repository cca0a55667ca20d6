import math

import pytest
import torch

from nextclick.models.ops.additive_attention import additive_energy, plain_additive_energy


def draw(B, T, H, scale=1.0, seed=0):
    torch.manual_seed(seed)
    return (
        torch.randn(B, T, H).mul(scale).requires_grad_(),
        torch.randn(B, T, H).mul(scale).requires_grad_(),
        torch.randn(H).requires_grad_(),
    )


def test_energies_by_hand():
    # σ(log 3) = 3/4, σ(0) = 1/2, σ(-log 3) = 1/4
    query = torch.tensor([[[0.0], [math.log(3.0)]]])
    key = torch.tensor([[[math.log(3.0)], [-math.log(9.0)]]])
    energy = additive_energy(query, key, torch.tensor([2.0]))
    torch.testing.assert_close(energy, torch.tensor([[[1.5, 0.0], [1.8, 0.5]]]))


@pytest.mark.parametrize("shape", [(3, 7, 5), (1, 1, 1), (2, 19, 100), (4, 3, 8), (0, 3, 4)])
def test_energies_and_gradients_equal_the_plain_formula(shape):
    inputs, plain_inputs = draw(*shape, scale=3.0), draw(*shape, scale=3.0)
    energy, plain = additive_energy(*inputs), plain_additive_energy(*plain_inputs)
    torch.testing.assert_close(energy, plain, atol=1e-5, rtol=1e-5)
    torch.manual_seed(1)
    gradient = torch.randn(plain.shape)
    energy.backward(gradient)
    plain.backward(gradient)
    for tensor, expected in zip(inputs, plain_inputs, strict=True):
        torch.testing.assert_close(tensor.grad, expected.grad, atol=2e-5, rtol=1e-4)


def test_entries_above_the_diagonal_have_no_gradient():
    query, key, weight = draw(2, 4, 3)
    additive_energy(query, key, weight).triu(1).sum().backward()
    assert (query.grad == 0).all()
    assert (key.grad == 0).all()
    assert (weight.grad == 0).all()


@pytest.mark.parametrize(("value", "expected"), [(90.0, 1.0), (-90.0, 0.0), (1e30, 1.0)])
def test_saturated_sums_stay_exact(value, expected):
    energy = additive_energy(torch.tensor([[[value]]]), torch.zeros(1, 1, 1), torch.ones(1))
    assert energy.item() == pytest.approx(expected, abs=1e-15)
    both = additive_energy(torch.tensor([[[value]]]), torch.tensor([[[value]]]), torch.ones(1))
    assert both.item() == pytest.approx(expected, abs=1e-15)


def test_nan_is_preserved():
    query, key, weight = draw(2, 3, 4)
    with torch.no_grad():
        query[1, 2, 0] = torch.nan
    energy = additive_energy(query, key, weight)
    assert torch.isnan(energy[1, 2]).all()
    assert torch.isfinite(energy[0]).all()


def test_inputs_of_any_layout_and_precision():
    query, key, weight = (x.detach() for x in draw(3, 4, 6))
    expected = plain_additive_energy(query, key, weight)
    swapped = query.transpose(0, 1).contiguous().transpose(0, 1)
    torch.testing.assert_close(additive_energy(swapped, key, weight), expected)
    low = [x.bfloat16().requires_grad_() for x in (query, key, weight)]
    energy = additive_energy(*low)
    assert energy.dtype == torch.float32
    torch.testing.assert_close(energy, expected, atol=0.05, rtol=0.05)
    energy.sum().backward()
    assert low[0].grad.dtype == torch.bfloat16


def test_incoming_gradients_of_any_layout():
    inputs, plain_inputs = draw(2, 3, 4), draw(2, 3, 4)
    additive_energy(*inputs).transpose(1, 2)[..., :1].sum().backward()
    plain_additive_energy(*plain_inputs).transpose(1, 2)[..., :1].sum().backward()
    for tensor, expected in zip(inputs, plain_inputs, strict=True):
        torch.testing.assert_close(tensor.grad, expected.grad)


def test_an_exported_graph_uses_the_plain_formula(monkeypatch):
    inputs = draw(2, 3, 4)
    expected = additive_energy(*inputs)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    exported = additive_energy(*inputs)
    assert "_Energy" not in type(exported.grad_fn).__name__
    torch.testing.assert_close(exported, expected)
