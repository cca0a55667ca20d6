"""The gradients of the shares of a step sum to those of the whole step, for every neural model."""

from itertools import islice

import pytest
import torch

from installed import NEURAL
from nextclick import prepare
from nextclick.core import processes as module
from nextclick.core.processes import ALONE, Processes
from nextclick.data.store import Store
from nextclick.models.model_registry import model_class
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from nextclick.training.auxiliary_task import make_batch_source
from nextclick.training.batch_source import AuxiliaryStep
from nextclick.training.training_config import build_configs

STEPS = 4
_COMMON = {"batch_size": 40, "full_softmax_items": 0}
_NO_NOISE = {"user_dropout": 0.0, "time_dropout": 0.0}
CASES = {name: (name, {}) for name in NEURAL if name != "csrm"} | {
    "full-softmax": ("narm", {"preset": "paper"}),
    "in-batch": ("narm", {"in_batch": True, "sparse": True}),
    "hinge": ("asars", {"preset": "paper", "variant": "time_user", "gap": "elapsed"} | _NO_NOISE),
    "history": ("asars", {"variant": "time_user", "history": "all"} | _NO_NOISE),
    "first-click": (
        "asars",
        {"variant": "time_user", "gap": "elapsed", "history": "all", "first_click": True}
        | _NO_NOISE,
    ),
    "lanes": ("gru4rec", {"preset": "bpr-max", "negatives": 30}),
    "lanes-in-batch": ("gru4rec", {"preset": "top1"}),
    "asars": ("asars", _NO_NOISE),
    "lessr": ("lessr", {"batch_norm": False}),
}


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shares")
    simulate(SimulationConfig(events=2_000, items=60, users=120, days=5), folder / "log.parquet")
    prepare(folder / "log.parquet", folder / "store")
    return Store.open(folder / "store").part("train")


def gradients(name, sessions, monkeypatch, processes):
    """The loss and the gradients by name of each of the first steps, of one process."""
    monkeypatch.setattr(module, "_joined", [processes])
    name, values = CASES[name]
    values = _COMMON | values
    model_type = model_class(name)
    config, training = build_configs(
        name, model_type.Config, model_type.presets, values.pop("preset", None), values
    )
    torch.manual_seed(0)
    dataset = model_type.dataset_info(config, sessions)
    model = model_type(config, sessions.n_items, dataset)
    for part in model.encoder.modules():  # noise differs between processes
        for attribute in ("p", "dropout_p", "attention_dropout"):
            if isinstance(getattr(part, attribute, None), float):
                setattr(part, attribute, 0.0)
    encoder = model.encoder.train()
    source = make_batch_source(model, sessions, training, seed=2, device=torch.device("cpu"))
    found = []
    for step in islice(source.steps(0, 0), STEPS):
        encoder.zero_grad()
        loss = source.loss(step)
        if loss.requires_grad:
            (loss * step.share * step.weight).backward()
        grads = {
            n: p.grad.to_dense().clone()
            for n, p in encoder.named_parameters()
            if p.grad is not None
        }
        found.append((float(loss.detach()) * step.share, grads, len(step)))
        if isinstance(step, AuxiliaryStep):
            assert step.share == 1 / processes.size
    return found


@pytest.mark.parametrize("name", CASES)
def test_shares_sum_to_the_step(name, sessions, monkeypatch):
    whole = gradients(name, sessions, monkeypatch, ALONE)
    shares = [gradients(name, sessions, monkeypatch, Processes(rank, 3, 0, 3)) for rank in range(3)]
    for (loss, grads, n), *parts in zip(whole, *shares, strict=True):
        assert {part[2] for part in parts} == {n}
        assert sum(part[0] for part in parts) == pytest.approx(loss, rel=1e-5)
        for parameter, expected in grads.items():
            total = sum(part[1].get(parameter, torch.zeros(())) for part in parts)
            scale = float(expected.abs().max()) + 1e-6
            assert torch.allclose(total.expand_as(expected), expected, atol=1e-4 * scale), parameter
