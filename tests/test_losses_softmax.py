"""The full softmax: hand-worked, equal to the plain one, whatever the size of its blocks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nextclick.losses.blocks import block_shape
from nextclick.losses.softmax import full_softmax

P, N, D = 150, 301, 8
# one block, row blocks of 128 and less, tiles of all rows, tiles of some rows by one column
SIZES = [1 << 24, 128 * N, 5000, 150, 40]


def problem(
    scale: float = 1.0, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    query = torch.randn(P, D, generator=rng, dtype=torch.float64) * scale
    table = torch.randn(N + 1, D, generator=rng, dtype=torch.float64)
    bias = torch.randn(N + 1, generator=rng, dtype=torch.float64)
    targets = torch.randint(1, N + 1, (P,), generator=rng)
    targets[:2] = torch.tensor([1, N])
    leaves = (x.to(dtype).requires_grad_() for x in (query, table, bias))
    return *leaves, targets


def plain(query: Tensor, table: Tensor, targets: Tensor, bias: Tensor | None = None) -> Tensor:
    logits = query @ table[1:].T
    return cross_entropy(logits if bias is None else logits + bias[1:], targets - 1)


def test_by_hand() -> None:
    # logits of items 1, 2, 3: 0, ln 2, ln 5 -> probabilities 1/8, 2/8, 5/8; the target is 2
    query = torch.tensor([[1.0]], requires_grad=True)
    table = torch.tensor([[100.0], [0.0], [math.log(2)], [math.log(5)]], requires_grad=True)
    loss = full_softmax(query, table, torch.tensor([2]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))
    # p - onehot = 1/8, -6/8, 5/8; item 0 would win by far and takes no part
    assert table.grad.flatten().tolist() == pytest.approx([0, 1 / 8, -6 / 8, 5 / 8])
    assert query.grad.item() == pytest.approx(-6 / 8 * math.log(2) + 5 / 8 * math.log(5))


def test_bias_by_hand() -> None:
    query = torch.zeros(2, 1)
    table = torch.ones(3, 1)
    bias = torch.tensor([50.0, 0.0, math.log(3)], requires_grad=True)
    loss = full_softmax(query, table, torch.tensor([1, 2]), bias=bias)
    loss.backward()
    assert loss.item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)
    # mean of 1/4 - 1, 3/4 and 1/4, 3/4 - 1
    assert bias.grad.tolist() == pytest.approx([0, -1 / 4, 1 / 4])


@pytest.mark.parametrize("max_cells", SIZES)
@pytest.mark.parametrize("scale", [0.3, 30.0])  # without and with a maximum subtracted
@pytest.mark.parametrize("with_bias", [False, True])
def test_equals_plain_cross_entropy(max_cells: int, scale: float, with_bias: bool) -> None:
    query, table, bias, targets = problem(scale)
    inputs = (query, table, bias) if with_bias else (query, table)
    bias_or_none = bias if with_bias else None
    expected = plain(query, table, targets, bias_or_none)
    found = full_softmax(query, table, targets, bias=bias_or_none, max_cells=max_cells)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    theirs = torch.autograd.grad(3 * expected, inputs)
    for a, b in zip(torch.autograd.grad(3 * found, inputs), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("max_cells", SIZES)
@pytest.mark.parametrize("scale", [0.3, 30.0])
def test_float32_is_as_accurate_as_plain_cross_entropy(max_cells: int, scale: float) -> None:
    query, table, bias, targets = problem(scale, torch.float32)
    exact = [x.detach().double().requires_grad_() for x in (query, table, bias)]
    right = plain(exact[0], exact[1], targets, exact[2])
    theirs = plain(query, table, targets, bias)
    ours = full_softmax(query, table, targets, bias=bias, max_cells=max_cells)
    assert ours.dtype == torch.float32
    assert ours.item() == pytest.approx(right.item(), rel=1e-6)
    gradients = (
        torch.autograd.grad(ours, (query, table, bias)),
        torch.autograd.grad(theirs, (query, table, bias)),
        torch.autograd.grad(right, exact),
    )
    for a, b, c in zip(*gradients, strict=True):
        assert (a - c).norm() < 2 * (b - c).norm() + 5e-7 * c.norm()


@pytest.mark.parametrize("max_cells", [1 << 20, 40])
def test_gradcheck(max_cells: int) -> None:
    rng = torch.Generator().manual_seed(3)
    shapes = ((5, 3), (9, 3), (9,))
    inputs = [
        torch.randn(*s, generator=rng, dtype=torch.float64, requires_grad=True) for s in shapes
    ]
    targets = torch.tensor([1, 8, 3, 3, 5])

    def loss(query: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        return full_softmax(query, table, targets, bias=bias, max_cells=max_cells)

    assert torch.autograd.gradcheck(loss, inputs)


def test_a_second_backward_pass_gives_the_same_gradients() -> None:
    query, table, _, targets = problem()
    loss = full_softmax(query, table, targets)
    (first,) = torch.autograd.grad(loss, table, retain_graph=True)
    kept = first.clone()
    (second,) = torch.autograd.grad(loss, table, grad_outputs=torch.tensor(2.0).double())
    assert torch.equal(first, kept)
    assert torch.equal(second, 2 * kept)


def test_the_gradient_of_the_table_is_not_copied() -> None:
    query, table, _, targets = problem()
    loss = full_softmax(query, table, targets)
    made = loss.grad_fn.gradients[1].data_ptr()
    loss.backward()
    assert table.grad.data_ptr() == made


def test_required_gradients_only() -> None:
    query, table, bias, targets = problem()
    loss = full_softmax(query, table.detach(), targets, bias=bias.detach())
    assert [g is None for g in loss.grad_fn.gradients] == [False, True, True]
    loss = full_softmax(query.detach(), table, targets, bias=bias)
    assert [g is None for g in loss.grad_fn.gradients] == [True, False, False]


@pytest.mark.parametrize("max_cells", SIZES)
def test_without_gradient(max_cells: int) -> None:
    query, table, bias, targets = problem()
    with torch.no_grad():
        loss = full_softmax(query, table, targets, bias=bias, max_cells=max_cells)
    assert loss.grad_fn is None
    with_gradient = full_softmax(query, table, targets, bias=bias, max_cells=max_cells)
    assert loss.item() == with_gradient.item()


def test_arguments_are_unchanged() -> None:
    query, table, bias, targets = problem(30.0)
    before = [x.detach().clone() for x in (query, table, bias, targets)]
    full_softmax(query, table, targets, bias=bias).backward()
    assert all(
        torch.equal(a, b) for a, b in zip(before, (query, table, bias, targets), strict=True)
    )


def test_huge_logits_stay_finite() -> None:
    query = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    table = torch.tensor([[0.0], [1.0], [-1.0]], requires_grad=True)
    loss = full_softmax(query, table, torch.tensor([2, 2]))
    loss.backward()
    assert loss.item() == 1e4  # 2e4 for the first row, 0 for the second
    assert table.grad.flatten().tolist() == pytest.approx([0, 5e3, -5e3])


def test_nan_is_not_hidden() -> None:
    query, table, _, targets = problem()
    with torch.no_grad():
        query[3, 2] = math.nan
    assert math.isnan(full_softmax(query, table, targets).item())


@pytest.mark.parametrize("max_cells", [1 << 20, 5000])
def test_bfloat16_products(max_cells: int) -> None:
    query, table, bias, targets = problem(1.0, torch.float32)
    exact = full_softmax(query, table, targets, bias=bias)
    rough = full_softmax(
        query, table, targets, bias=bias, matmul_dtype=torch.bfloat16, max_cells=max_cells
    )
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=2e-3)
    a, b = (torch.autograd.grad(x, (query, table, bias)) for x in (rough, exact))
    for ours, right in zip(a, b, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - right).norm() < 0.02 * right.norm()


def test_bfloat16_inputs_and_autocast() -> None:
    query, table, _, targets = problem(1.0, torch.float32)
    right = full_softmax(query, table, targets).item()
    low_query, low_table = (x.detach().bfloat16().requires_grad_() for x in (query, table))
    loss = full_softmax(low_query, low_table, targets)
    loss.backward()
    assert (loss.dtype, low_query.grad.dtype, low_table.grad.dtype) == (
        torch.float32, torch.bfloat16, torch.bfloat16,
    )  # fmt: skip
    assert loss.item() == pytest.approx(right, rel=2e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = full_softmax(query, table, targets)
    asked = full_softmax(query, table, targets, matmul_dtype=torch.bfloat16)
    assert mixed.item() == asked.item()


def test_shape_of_blocks() -> None:
    assert block_shape(1700, 43_000, 1 << 24) == (340, 43_000)  # 5 equal blocks
    assert block_shape(10, 43_000, 1 << 24) == (10, 43_000)
    assert block_shape(1700, 1_000_000, 1 << 24) == (1700, 9868)
    assert block_shape(5000, 1_000_000, 1 << 24) == (2048, 8192)
    assert block_shape(100, 50, 1) == (1, 1)


def test_errors() -> None:
    query, table, bias, targets = problem()
    with pytest.raises(ValueError, match=r"table must be \(N \+ 1, 8\) with N ≥ 1, got \(302, 7\)"):
        full_softmax(query, table[:, :7], targets)
    with pytest.raises(ValueError, match=r"targets must be \(150,\), got \(149,\)"):
        full_softmax(query, table, targets[:-1])
    with pytest.raises(ValueError, match=r"bias must be \(302,\), got \(301,\)"):
        full_softmax(query, table, targets, bias=bias[1:])
    with pytest.raises(ValueError, match="targets must not be empty"):
        full_softmax(query[:0], table, targets[:0])
    with pytest.raises(ValueError, match=r"targets must be in 1\.\.301, got 0\.\.300"):
        full_softmax(query, table, targets - 1)
    with pytest.raises(ValueError, match=r"targets must be in 1\.\.301, got 2\.\.302"):
        full_softmax(query, table, targets + 1)
    with pytest.raises(ValueError, match="max_cells must be at least 1, got 0"):
        full_softmax(query, table, targets, max_cells=0)
