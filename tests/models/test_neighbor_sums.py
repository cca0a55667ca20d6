"""Sums of neighboring rows and their gradients, against PyTorch's bags of embeddings."""

import pytest
import torch
from torch.nn.functional import embedding_bag

from nextclick.models.ops.neighbor_sums import neighbor_sums


def plain(table, neighbors, weights):
    return embedding_bag(neighbors.long(), table, per_sample_weights=weights, mode="sum")


def test_sums_and_gradients_by_hand():
    table = torch.tensor([[0.0], [2.0], [5.0]], requires_grad=True)
    neighbors = torch.tensor([[1, 2], [1, 0]], dtype=torch.int32)
    sums = neighbor_sums(table, neighbors, torch.tensor([[0.5, 1.0], [2.0, 0.0]]), sparse=True)
    assert sums.tolist() == [[6.0], [4.0]]
    (sums * torch.tensor([[1.0], [10.0]])).sum().backward()
    assert table.grad.to_dense().tolist() == [[0.0], [20.5], [1.0]]
    assert table.grad._nnz() == 3  # one entry for each distinct row


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [0, 1, 60])
def test_sums_and_gradients_equal_embedding_bag(n, dtype, sparse):
    torch.manual_seed(0)
    ours = torch.randn(40, 7, dtype=dtype, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    neighbors = torch.randint(0, 40, (n, 5), dtype=torch.int32)
    weights = torch.rand(n, 5, dtype=dtype)
    sums = neighbor_sums(ours, neighbors, weights, sparse=sparse)
    expected = plain(theirs, neighbors, weights)
    torch.testing.assert_close(sums, expected)
    upstream = torch.randn(n, 7, dtype=dtype)
    sums.backward(upstream)
    expected.backward(upstream)
    assert ours.grad.is_sparse == sparse
    torch.testing.assert_close(ours.grad.to_dense(), theirs.grad, atol=1e-5, rtol=1e-5)
