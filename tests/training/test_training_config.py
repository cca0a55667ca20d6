"""Training parameters: presets, descriptions, and incompatible values."""

from dataclasses import fields, replace

import pytest

from nextclick.core.config import describe
from nextclick.core.metrics import parse_metric
from nextclick.errors import ConfigError
from nextclick.experiments.model_candidate import ModelCandidate
from nextclick.losses import LOSSES
from nextclick.training.config_checks import check_training
from nextclick.training.training_config import TrainingConfig, build_configs
from reference.tiny_model import Tiny, TinyConfig


def build(preset=None, **values):
    return build_configs("tiny", TinyConfig, Tiny.presets, preset, values)


def test_values_override_the_preset_and_the_preset_the_defaults():
    own, training = build()
    assert own == TinyConfig()
    assert training == TrainingConfig(epochs=3, batch_size=32, learning_rate=0.01)
    own, training = build("wide", epochs="9", dropout="0.5", in_batch="true", loss="sampled")
    assert own == TinyConfig(width=24, dropout=0.5)
    assert training == TrainingConfig(epochs=9, in_batch=True, loss="sampled")


def test_an_explicit_number_of_epochs_replaces_the_budgets_of_a_preset():
    presets = {"default": {"epochs": 8, "min_steps": 9, "max_steps": 99, "validations": 5}}
    values = [{}, {"epochs": 3}, {"epochs": 3, "min_steps": 4}]
    training = [build_configs("bare", TinyConfig, presets, None, v)[1] for v in values]
    budgets = [(t.epochs, t.min_steps, t.max_steps, t.validations) for t in training]
    assert budgets == [(8, 9, 99, 5), (3, 0, 0, 0), (3, 4, 0, 0)]


def test_a_model_without_presets_has_the_defaults():
    assert build_configs("bare", TinyConfig, {}, None, {}) == (TinyConfig(), TrainingConfig())


@pytest.mark.parametrize(
    ("n_prefixes", "size"),
    [(1, 32), (6_400, 32), (25_600, 128), (46_000, 230), (204_800, 1024), (10**9, 1024)],
)
def test_batch_size_0_follows_the_size_of_the_log(n_prefixes, size):
    assert TrainingConfig(batch_size=0).batch_for(n_prefixes) == size
    assert TrainingConfig(batch_size=0, largest_batch=9).batch_for(n_prefixes) == 9
    assert TrainingConfig(batch_size=7).batch_for(n_prefixes) == 7


@pytest.mark.parametrize(("name", "largest"), [("sr-gnn", 512), ("tasrec", 512), ("asars", 1024)])
def test_default_batch_sizes_of_models(name, largest):
    _, training = ModelCandidate(name).configs({})
    assert (training.batch_for(46_000), training.batch_for(10**9)) == (230, largest)


def test_every_parameter_has_a_description():
    parameters = describe(TrainingConfig)
    assert [p.name for p in parameters] == [f.name for f in fields(TrainingConfig)]
    assert all(p.description for p in parameters)


@pytest.mark.parametrize(
    ("preset", "values", "message"),
    [
        ("wid", {}, "tiny has no preset 'wid': did you mean wide?"),
        (None, {"widht": 3}, "tiny has no parameter 'widht': did you mean width"),
        (
            None,
            {"learning_rat": 3},
            "tiny has no parameter 'learning_rat': did you mean learning_r",
        ),
        (None, {"epochs": 0}, "tiny: epochs must be integer ≥ 1, got 0"),
        (None, {"width": "x"}, "tiny: width must be integer ≥ 1, got 'x'"),
        (None, {"order": "lanes", "batch_size": 0}, "batch_size must be above 0 for order lanes"),
        (None, {"optimizer": "lion"}, "tiny: optimizer must be one of adam, adamw, adagrad, sgd"),
        (None, {"metric": "auc"}, "metric must be recall@K, mrr@K or ndcg@K, such as mrr@20; got"),
    ],
)
def test_invalid_values(preset, values, message):
    with pytest.raises(ConfigError) as caught:
        build(preset, **values)
    assert message in str(caught.value)


def test_a_model_without_presets():
    with pytest.raises(ConfigError, match="bare has no preset 'x': it has none"):
        build_configs("bare", TinyConfig, {}, "x", {})


SAMPLED = {"loss": "sampled", "negatives": 5, "sparse": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "bpr"}, "loss bpr needs negatives > 0 or in_batch=true"),
        ({"negatives": 5}, "negatives must be 0 and in_batch false for loss ce"),
        ({"in_batch": True}, "negatives must be 0 and in_batch false for loss ce"),
        ({"score_activation": "elu"}, "score_activation must be none for loss ce, got elu"),
        (
            {"negative_source": "batch", "loss": "sampled", "negatives": 3},
            "such as hinge; got negatives=3, loss=sampled, order=sessions",
        ),
        ({"pretrain_epochs": 30}, "pretrain_epochs must be below epochs, got 30 of 30"),
        ({"sparse": True}, "sparse must be false for loss ce, whose gradient is dense"),
        (SAMPLED | {"weight_decay": 0.1}, "weight_decay must be 0 with sparse=true, got 0.1"),
        (
            SAMPLED | {"optimizer": "sgd", "momentum": 0.5},
            "momentum must be 0 for sgd with sparse=true, got 0.5",
        ),
        ({"momentum": 0.5}, "momentum must be 0 for adam, got 0.5; it is a parameter of adagrad"),
    ],
)
def test_incompatible_parameters(changes, message):
    with pytest.raises(ConfigError) as caught:
        check_training(replace(TrainingConfig(), **changes))
    assert message in str(caught.value)


def test_metrics():
    assert parse_metric("recall@20") == ("recall", 20)
    assert parse_metric("ndcg@5") == ("ndcg", 5)
    for wrong in ("recall", "recall@0", "hit@20", "recall@20.5", "@3", ""):
        with pytest.raises(ConfigError, match="metric must be recall@K, mrr@K or ndcg@K"):
            parse_metric(wrong)


def test_losses_are_those_of_the_registry():
    (loss,) = (p for p in describe(TrainingConfig) if p.name == "loss")
    assert loss.kind == f"one of {', '.join(LOSSES)}"
