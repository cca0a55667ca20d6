"""Optimizers against slow twins, schedules against closed forms, clipping by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from nextclick.errors import TrainingError
from nextclick.losses.compute import Loss
from nextclick.models.encoder import Encoder
from nextclick.training.adagrad import Adagrad
from nextclick.training.optim import Optimizers, clip, learning_rate, make_optimizer
from nextclick.training.row_adam import RowAdam
from nextclick.training.training_config import TrainingConfig
from nextclick.training.training_plan import TrainingPlan

CONFIG = TrainingConfig(learning_rate=0.1)


def rows_of(grad):
    coalesced = grad.coalesce()
    return coalesced.indices()[0], coalesced.values()


def adagrad_by_hand(weight, grads, rate, momentum, decay):
    total, velocity = np.zeros_like(weight), np.zeros_like(weight)
    for grad in grads:
        grad = grad + decay * weight
        total = total + grad**2
        velocity = momentum * velocity - rate * grad / np.sqrt(total + 1e-6)
        weight = weight + velocity
    return weight


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # float32 is compiled
@pytest.mark.parametrize("momentum", [0.0, 0.4])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adagrad_equals_its_equation(momentum, decay, dtype):
    rng = np.random.default_rng(0)
    weight, grads = rng.normal(size=(3, 2)), rng.normal(size=(5, 3, 2))
    parameter = nn.Parameter(torch.tensor(weight, dtype=dtype))
    optimizer = Adagrad([parameter], lr=0.3, momentum=momentum, weight_decay=decay)
    for grad in grads:
        parameter.grad = torch.tensor(grad, dtype=dtype)
        optimizer.step()
    expected = adagrad_by_hand(weight, grads, 0.3, momentum, decay)
    rtol = 1e-7 if dtype == torch.float64 else 1e-5
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=rtol)


class Table(nn.Embedding, Encoder):
    def table(self):
        return self.weight, None


class Net(nn.Sequential, Encoder):
    def table(self):
        return self[0].weight, None


class Biased(Encoder):
    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(30, 4)
        self.bias = nn.Parameter(torch.zeros(30))

    def table(self):
        return self.items.weight, self.bias


def trained_tables(config, *, sparse, steps=6):
    """A table after steps that each look up different rows, some of them twice."""
    torch.manual_seed(0)
    module = Table(30, 4, padding_idx=0)
    optimizers = Optimizers(module, replace(config, sparse=sparse))
    for step in range(steps):
        rows = torch.tensor([1 + step, 2 + step, 2 + step, 20, 0])
        optimizers.zero_grad()
        functional.embedding(rows, module.weight, 0, sparse=sparse).pow(2).sum().backward()
        optimizers.step(0.1)
    return module.weight.detach()


@pytest.mark.parametrize("name", ["adagrad", "sgd"])
def test_sparse_gradients_give_the_same_weights(name):
    config = replace(CONFIG, optimizer=name)
    dense, sparse = (trained_tables(config, sparse=flag) for flag in (False, True))
    torch.testing.assert_close(sparse, dense, rtol=1e-6, atol=1e-7)


def test_momentum_of_a_row_changes_only_with_its_gradient():
    weight = nn.Parameter(torch.zeros(3, 1))
    optimizer = Adagrad([weight], lr=1.0, momentum=0.5, eps=0.0)
    for row in (1, 2, 1):
        weight.grad = torch.sparse_coo_tensor([[row]], [[2.0]], (3, 1), check_invariants=True)
        optimizer.step()
    # row 1: v = -1, w = -1; then v = -1/2 - 2/√8, w = -1 + v
    expected = -1.0 - 0.5 - 2.0 / math.sqrt(8.0)
    assert weight.detach().flatten().tolist() == pytest.approx([0.0, expected, -1.0])


@pytest.mark.parametrize("momentum", [0.0, 0.4])
def test_the_compiled_update_equals_tensor_operations(momentum):
    torch.manual_seed(0)
    start = torch.randn(50, 7)
    compiled, plain = (nn.Parameter(start.clone()) for _ in range(2))
    optimizer = Adagrad([compiled], lr=0.2, momentum=momentum)
    state = {"sum": torch.zeros(50, 7), "velocity": torch.zeros(50, 7)}
    group = {"lr": 0.2, "momentum": momentum, "eps": 1e-6}
    for _ in range(5):
        rows, values = torch.randint(0, 50, (1, 80)), torch.randn(80, 7)
        grad = torch.sparse_coo_tensor(rows, values, (50, 7), check_invariants=True)
        compiled.grad, plain.grad = grad, grad.clone()
        optimizer.step()
        with torch.no_grad():
            Adagrad.update_coalesced(plain, state, group, *rows_of(plain.grad))
    torch.testing.assert_close(compiled, plain)
    torch.testing.assert_close(optimizer.state[compiled]["sum"], state["sum"])


def row_adam_by_hand(weight, grads, rate):
    """Every row in every step: v decays, and a row with a gradient moves by its whole share."""
    square = np.zeros_like(weight)
    for n, (rows, values) in enumerate(grads, start=1):
        grad = np.zeros_like(weight)
        np.add.at(grad, rows, values)
        square = 0.999 * square + 0.001 * grad**2
        weight = weight - rate * grad / (np.sqrt(square / (1 - 0.999**n)) + 1e-8)
    return weight


@pytest.mark.parametrize("shape", [(50, 7), (50,)])
def test_row_adam_equals_its_equations(shape):
    rng = np.random.default_rng(0)
    start = rng.normal(size=shape).astype(np.float32)
    grads = [
        (rng.integers(0, 50, 20), rng.normal(size=(20, *shape[1:])).astype(np.float32))
        for _ in range(9)
    ]
    compiled, plain = (nn.Parameter(torch.tensor(start)) for _ in range(2))
    optimizer = RowAdam([compiled], lr=0.2)
    state = {"square": torch.zeros(shape), "last": torch.zeros(50, dtype=torch.int64)}
    for step, (rows, values) in enumerate(grads, start=1):
        grad = torch.sparse_coo_tensor(
            torch.tensor(rows)[None], torch.tensor(values), shape, check_invariants=True
        )
        compiled.grad, plain.grad = grad, grad.clone()
        optimizer.step()
        with torch.no_grad():
            group = {"lr": 0.2, "beta2": 0.999, "eps": 1e-8}
            RowAdam.update_coalesced(plain, state | {"step": step}, group, *rows_of(plain.grad))
    expected = row_adam_by_hand(start.astype(np.float64), grads, 0.2)
    np.testing.assert_allclose(compiled.detach(), expected, atol=2e-4)
    torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(optimizer.state[compiled]["square"], state["square"])


def test_row_adam_moves_a_rare_row_as_far_as_adam():
    rare, common = [], []
    for make in (lambda w: RowAdam([w], lr=0.01), lambda w: torch.optim.Adam([w], lr=0.01)):
        weight = nn.Parameter(torch.zeros(2, 1))
        optimizer = make(weight)
        for step in range(2000):
            values = torch.tensor([[1.0], [float(step % 100 == 0)]])  # row 1 is rare
            weight.grad = values
            if isinstance(optimizer, RowAdam):
                rows = values[:, 0].nonzero().T
                weight.grad = torch.sparse_coo_tensor(
                    rows, values[rows[0]], (2, 1), check_invariants=True
                )
            optimizer.step()
        common.append(weight[0].item())
        rare.append(weight[1].item())
    assert common[0] == pytest.approx(common[1], rel=0.01)
    assert rare[0] == pytest.approx(rare[1], rel=0.1)


def test_lazy_adam_updates_looked_up_rows_only():
    torch.manual_seed(0)
    before = nn.Embedding(30, 4, padding_idx=0).weight.detach().clone()
    after = trained_tables(replace(CONFIG, optimizer="adam"), sparse=True, steps=1)
    moved = (before != after).any(1).nonzero().flatten().tolist()
    assert moved == [1, 2, 20]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("adagrad", Adagrad),
    ],
)
def test_optimizers_by_name(name, kind):
    config = replace(CONFIG, optimizer=name, weight_decay=0.25)
    optimizer = make_optimizer(config, [nn.Parameter(torch.zeros(1))])
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["weight_decay"] == 0.25


@pytest.mark.parametrize("name", ["adam", "adamw", "adagrad", "sgd"])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_restored_state_gives_the_same_weights(name, sparse):
    config = replace(CONFIG, optimizer=name, sparse=sparse)

    def module_and_optimizers(state=None, weight=None):
        torch.manual_seed(1)
        module = Net(nn.Embedding(5, 2), nn.Linear(2, 1))
        optimizers = Optimizers(module, config)
        if state is not None:
            module.load_state_dict(weight)
            optimizers.load_state(state)
        return module, optimizers

    def step(module, optimizers):
        optimizers.zero_grad()
        module(torch.tensor([1, 2, 3])).sum().backward()
        optimizers.step(0.05)

    module, optimizers = module_and_optimizers()
    step(module, optimizers)
    saved = {n: t.clone() for n, t in optimizers.state().items()}
    weight = {n: t.clone() for n, t in module.state_dict().items()}
    step(module, optimizers)
    again, resumed = module_and_optimizers(saved, weight)
    of_types = {n: t.dtype for n, t in saved.items()}
    assert {n: t.dtype for n, t in resumed.state().items()} == of_types
    step(again, resumed)
    module_and_optimizers(resumed.state(), again.state_dict())  # as a second interruption does
    for name_, tensor in module.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name_])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, lambda e: 0.1),
        ({"schedule": "step"}, lambda e: 0.1 * 0.1 ** math.floor(e / 3)),
        (
            {"schedule": "step", "schedule_every": 2, "schedule_factor": 0.5},
            lambda e: 0.1 * 0.5 ** math.floor(e / 2),
        ),
        ({"schedule": "cosine", "epochs": 8}, lambda e: 0.05 * (1 + math.cos(math.pi * e / 8))),
        ({"schedule": "linear", "epochs": 8}, lambda e: 0.1 * (1 - e / 8)),
    ],
)
def test_schedules(changes, expected):
    config = replace(CONFIG, **changes)
    plan = TrainingPlan(config.epochs, 10, (config.epochs,))
    for before in (0.0, 0.25, 1.0, 2.99, 3.0, 6.5, 7.99):
        assert learning_rate(config, plan, before, before + 0.01) == pytest.approx(expected(before))


def test_warm_up_multiplies_the_schedule():
    config = replace(CONFIG, warm_up=20, schedule="linear")
    plan = TrainingPlan(4, steps_per_pass=10, ends=(4.0,))
    rates = [learning_rate(config, plan, e, e + 0.5) for e in (0.0, 0.5, 1.0, 1.5, 2.0, 3.5)]
    assert rates == pytest.approx(
        [0.1 * r * f for r, f in zip(
            (0.25, 0.5, 0.75, 1.0, 1.0, 1.0), (1.0, 0.875, 0.75, 0.625, 0.5, 0.125), strict=True
        )]
    )  # fmt: skip


def test_clipping_scales_all_gradients_together():
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3, 1))
    a.grad = torch.tensor([3.0, 0.0])
    # entries of the same row are summed: 4
    b.grad = torch.sparse_coo_tensor([[1, 1]], [[1.0], [3.0]], (3, 1), check_invariants=True)
    named = [("a", a), ("b", b), ("unused", nn.Parameter(torch.zeros(1)))]
    assert clip(named, 1.0, 1) == pytest.approx(5.0)
    assert a.grad.tolist() == pytest.approx([0.6, 0.0])
    assert b.grad.to_dense().flatten().tolist() == pytest.approx([0.0, 0.8, 0.0])
    assert clip(named, 2.0, 2) == pytest.approx(1.0)
    assert a.grad.tolist() == pytest.approx([0.6, 0.0])


def test_clipping_names_a_gradient_that_is_not_finite():
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3, 1))
    a.grad = torch.tensor([3.0, 0.0])
    b.grad = torch.sparse_coo_tensor([[1]], [[math.nan]], (3, 1), check_invariants=True)
    with pytest.raises(TrainingError, match="step 12: the gradient of b is not finite"):
        clip([("a", a), ("b", b)], 1.0, 12)


@pytest.mark.parametrize("name", ["adagrad", "sgd"])
def test_a_bias_has_equal_updates_for_sparse_and_dense_gradients(name):
    found = []
    for sparse in (False, True):
        torch.manual_seed(0)
        module = Biased()
        config = TrainingConfig(loss="sampled", negatives=3, optimizer=name, sparse=sparse)
        optimizers = Optimizers(module, config)
        loss = Loss("sampled", sparse=sparse)
        query = torch.randn(2, 4)
        for _ in range(3):
            optimizers.zero_grad()
            table, bias = module.table()
            loss(query, table, torch.tensor([1, 2]), bias=bias,
                 negatives=torch.tensor([3, 3, 1])).backward()  # fmt: skip
            assert module.bias.grad.is_sparse == sparse
            optimizers.step(0.1)
        found.append(torch.cat([module.items.weight.detach(), module.bias.detach()[:, None]], 1))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
    assert found[1][1:4, 4].abs().min() > 0
    assert (found[1][4:, 4] == 0).all()
