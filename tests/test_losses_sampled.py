"""Sampled softmax: hand-worked, blind to false negatives, and on average the full one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from nextclick.batches.negatives import NegativeSampler
from nextclick.losses.sampled import sampled_softmax
from nextclick.losses.softmax import full_softmax

if TYPE_CHECKING:
    from collections.abc import Iterator

LN2, LN3, LN4, LN5 = (math.log(x) for x in (2, 3, 4, 5))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Thousands of tiny steps: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def one_row(*logits: float) -> tuple[Tensor, Tensor]:
    """A query of width 1 and a table of items 0..N whose logits are those."""
    return torch.ones(1, 1), torch.tensor(logits)[:, None].requires_grad_()


def test_by_hand() -> None:
    # e^z of items 1..4: 2, 3, 4, 5; target 1 against 2 and 4: -log 2 / (2 + 3 + 5)
    query, table = one_row(9.0, LN2, LN3, LN4, LN5)
    loss = sampled_softmax(query, table, torch.tensor([1]), torch.tensor([2, 4]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(5))
    assert table.grad.flatten().tolist() == pytest.approx([0, -0.8, 0.3, 0, 0.5])


def test_bias_by_hand() -> None:
    query, table = one_row(9.0, LN2, LN3, LN4, LN5)
    bias = torch.tensor([0.0, LN3, 0.0, 0.0, math.log(2)])
    loss = sampled_softmax(query, table, torch.tensor([1]), torch.tensor([2, 4]), bias=bias)
    assert loss.item() == pytest.approx(math.log((6 + 3 + 10) / 6))


def test_target_and_padding_are_no_negatives() -> None:
    query, table = one_row(9.0, LN2, LN3, LN4, LN5)
    negatives = torch.tensor([2, 1, 0, 4, 1])
    loss = sampled_softmax(query, table, torch.tensor([1]), negatives)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(5))
    assert table.grad.flatten().tolist() == pytest.approx([0, -0.8, 0.3, 0, 0.5])


def test_a_row_without_a_valid_negative_has_loss_0() -> None:
    query, table = one_row(9.0, LN2, LN3)
    loss = sampled_softmax(query, table, torch.tensor([1]), torch.tensor([1, 0]))
    loss.backward()
    assert loss.item() == 0
    assert not table.grad.any()


def test_log_q_by_hand() -> None:
    # 2 draws with q = 1/4 (item 2) and 1/2 (item 4): one expects 1/2 and 1 of them
    query, table = one_row(9.0, LN2, LN3, LN4, LN5)
    log_q = torch.tensor([0.0, 1 / 8, 1 / 4, 1 / 8, 1 / 2]).log()
    targets, negatives = torch.tensor([1]), torch.tensor([2, 4])
    loss = sampled_softmax(query, table, targets, negatives, log_q=log_q)
    assert loss.item() == pytest.approx(math.log((2 + 3 / 0.5 + 5 / 1) / 2))
    # with the target corrected too: one expects 1/4 of it, so 2 becomes 8
    loss = sampled_softmax(
        query, table, targets, negatives, log_q=log_q, correct_target=True
    )  # fmt: skip
    assert loss.item() == pytest.approx(math.log((8 + 6 + 5) / 8))


def test_in_batch_by_hand() -> None:
    # targets 1, 2, 1: rows 1 and 3 meet item 2 once, row 2 meets item 1 twice
    query = torch.ones(3, 1)
    _, table = one_row(9.0, LN2, LN3)
    loss = sampled_softmax(query, table, torch.tensor([1, 2, 1]), None, in_batch=True)
    rows = [math.log(5 / 2), math.log((3 + 2 + 2) / 3), math.log(5 / 2)]
    assert loss.item() == pytest.approx(sum(rows) / 3)


def test_in_batch_with_log_q_by_hand() -> None:
    # item 2 as a negative of row 1: 1 other row x p = 1/4, and 2 draws x q = 1/8, together 1/2;
    # item 3: 1 x 1/2 + 2 x 1/4 = 1; item 1 as a negative of row 2: 1 x 1/4 + 2 x 5/8 = 3/2
    query = torch.ones(2, 1)
    _, table = one_row(9.0, LN2, LN3, LN4)
    log_p = torch.tensor([0.0, 1 / 4, 1 / 4, 1 / 2]).log()
    log_q = torch.tensor([0.0, 5 / 8, 1 / 8, 1 / 4]).log()
    loss = sampled_softmax(
        query, table, torch.tensor([1, 2]), torch.tensor([3, 3]),
        log_q=log_q, log_p=log_p, in_batch=True,
    )  # fmt: skip
    rows = [math.log((2 + 3 / 0.5 + 4 + 4) / 2), math.log((3 + 2 / 1.5 + 4 + 4) / 3)]
    assert loss.item() == pytest.approx(sum(rows) / 2)


def problem(P: int = 12, N: int = 30, D: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(5)
    leaves = [
        torch.randn(*shape, generator=rng, dtype=torch.float64, requires_grad=True)
        for shape in ((P, D), (N + 1, D), (N + 1,))
    ]
    return *leaves, torch.randint(1, N + 1, (P,), generator=rng)


def slow_twin(
    query: Tensor,
    table: Tensor,
    bias: Tensor,
    targets: Tensor,
    negatives: Tensor,
    log_q: Tensor,
    log_p: Tensor,
    valid: Tensor,
) -> Tensor:
    P, M = len(targets), negatives.shape[-1]
    losses = []
    for r in range(P):
        target = int(targets[r])
        own = negatives if negatives.ndim == 1 else negatives[r]
        drawn = [int(j) for j, counts in zip(own, valid[r], strict=True) if counts]
        others = [int(targets[s]) for s in range(P) if s != r]
        total = here = (query[r] @ table[target] + bias[target]).exp()
        for j in drawn + others:
            if j not in (target, 0):
                expected = M * log_q[j].exp() + (P - 1) * log_p[j].exp()
                total = total + (query[r] @ table[j] + bias[j]).exp() / expected
        losses.append(total.log() - here.log())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("own", [False, True])
def test_equals_the_slow_twin(own: bool) -> None:
    query, table, bias, targets = problem()
    P, N, M = 12, 30, 9
    rng = torch.Generator().manual_seed(6)
    negatives = torch.randint(0, N + 1, (P, M) if own else (M,), generator=rng)
    valid = torch.rand(P, M, generator=rng) < 0.7
    log_q, log_p = (torch.randn(N + 1, generator=rng).double().log_softmax(0) for _ in "qp")
    found = sampled_softmax(
        query, table, targets, negatives,
        bias=bias, log_q=log_q, log_p=log_p, in_batch=True, valid=valid,
    )  # fmt: skip
    expected = slow_twin(query, table, bias, targets, negatives, log_q, log_p, valid)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    inputs = (query, table, bias)
    theirs = torch.autograd.grad(expected, inputs)
    for a, b in zip(torch.autograd.grad(found, inputs), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_invalid_negatives_get_no_gradient() -> None:
    query, table, _, targets = problem()
    negatives = torch.tensor([3, 7, 8])
    valid = torch.ones(12, 3, dtype=torch.bool)
    valid[:, 1] = False
    sampled_softmax(query, table, targets, negatives, valid=valid).backward()
    assert 7 not in targets
    assert not table.grad[7].any()
    assert table.grad[3].any()


@pytest.mark.parametrize("sparse", [False, True])
def test_only_gathered_rows_get_a_gradient(sparse: bool) -> None:
    query, table, _, targets = problem()
    negatives = torch.tensor([3, 7, 0])
    sampled_softmax(query, table, targets, negatives, sparse=sparse).backward()
    assert table.grad.is_sparse == sparse
    gradient = table.grad.to_dense() if sparse else table.grad
    moved = set(gradient.any(1).nonzero().flatten().tolist())
    assert moved == {*targets.tolist(), 3, 7}
    if sparse:
        assert table.grad._nnz() == 12 + 3


def mean_error(M: int, alpha: float, correct: bool) -> float:
    """How far the mean gradient over many draws is from that of the full softmax, relative."""
    query, table, _, targets = problem()
    (right,) = torch.autograd.grad(full_softmax(query, table, targets), table)
    rng = np.random.default_rng(11)
    sampler = NegativeSampler(rng.integers(1, 50, 31), alpha)
    log_q = torch.from_numpy(sampler.log_q) if correct else None
    total = torch.zeros_like(table)
    n = 100
    for _ in range(n):
        negatives = torch.from_numpy(sampler.draw(M, rng))
        loss = sampled_softmax(query, table, targets, negatives, log_q=log_q)
        total += torch.autograd.grad(loss, table)[0]
    return float((total / n - right).norm() / right.norm())


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_mean_gradient_approaches_that_of_the_full_softmax(alpha: float) -> None:
    few, more, many = (mean_error(M, alpha, correct=True) for M in (4, 32, 512))
    assert few > 2 * more
    assert more > 2 * many
    assert many < 0.02


def test_without_log_q_the_mean_gradient_is_biased() -> None:
    assert mean_error(512, 1.0, correct=False) > 0.08


def test_errors() -> None:
    query, table, _, targets = problem()
    log_q = torch.zeros(31)
    drawn = torch.tensor([3, 4])
    with pytest.raises(ValueError, match="log_q without log_p: pass log_p"):
        sampled_softmax(query, table, targets, drawn, log_q=log_q, in_batch=True)
    with pytest.raises(ValueError, match="log_p without log_q: pass log_q"):
        sampled_softmax(query, table, targets, drawn, log_p=log_q, in_batch=True)
    with pytest.raises(ValueError, match="negatives must be given unless in_batch is true"):
        sampled_softmax(query, table, targets, None)
    with pytest.raises(ValueError, match=r"negatives must be \(M,\) or \(12, M\), got \(5, 2\)"):
        sampled_softmax(query, table, targets, torch.ones(5, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"valid must be \(12, 2\), got \(12, 3\)"):
        sampled_softmax(query, table, targets, drawn, valid=torch.ones(12, 3) > 0)


@pytest.mark.parametrize("correct_target", [False, True])
@pytest.mark.parametrize("scale", [1.0, 40.0])  # 40: logits far above the limit of plain exp
def test_shared_negatives_equal_the_composed_loss(scale: float, *, correct_target: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    P, M, N, D = 50, 80, 60, 16
    query = draw(P, D).mul(scale).requires_grad_()
    table, bias = draw(N + 1, D).requires_grad_(), draw(N + 1).requires_grad_()
    log_q = draw(N + 1)
    log_q[0] = -torch.inf
    targets = torch.randint(1, N + 1, (P,), generator=generator)
    negatives = torch.randint(0, N + 1, (M,), generator=generator)
    every = torch.ones(P, M, dtype=torch.bool)  # a mask is composed of tensor operations
    losses = [
        sampled_softmax(
            query, table, targets, negatives,
            bias=bias, log_q=log_q, correct_target=correct_target, valid=valid,
        )
        for valid in (None, every)
    ]  # fmt: skip
    torch.testing.assert_close(*losses)
    gradients = [torch.autograd.grad(2 * loss, (query, table, bias)) for loss in losses]
    for shared, composed in zip(*gradients, strict=True):
        torch.testing.assert_close(shared, composed, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_gradients_of_shared_negatives_are_those_of_the_loss(scale: float) -> None:
    query, table, bias, targets = problem()
    negatives = torch.tensor([3, 0, 7, int(targets[0]), 9, 7])

    def loss(query: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        return sampled_softmax(query * scale, table, targets, negatives, bias=bias)

    assert torch.autograd.gradcheck(loss, (query, table, bias), fast_mode=True)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_compiled_loss_equals_tensor_operations_in_float32(*, sparse: bool) -> None:
    query, table, bias, targets = (
        x.detach().float().requires_grad_() if x.is_floating_point() else x for x in problem()
    )
    negatives = torch.randint(0, 31, (20,), generator=torch.Generator().manual_seed(1))
    every = torch.ones(12, 20, dtype=torch.bool)
    inputs = (query, table, bias)
    found, expected = (
        sampled_softmax(query, table, targets, negatives, bias=bias, valid=valid, sparse=sparse)
        for valid in (None, every)
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for a, b in zip(*(torch.autograd.grad(x, inputs) for x in (found, expected)), strict=True):
        torch.testing.assert_close(a.to_dense(), b.to_dense(), atol=1e-5, rtol=1e-5)


def test_shared_negatives_need_their_own_probabilities() -> None:
    query, table = one_row(9.0, LN2, LN3, LN4, LN5)
    targets, negatives = torch.tensor([1]), torch.tensor([2, 4])
    with pytest.raises(ValueError, match="log_p without log_q"):
        sampled_softmax(query, table, targets, negatives, log_p=torch.zeros(5))


def test_without_any_negative_the_loss_is_0() -> None:
    query, table = one_row(9.0, LN2, LN3)
    none = torch.empty(0, dtype=torch.int64)
    loss = sampled_softmax(query, table, torch.tensor([1]), none, log_q=torch.zeros(3))
    assert loss.item() == 0
