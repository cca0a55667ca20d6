"""Compiled steps of GRU4Rec's lanes against autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nextclick.models.neural.gru4rec import GRU4Rec, GRU4RecConfig
from nextclick.training import lane_batch_source
from nextclick.training.checkpoint import Checkpoints
from nextclick.training.compiled_step import CompiledStep
from nextclick.training.lane_batch_source import LaneBatchSource
from nextclick.training.optim import Optimizers
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import TrainingConfig
from reference.tiny_model import circle, fresh, weights

CPU = torch.device("cpu")
LOG = circle(90, n_items=40)
CONFIG = TrainingConfig(
    loss="sampled", negatives=30, in_batch=True, sparse=True, order="lanes", batch_size=7,
    optimizer="adagrad", learning_rate=0.05, momentum=0.2, shuffle=False, epochs=2, threads=1,
)  # fmt: skip
DROPOUT = {"embedding_dropout": 0.2, "hidden_dropout": 0.4}
MODELS = {
    "tied": {},
    "tied, dropout": DROPOUT,
    "tied, two layers": {"layers": 2, **DROPOUT},
    "separate": {"embedding": "separate", "embedding_width": 5, **DROPOUT},
    "one-hot": {"embedding": "one-hot"},
    "one-hot, two layers": {"embedding": "one-hot", "layers": 2, **DROPOUT},
}
LOSSES = {
    "sampled": {},
    "sampled, target corrected": {"correct_target": True},
    "sampled without log Q": {"log_q": False},
    "sampled, from the batch": {"negatives": 0},
    "sampled, drawn": {"in_batch": False},
    "bpr": {"loss": "bpr"},
    "bpr of the batch": {"loss": "bpr", "score_activation": "tanh", "negatives": 0},
    "bpr-max": {"loss": "bpr-max", "score_activation": "elu", "regularization": 0.5},
    "top1": {"loss": "top1", "score_activation": "tanh"},
    "top1-max": {"loss": "top1-max"},
    "hinge": {"loss": "hinge", "in_batch": False},
}


def model(seed=0, **values):
    torch.manual_seed(seed)
    values = {"hidden_width": 9, "hidden_dropout": 0.0, **values}
    return GRU4Rec(GRU4RecConfig(**values), LOG.n_items)


def source_of(model, config, *, compiled):
    source = LaneBatchSource(model, LOG, config, seed=1, device=CPU)
    assert source._compiled is not None
    if not compiled:
        source._compiled = None
    return source


def one_step(source, step, seed):
    """The loss, all gradients and the state after a step."""
    torch.manual_seed(seed)  # of the dropout
    parameters = dict(source.encoder.named_parameters())
    for parameter in parameters.values():
        parameter.grad = None
    loss = source.loss(step)
    if loss.requires_grad:
        (loss * step.weight).backward()
    after = torch.rand(1)  # both forms draw the same numbers
    grads = {name: parameter.grad.to_dense() for name, parameter in parameters.items()}
    return loss.detach(), grads, source.state()["lanes"], after


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("form", MODELS)
def test_every_step_of_a_training_equals_autograd(form, loss):
    """Compared from the same weights in each step: Adagrad amplifies the rounding of small ones."""
    config, trained = replace(CONFIG, **LOSSES[loss]), model(**MODELS[form])
    optimizers = Optimizers(trained.encoder.train(), config)
    compiled, plain = (source_of(trained, config, compiled=flag) for flag in (True, False))
    steps = list(compiled.steps(0, 0))
    list(plain.steps(0, 0))
    assert len(steps) >= 50
    assert any(step.where is not None for step in steps)  # lanes without a session at the end
    for number, step in enumerate(steps):
        expected = one_step(plain, step, number)
        found = one_step(compiled, step, number)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-6)
        plain.load_state(compiled.state())
        optimizers.step(0.05)


def train(config, values, monkeypatch, *, compiled, start=None, **options):
    trained = model(**values)
    if start is not None:
        trained.encoder.load_state_dict(start.encoder.state_dict())
    with monkeypatch.context() as patched:
        if not compiled:
            patched.setattr(lane_batch_source.CompiledStep, "create", lambda *_: None)
        summary = Trainer(trained, config, seed=5, device="cpu").run(LOG, **options)
    return trained, [epoch["loss"] for epoch in summary.history]


@pytest.mark.parametrize("form", ["tied, two layers", "separate", "one-hot"])
@pytest.mark.parametrize("loss", ["sampled", "bpr-max", "top1"])
def test_a_training_equals_that_by_autograd(form, loss, monkeypatch):
    config = replace(CONFIG, **LOSSES[loss], optimizer="sgd", momentum=0.0, clip=0.5)
    found, losses = train(config, MODELS[form], monkeypatch, compiled=True)
    expected, expected_losses = train(config, MODELS[form], monkeypatch, compiled=False)
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    for name, array in expected.state().items():
        np.testing.assert_allclose(found.state()[name], array, rtol=1e-4, atol=1e-5)


def test_a_training_can_continue(monkeypatch):
    config = replace(CONFIG, optimizer="sgd", momentum=0.0)
    start, _ = train(config, DROPOUT, monkeypatch, compiled=True)
    found, expected = (
        train(config, DROPOUT, monkeypatch, compiled=flag, start=start)[0].state()
        for flag in (True, False)
    )
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["tied, two layers", "one-hot"])
def test_the_same_seed_gives_the_same_weights_also_after_a_kill(form, monkeypatch, tmp_path):
    config = replace(CONFIG, checkpoint_minutes=0, shuffle=True)
    expected, _ = train(config, MODELS[form], monkeypatch, compiled=True)

    class KilledError(Exception):
        pass

    calls = []

    def progress(*_):
        calls.append(None)
        if len(calls) == 41:
            raise KilledError

    monkeypatch.setattr("nextclick.training.run_log.PROGRESS_SECONDS", 0.0)
    first = {"checkpoints": Checkpoints(tmp_path, False, {}), "progress": progress}
    with pytest.raises(KilledError):
        train(config, MODELS[form], monkeypatch, compiled=True, **first)
    resumed = {"checkpoints": Checkpoints(tmp_path, True, {})}
    found, _ = train(config, MODELS[form] | {"seed": 9}, monkeypatch, compiled=True, **resumed)
    assert weights(found) == weights(expected)


@pytest.mark.parametrize(
    ("covered", "values"),
    [
        (True, {}),
        (True, {"optimizer": "adam", "momentum": 0.0}),
        (False, {"sparse": False}),
        (False, {"precision": "bf16"}),
        (False, {"loss": "ce", "negatives": 0, "in_batch": False, "sparse": False}),
    ],
)
def test_what_is_covered(covered, values):
    config = replace(CONFIG, **values)
    source = LaneBatchSource(model(), LOG, config, seed=1, device=CPU)
    assert (source._compiled is not None) == covered


def test_another_encoder_is_trained_by_autograd():
    source = LaneBatchSource(fresh(LOG.n_items), LOG, CONFIG, seed=1, device=CPU)
    assert source._compiled is None
    other = model().encoder.double()
    assert CompiledStep.create(other, CONFIG, source.objective, CPU) is None
    meta = torch.device("meta")
    assert CompiledStep.create(model().encoder, CONFIG, source.objective, meta) is None
