"""Training: convergence, determinism, early stopping, progress and errors."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError, EmptyLogError, TrainingError
from nextclick.models.neural_model import NEURAL
from nextclick.training import run_log as report
from nextclick.training.checkpoint import TrainingPosition
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import TrainingConfig
from nextclick.training.training_plan import TrainingPlan
from reference.tiny_model import circle, fresh, weights

LOG = circle(300)
QUICK = TrainingConfig(batch_size=64, learning_rate=0.02, epochs=3, threads=1)
LANES = replace(
    QUICK, order="lanes", batch_size=16, loss="sampled", in_batch=True, optimizer="adagrad",
    learning_rate=0.2,
)  # fmt: skip


def train(config=QUICK, sessions=LOG, *, seed=0, model=None, **arguments):
    model = model or fresh(sessions.n_items)
    trainer = Trainer(model, config, seed=seed, device="cpu")
    return model, trainer.run(sessions, **arguments)


def recall_at_1(model):
    sessions = [[i, i % 40 + 1] for i in range(1, 40)]
    scores = model.score(SessionBatch.from_lists(sessions))[:, 1:]
    return float(np.mean(scores.argmax(1) + 1 == [s[-1] % 40 + 1 for s in sessions]))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "sampled", "negatives": 20},
        {"loss": "sampled", "in_batch": True},
        {"loss": "bpr-max", "negatives": 20},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"optimizer": "adagrad", "learning_rate": 0.3, "momentum": 0.2},
        {"optimizer": "sgd", "learning_rate": 0.3, "momentum": 0.9},
        {"schedule": "cosine", "warm_up": 10},
        {"clip": 1.0},
        {"shuffle": False},
        {"loss": "sampled", "negatives": 20, "sparse": True},
    ],
    ids=str,
)
def test_learns_a_planted_rule(changes):
    model, training = train(replace(QUICK, epochs=20, **changes))
    assert recall_at_1(model) > 0.9
    losses = [epoch["loss"] for epoch in training.history]
    assert losses[-1] < losses[0] / 2


def test_lanes_learn_a_planted_rule():
    model, training = train(replace(LANES, epochs=12))
    # the tiny model computes another mean in lanes than in sessions, so predict in lanes
    encoder = model.encoder
    with torch.inference_mode():
        state = encoder.initial_state(39)
        queries, _ = encoder.step(torch.arange(1, 40), state)
        found = (queries @ encoder.outputs.weight.T + encoder.bias)[:, 1:].argmax(1) + 1
    assert float((found == torch.arange(1, 40) % 40 + 1).float().mean()) > 0.9
    # in-batch negatives need two active lanes
    assert training.history[0]["samples"] == LOG.n_prefixes - 1


@pytest.mark.parametrize("config", [QUICK, LANES], ids=["sessions", "lanes"])
def test_same_seed_same_weights(config):
    first, second, third = (train(config, seed=seed)[0] for seed in (3, 3, 4))
    assert weights(first) == weights(second)
    assert weights(first) != weights(third)


def test_random_state_and_threads_of_the_caller_are_unchanged():
    torch.manual_seed(11)
    torch.set_num_threads(1)
    before = torch.get_rng_state()
    train()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 1


def test_history_has_the_metrics_of_every_epoch():
    seen = []

    def validate(model):
        seen.append(weights(model))
        return {"recall@20": 0.1 * len(seen), "mrr@20": 0.5}

    model, training = train(validate=validate)
    assert [epoch["epoch"] for epoch in training.history] == [1, 2, 3]
    assert [epoch["recall@20"] for epoch in training.history] == [0.1, 0.2, pytest.approx(0.3)]
    for epoch in training.history:
        assert epoch.keys() == {
            "epoch", "steps", "samples", "loss", "learning_rate", "samples_per_second", "seconds",
            "recall@20", "mrr@20",
        }  # fmt: skip
        assert epoch["samples"] == LOG.n_prefixes
        assert epoch["learning_rate"] == 0.02
    assert (training.epochs, training.selected["epoch"]) == (3, 3)
    assert (training.device, training.threads) == ("cpu", 1)
    assert weights(model) == seen[-1]
    assert not model.encoder.training


def validations(values, seen):
    """A validation that returns `values` in turn and appends the weights to `seen`."""

    def validate(model):
        seen.append(weights(model))
        return {"recall@20": values[len(seen) - 1]}

    return validate


def test_early_stopping_keeps_the_best_epoch():
    seen = []
    values = [0.1, 0.3, 0.3, 0.2, 0.9]
    config = replace(QUICK, epochs=5, patience=2)
    model, training = train(config, validate=validations(values, seen))
    assert len(seen) == training.epochs == 4  # an equal value is not better
    assert training.selected["epoch"] == 2
    assert weights(model) == seen[1]


def test_keep_last_runs_all_epochs():
    seen = []
    config = replace(QUICK, epochs=4, patience=1, keep="last")
    model, training = train(config, validate=validations([0.4, 0.3, 0.2, 0.1], seen))
    assert (training.epochs, training.selected["epoch"]) == (4, 4)
    assert weights(model) == seen[3]


def test_fewer_epochs_keep_the_schedule():
    config = replace(QUICK, epochs=8, schedule="linear")
    plan = TrainingPlan.create(config, LOG)
    whole, part = (
        Trainer(fresh(40), config, device="cpu", plan=plan.until(epochs)).run(LOG)
        for epochs in (8, 2)
    )
    rates = [[epoch["learning_rate"] for epoch in run.history] for run in (whole, part)]
    assert rates[1] == rates[0][:2]


def test_pretraining_uses_all_sessions_and_later_epochs_recent_ones():
    config = replace(QUICK, epochs=4, pretrain_epochs=2, recent=0.25, patience=1)
    seen = []
    _, training = train(config, validate=validations([0.9, 0.8, 0.2, 0.1], seen))
    recent = LOG.slice(225, 300).n_prefixes
    samples = [epoch["samples"] for epoch in training.history]
    assert samples == [LOG.n_prefixes, LOG.n_prefixes, recent, recent]
    assert training.selected["epoch"] == 3  # pretraining epochs are never the best


def test_a_long_log_is_validated_within_an_epoch_and_stops_at_the_end_of_the_schedule():
    seen = []
    # about 19 steps in an epoch
    config = replace(QUICK, max_steps=8, validations=4, schedule="linear", epochs=3)
    plan = TrainingPlan.create(config, LOG)
    _, training = train(config, validate=validations([0.1, 0.2, 0.3, 0.2], seen))
    assert len(seen) == 4
    assert [e["epoch"] for e in training.history] == [round(end, 4) for end in plan.ends]
    steps = [interval["steps"] for interval in training.history]
    assert 8 <= sum(steps) <= 10  # a batch of whole sessions has at most 64 prefixes
    assert sum(e["samples"] for e in training.history) < 0.5 * LOG.n_prefixes
    assert training.history[-1]["learning_rate"] < 0.02 / 7
    assert training.selected_plan.ends == plan.ends[:3]


def test_a_short_log_is_passed_more_often():
    config = replace(QUICK, min_steps=100, epochs=2, validations=3)
    _, training = train(config)
    assert sum(interval["steps"] for interval in training.history) >= 100
    assert training.epochs == training.selected_plan.passes > 2
    assert len(training.history) == 3


def test_chronological_training_on_a_long_log_uses_its_most_recent_part():
    config = replace(QUICK, max_steps=5, shuffle=False)
    plan = TrainingPlan.create(config, LOG)
    _, training = train(config)
    assert training.epochs == 1
    n = int(len(LOG) * plan.recent)
    assert training.history[0]["samples"] == LOG.slice(len(LOG) - n, len(LOG)).n_prefixes


def test_progress_reports_metrics(monkeypatch):
    monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
    calls = []
    train(
        validate=validations([0.25, 0.5, 0.5], []),
        progress=lambda stage, done, total: calls.append((stage, done, total)),
    )
    assert {stage.split(" · ")[0] for stage, _, _ in calls} == {"train"}
    done = [done for _, done, _ in calls]
    assert done == sorted(done)
    assert done[-1] == 3 * LOG.n_prefixes
    assert {total for _, _, total in calls} == {3 * LOG.n_prefixes}
    last = calls[-1][0]
    assert "epoch 3/3 · loss " in last
    assert "samples/s · recall@20 0.5000 (best 0.5000 after epoch 2)" in last


def test_bf16_learns_a_planted_rule(monkeypatch):
    monkeypatch.setattr("nextclick.training.device.has_bf16", lambda device: True)
    model, _ = train(replace(QUICK, precision="bf16", epochs=15))
    assert recall_at_1(model) > 0.9
    assert {array.dtype for array in model.state().values()} == {np.dtype(np.float32)}


def test_rounded_products_learn_a_planted_rule():
    model, _ = train(replace(QUICK, precision="bf16-products", epochs=15))
    assert recall_at_1(model) > 0.9


def poisoned(name, step):
    """A progress callback that sets a weight to NaN after `step` steps."""

    def progress(stage, done, total):
        progress.steps += 1
        if progress.steps == step:
            with torch.no_grad():
                progress.model.encoder.get_parameter(name).fill_(math.nan)

    progress.steps = 0
    progress.model = fresh(LOG.n_items)
    return progress


def test_a_loss_that_is_not_finite(monkeypatch):
    monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
    progress = poisoned("mix.weight", 7)
    with pytest.raises(
        TrainingError,
        match=r"step 8: the loss is nan; the weights mix\.weight are not finite; lower",
    ):
        train(model=progress.model, progress=progress)


def test_weights_are_checked_before_the_validation(monkeypatch):
    monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
    config = replace(QUICK, batch_size=10**6, epochs=1)
    progress = poisoned("mix.bias", 1)
    with pytest.raises(TrainingError, match=r"step 1: the weights mix\.bias are not finite"):
        train(config, model=progress.model, progress=progress)


def test_an_overflow_within_a_step():
    model = fresh(LOG.n_items)
    model.encoder.register_forward_hook(lambda module, args, out: out * math.inf)
    with pytest.raises(
        TrainingError, match=r"step 1: the loss is (nan|inf); all weights are finite"
    ):
        train(model=model)


def test_a_gradient_that_is_not_finite():
    model = fresh(LOG.n_items)
    model.encoder.mix.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingError, match=r"step 1: the gradient of mix\.weight is not finite"):
        train(replace(QUICK, clip=1.0), model=model)


def test_a_metric_that_the_validation_does_not_return():
    with pytest.raises(
        ConfigError, match="metric must be one of mrr@5, the metrics of the validation; got"
    ):
        train(validate=lambda model: {"mrr@5": 0.1})


def test_lanes_need_a_recurrent_encoder(monkeypatch):
    model = fresh(LOG.n_items)
    monkeypatch.setattr(type(model), "default_capabilities", NEURAL)
    with pytest.raises(
        ConfigError, match="sessions for tiny, got lanes: its encoder has no recurrent state"
    ):
        train(LANES, model=model)


def test_a_computed_table_has_no_sparse_gradient(monkeypatch):
    model = fresh(LOG.n_items)
    whole = type(model.encoder).table
    monkeypatch.setattr(type(model.encoder), "table", lambda e: (2 * whole(e)[0], whole(e)[1]))
    with pytest.raises(ConfigError, match="sparse must be false for tiny: it computes its item"):
        train(replace(LANES, sparse=True), model=model)


def test_no_session_with_a_target():
    with pytest.raises(EmptyLogError, match="no session has two clicks on known items"):
        train(sessions=Sessions.from_lists([[1], [2]], n_items=2))


def test_an_unavailable_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device cuda: PyTorch sees no CUDA device"):
        Trainer(fresh(3), QUICK, device="cuda")


def test_total_steps_covers_all_epochs():
    assert TrainingPosition().total_steps == 0
    steps = sum(epoch["steps"] for epoch in train()[1].history)
    assert steps >= 3 * LOG.n_prefixes // 64


def test_batch_size_0_gives_small_steps_for_a_short_log():
    _, training = train(replace(QUICK, batch_size=0, epochs=1))
    assert training.history[0]["steps"] >= LOG.n_prefixes // 32
