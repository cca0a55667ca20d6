"""BPR, TOP1, their -max forms and hinge: hand-worked, masked, and against slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nextclick.errors import ConfigError
from nextclick.losses import LOSSES, loss_spec
from nextclick.losses.compute import Loss
from nextclick.losses.pairwise import bpr, bpr_max, hinge, top1, top1_max
from nextclick.losses.sampled import sampled_softmax
from nextclick.losses.softmax import full_softmax

FUNCTIONS = {"bpr": bpr, "bpr-max": bpr_max, "top1": top1, "top1-max": top1_max, "hinge": hinge}
LN3 = math.log(3)

# one row: r = ln 3, r_j = 0 and 2 ln 3, so σ(r - r_j) = 3/4 and 1/4, σ(r_j - r) = 1/4 and 3/4;
# the softmax of the negatives is 1/(1 + 9) and 9/(1 + 9)
POSITIVE, NEGATIVE = torch.tensor([LN3]), torch.tensor([[0.0, 2 * LN3]])
SQUARE = 4 * LN3**2
SIGMA_SQUARE = 1 / (1 + math.exp(-SQUARE))
BY_HAND = {
    "bpr": (math.log(4 / 3) + math.log(4)) / 2,
    "top1": ((1 / 4 + 1 / 2) + (3 / 4 + SIGMA_SQUARE)) / 2,
    "hinge": ((1 - LN3 if LN3 < 1 else 0) + (1 + LN3)) / 2,
    "bpr-max": -math.log(0.1 * 3 / 4 + 0.9 * 1 / 4) + 0.9 * SQUARE,
    "top1-max": 0.1 * (1 / 4 + 1 / 2) + 0.9 * (3 / 4 + SIGMA_SQUARE),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_by_hand(name: str) -> None:
    everything = torch.ones(1, 2, dtype=torch.bool)
    loss = FUNCTIONS[name](POSITIVE, NEGATIVE, everything)
    assert loss.item() == pytest.approx(BY_HAND[name], rel=1e-6)


def test_the_penalty_of_bpr_max_by_hand() -> None:
    everything = torch.ones(1, 2, dtype=torch.bool)
    without = bpr_max(POSITIVE, NEGATIVE, everything, regularization=0.0)
    assert without.item() == pytest.approx(-math.log(0.3), rel=1e-6)
    half = bpr_max(POSITIVE, NEGATIVE, everything, regularization=0.5)
    assert half.item() == pytest.approx(-math.log(0.3) + 0.45 * SQUARE, rel=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rows_have_equal_weight_for_any_number_of_negatives(name: str) -> None:
    # row 1 is the one above, row 2 has one negative, row 3 none
    positive = torch.tensor([LN3, 0.5, 7.0])
    negative = torch.tensor([[0.0, 2 * LN3], [1.5, 99.0], [4.0, 5.0]])
    valid = torch.tensor([[True, True], [True, False], [False, False]])
    loss = FUNCTIONS[name](positive, negative, valid)
    second = FUNCTIONS[name](positive[1:2], negative[1:2, :1], valid[1:2, :1])
    assert loss.item() == pytest.approx((BY_HAND[name] + second.item()) / 2, rel=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_masked_negatives_have_neither_value_nor_gradient(name: str) -> None:
    valid = torch.tensor([[True, False, True], [False, False, False]])
    results = []
    for masked in (-80.0, 0.0, 80.0):
        positive = torch.tensor([0.3, 0.4], requires_grad=True)
        negative = torch.tensor([[0.1, masked, 0.9], [masked] * 3], requires_grad=True)
        loss = FUNCTIONS[name](positive, negative, valid)
        loss.backward()
        assert not negative.grad[~valid].any()
        assert positive.grad[1] == 0
        results.append((loss.item(), positive.grad[0].item(), negative.grad[0, 0].item()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_without_a_valid_negative_the_loss_is_0(name: str) -> None:
    positive = torch.tensor([0.3], requires_grad=True)
    loss = FUNCTIONS[name](positive, torch.tensor([[1.0]]), torch.tensor([[False]]))
    loss.backward()
    assert loss.item() == 0
    assert positive.grad.item() == 0


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("gap", [-300.0, 300.0])
def test_large_score_differences_stay_finite(name: str, gap: float) -> None:
    positive = torch.tensor([gap], requires_grad=True)
    negative = torch.tensor([[0.0, -gap]], requires_grad=True)
    loss = FUNCTIONS[name](positive, negative, torch.ones(1, 2, dtype=torch.bool))
    loss.backward()
    assert loss.isfinite()
    assert positive.grad.isfinite().all()
    assert negative.grad.isfinite().all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_activation_is_applied_to_all_scores(name: str) -> None:
    query, table, targets = small()
    for activation, f in (("tanh", np.tanh), ("elu", lambda x: x if x > 0 else np.expm1(x))):
        found = Loss(name, activation=activation)(
            query, table, targets, negatives=torch.tensor([4])
        )
        rows = []
        for p in range(4):
            r, s = (
                torch.tensor(f(float(query[p] @ table[j])), dtype=torch.float64)
                for j in (int(targets[p]), 4)
            )
            rows.append(slow_row(name, r, [s], 1.0))
        assert float(found) == pytest.approx(float(torch.stack(rows).mean()), rel=1e-5)


def slow_row(name: str, r: Tensor, scores: list[Tensor], penalty: float) -> Tensor:
    def sigma(x: Tensor) -> Tensor:
        return 1 / (1 + (-x).exp())

    n = len(scores)
    total = sum(s.exp() for s in scores)
    if name == "bpr":
        return sum(-sigma(r - s).log() for s in scores) / n
    if name == "top1":
        return sum(sigma(s - r) + sigma(s * s) for s in scores) / n
    if name == "hinge":
        return sum(torch.relu(1 - r + s) for s in scores) / n
    if name == "bpr-max":
        better = sum(s.exp() / total * sigma(r - s) for s in scores)
        return -better.log() + penalty * sum(s.exp() / total * s * s for s in scores)
    return sum(s.exp() / total * (sigma(s - r) + sigma(s * s)) for s in scores)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("in_batch", [False, True])
def test_by_name_equals_the_slow_twin(name: str, own: bool, in_batch: bool) -> None:
    P, N, D, M = 7, 9, 3, 5
    rng = torch.Generator().manual_seed(2)
    inputs = [
        torch.randn(*shape, generator=rng, dtype=torch.float64, requires_grad=True)
        for shape in ((P, D), (N + 1, D), (N + 1,))
    ]
    query, table, bias = inputs
    targets = torch.randint(1, N + 1, (P,), generator=rng)
    negatives = torch.randint(0, N + 1, (P, M) if own else (M,), generator=rng)
    valid = torch.rand(P, M, generator=rng) < 0.7
    found = Loss(name, in_batch=in_batch, regularization=0.3)(
        query, table, targets, bias=bias, negatives=negatives, valid=valid
    )

    rows = []
    for p in range(P):
        target = int(targets[p])
        drawn = negatives[p] if own else negatives
        items = [int(j) for j, counts in zip(drawn, valid[p], strict=True) if counts]
        items += [int(t) for t in targets] if in_batch else []
        scores = [query[p] @ table[j] + bias[j] for j in items if j not in (target, 0)]
        r = query[p] @ table[target] + bias[target]
        rows += [slow_row(name, r, scores, 0.3)] if scores else []
    expected = torch.stack(rows).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    theirs = torch.autograd.grad(expected, inputs)
    for a, b in zip(torch.autograd.grad(found, inputs), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def small() -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(4)
    return (
        torch.randn(4, 3, generator=rng),
        torch.randn(6, 3, generator=rng),
        torch.tensor([1, 2, 3, 2]),
    )


def test_ce_and_sampled_by_name() -> None:
    query, table, targets = small()
    assert Loss("ce")(query, table, targets).equal(full_softmax(query, table, targets))
    drawn, log_q = torch.tensor([4, 5]), torch.full((6,), -1.5)
    by_name = Loss("sampled", in_batch=True, correct_target=True)(
        query, table, targets, negatives=drawn, log_q=log_q, log_p=log_q
    )
    direct = sampled_softmax(
        query, table, targets, drawn,
        log_q=log_q, log_p=log_q, in_batch=True, correct_target=True,
    )  # fmt: skip
    assert by_name.equal(direct)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_differentiable(name: str) -> None:
    query, table, targets = small()
    query.requires_grad_()
    needs = loss_spec(name).negatives
    drawn = torch.tensor([4, 5]) if needs else None
    loss = Loss(name, in_batch=needs)(query, table, targets, negatives=drawn)
    loss.backward()
    assert loss.ndim == 0
    assert loss.isfinite()
    assert query.grad.any()


def test_bfloat16_scores_are_compared_in_float32() -> None:
    query, table, targets = small()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for name in FUNCTIONS:
            loss = Loss(name)(query, table, targets, negatives=torch.tensor([4, 5]))
            assert loss.dtype == torch.float32


def test_errors() -> None:
    query, table, targets = small()
    with pytest.raises(ConfigError, match="there is no loss 'bprmax': did you mean bpr-max"):
        Loss("bprmax")
    with pytest.raises(ConfigError, match="loss 'bpr' needs negatives: pass at least one"):
        Loss("bpr")(query, table, targets)
    with pytest.raises(ConfigError, match="loss 'ce' scores all items: pass no negatives"):
        Loss("ce")(query, table, targets, negatives=torch.tensor([4]))
    with pytest.raises(ConfigError, match="loss 'ce' scores all items: set in_batch to false"):
        Loss("ce", in_batch=True)
    with pytest.raises(ConfigError, match="loss 'ce' scores all items: set sparse to false"):
        Loss("ce", sparse=True)
