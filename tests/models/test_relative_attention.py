"""Energies with a relation of two clicks: by hand, and against the plain formula."""

import math

import pytest
import torch

from nextclick.models.ops.additive_attention import additive_energy, plain_additive_energy


def relative_energy(query, key, relation, relations, weight):
    return additive_energy(query, key, weight, (relation, relations))


def plain_relative_energy(query, key, relation, relations, weight):
    return plain_additive_energy(query, key, weight, (relation, relations))


def draw(B, T, H, C=4, scale=1.0, seed=0):
    torch.manual_seed(seed)
    shapes = [(B, T, H), (B, T, H), (C, H), (H,)]
    query, key, relation, weight = (
        torch.randn(shape).mul(scale).requires_grad_() for shape in shapes
    )
    return query, key, relation, torch.randint(0, C, (B, T, T)), weight


def test_energies_by_hand():
    # σ(log 3) = 3/4, σ(0) = 1/2, σ(-log 3) = 1/4
    query = torch.tensor([[[0.0], [math.log(3.0)]]])
    key = torch.tensor([[[math.log(3.0)], [-math.log(9.0)]]])
    relation = torch.tensor([[0.0], [math.log(3.0)], [-math.log(9.0)]])
    relations = torch.tensor([[[0, 2], [2, 1]]])
    energy = relative_energy(query, key, relation, relations, torch.tensor([2.0]))
    # row 1: log 3 + log 3 - log 9 = 0, log 3 - log 9 + log 3 = 0
    torch.testing.assert_close(energy, torch.tensor([[[1.5, 0.0], [1.0, 1.0]]]))


@pytest.mark.parametrize("shape", [(3, 7, 5), (1, 1, 1), (2, 19, 100), (0, 3, 4)])
def test_energies_and_gradients_equal_the_plain_formula(shape):
    inputs, plain_inputs = draw(*shape, scale=2.0), draw(*shape, scale=2.0)
    energy, plain = relative_energy(*inputs), plain_relative_energy(*plain_inputs)
    torch.testing.assert_close(energy, plain, atol=1e-5, rtol=1e-5)
    torch.manual_seed(1)
    gradient = torch.randn(plain.shape)
    energy.backward(gradient)
    plain.backward(gradient)
    for tensor, expected in zip(inputs, plain_inputs, strict=True):
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.grad, expected.grad, atol=1e-4, rtol=1e-4)


def test_without_relations_it_is_the_additive_energy():
    query, key, relation, relations, weight = draw(2, 5, 3)
    energy = relative_energy(query, key, torch.zeros_like(relation), relations, weight)
    torch.testing.assert_close(energy, additive_energy(query, key, weight))


def test_saturated_sums_stay_finite():
    large = torch.full((1, 1, 1), 1e30)
    for sign, expected in ((1.0, 1.0), (-1.0, 0.0)):
        energy = relative_energy(
            sign * large, sign * large, sign * large[0], torch.zeros(1, 1, 1).long(), torch.ones(1)
        )
        assert energy.item() == expected
