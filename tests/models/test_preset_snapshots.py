"""The values of all presets and defaults, against a record that is changed on purpose only.

After a wanted change: `NEXTCLICK_RECORD_PRESETS=1 pytest tests/models/test_preset_snapshots.py`,
then `git diff tests/models/preset_values.json`. Published values below are changed by hand.
"""

import json
import os
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from nextclick.models.model_registry import model_class, model_names
from nextclick.training.training_config import TrainingConfig, build_configs

RECORD = Path(__file__).with_name("preset_values.json")
RECIPES = Path(__file__).parents[2] / "recipes"

ADAM_512 = {"loss": "ce", "optimizer": "adam", "learning_rate": 0.001, "batch_size": 512}
NARM = ADAM_512 | {
    "embedding_width": 50, "hidden_width": 100, "embedding_dropout": 0.25, "output_dropout": 0.5,
    "max_length": 19, "epochs": 30, "attention_norm": "softmax",
}  # fmt: skip
LGSR = ADAM_512 | {
    "width": 100, "dropout": 0.3, "max_length": 19, "weight_decay": 1e-6, "graph_passes": 2,
    "walks": 13, "walk_length": 50, "window": 8, "graph_loss": "nce", "graph_negatives": 512,
    "graph_batch": 8192, "residual": True,
}  # fmt: skip
TASREC = ADAM_512 | {
    "batch_size": 128, "schedule": "step", "schedule_every": 2, "schedule_factor": 0.1,
    "day_edges": "binary", "decay": 0.5, "threshold": 1.0, "layer_weights": "shared",
}  # fmt: skip
GRU4REC = {"optimizer": "adagrad", "order": "lanes", "hidden_width": 100, "in_batch": True}
# Values that a paper or its authors' code states, by model and preset.
PUBLISHED = {
    ("narm", "paper"): NARM | {"variant": "hybrid", "decoder": "bilinear"},
    ("narm", "global"): NARM | {"variant": "global", "decoder": "bilinear"},
    ("narm", "local"): NARM | {"variant": "local", "decoder": "bilinear"},
    ("narm", "fully-connected"): NARM | {"variant": "hybrid", "decoder": "full"},
    ("narm", "hybrid-50"): NARM | {"variant": "hybrid", "hidden_width": 50},
    ("narm", "global-50"): NARM | {"variant": "global", "hidden_width": 50},
    ("narm", "local-50"): NARM | {"variant": "local", "hidden_width": 50},
    ("csrm", "paper"): {
        "embedding_width": 150, "hidden_width": 150, "memory_size": 10_000, "neighbors": 512,
        "embedding_dropout": 0.25, "output_dropout": 0.5, "loss": "ce", "optimizer": "adam",
        "learning_rate": 0.0005, "batch_size": 512, "shuffle": False, "order": "sessions",
    },
    ("lgsr", "paper"): LGSR | {"variant": "full"},
    ("lgsr", "c"): LGSR | {"variant": "c"},
    ("lgsr", "a"): LGSR | {"variant": "a"},
    ("lgsr", "h"): LGSR | {"variant": "h"},
    ("tasrec", "paper"): TASREC | {"variant": "full"},
    ("tasrec", "paper-temp"): TASREC | {"variant": "temp"},
    ("tasrec", "paper-base"): TASREC | {"variant": "base"},
    ("tasrec", "paper-empty"): TASREC | {"variant": "full", "threshold": 1_000_000.0},
    ("asars", "paper"): {
        "item_width": 64, "gap_width": 16, "user_width": 32, "hidden_width": 100, "dropout": 0.5,
        "cell": "lstm", "attend": "user", "item_init": "narrow", "bins": "scott",
        "readout": "attended", "output_dropout": 0.0, "max_length": 200, "loss": "hinge",
        "negatives": 1, "patience": 10, "negative_source": "batch", "reject": "history",
        "optimizer": "adagrad",
        "learning_rate": 0.2,
    },
    ("gru4rec", "paper"): GRU4REC | {
        "batch_size": 32, "hidden_dropout": 0.4, "learning_rate": 0.2, "momentum": 0.2,
        "negatives": 2048, "negative_alpha": 0.5, "log_q": True, "loss": "sampled",
    },
    ("gru4rec", "top1"): GRU4REC | {
        "loss": "top1", "batch_size": 50, "hidden_dropout": 0.5, "learning_rate": 0.01,
        "momentum": 0.0, "negatives": 0,
    },
    ("gru4rec", "bpr"): GRU4REC | {
        "loss": "bpr", "batch_size": 50, "hidden_dropout": 0.2, "learning_rate": 0.05,
        "momentum": 0.2, "negatives": 0,
    },
    ("gru4rec", "cross-entropy"): GRU4REC | {
        "loss": "sampled", "batch_size": 500, "hidden_dropout": 0.0, "learning_rate": 0.01,
        "momentum": 0.0, "negatives": 0, "log_q": False,
    },
    ("improved-gru4rec", "paper"): ADAM_512 | {
        "embedding_width": 50, "max_length": 19, "click_dropout": 0.25,
        "click_dropout_mode": "whole",
    },
    ("stamp", "paper"): ADAM_512 | {
        "width": 100, "max_norm": 1.0, "learning_rate": 0.003, "clip": 150.0,
    },
    ("sr-gnn", "paper"): ADAM_512 | {
        "width": 100, "steps": 1, "edges": "binary", "batch_size": 100, "weight_decay": 1e-5,
        "schedule": "step", "schedule_every": 3, "schedule_factor": 0.1, "patience": 10,
    },
    ("lessr", "paper"): ADAM_512 | {
        "width": 32, "layers": 4, "dropout": 0.2, "optimizer": "adamw", "weight_decay": 1e-4,
    },
}  # fmt: skip


def preset_values():
    """Training defaults; for each model, the defaults of its config and the values of presets."""
    models = {name: model_class(name) for name in model_names()}
    return {
        "training": asdict(TrainingConfig()),
        "models": {
            name: {"config": asdict(model.Config()), "presets": model.presets}
            for name, model in models.items()
        },
    }


def resolved(name, preset, values=()):
    """All parameters of the model and of its training under a preset."""
    model = model_class(name)
    configs = build_configs(name, model.Config, model.presets, preset, dict(values))
    return {**asdict(configs[1]), **asdict(configs[0])}


def test_published_models_have_a_quick_default_and_the_published_setting():
    for name in model_names():
        model = model_class(name)
        if model.default_capabilities.neural and "paper" in model.presets:
            quick = resolved(name, None)
            assert (quick["epochs"], quick["min_steps"], quick["schedule"]) == (8, 1600, "cosine")
            assert (quick["max_steps"], quick["batch_size"]) == (20_000, 0)
            paper = resolved(name, "paper")
            assert (paper["min_steps"], paper["max_steps"], paper["validations"]) == (0, 0, 0)


def flat(values, prefix=""):
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    return {
        path: value
        for name, inner in values.items()
        for path, value in flat(inner, f"{prefix}/{name}").items()
    }


def test_no_preset_and_no_default_changes_unnoticed():
    values = json.loads(json.dumps(preset_values()))
    if os.environ.get("NEXTCLICK_RECORD_PRESETS"):
        RECORD.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    assert flat(values) == flat(json.loads(RECORD.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("name", "preset"), PUBLISHED, ids="-".join)
def test_presets_have_the_published_values(name, preset):
    values = resolved(name, preset)
    published = PUBLISHED[name, preset]
    assert {parameter: values[parameter] for parameter in published} == published


def test_every_preset_of_narm_and_lgsr_is_published():
    for name in ("narm", "lgsr"):
        assert {preset for model, preset in PUBLISHED if model == name} == set(
            model_class(name).presets
        ) - {"default"}


@pytest.mark.parametrize(
    ("recipe", "preset"),
    [
        ("narm", "paper"), ("csrm", "paper"), ("lgsr", "paper"), ("tasrec", "paper"),
        ("asars", "paper"), ("gru4rec", "paper"), ("improved-gru4rec", "paper"),
        ("stamp", "paper"), ("sr-gnn", "paper"), ("lessr", "paper"),
    ],
)  # fmt: skip
def test_the_recipe_of_a_paper_has_its_values(recipe, preset):
    written = tomllib.loads((RECIPES / f"{recipe}.toml").read_text(encoding="utf-8"))
    values = resolved(written["model"], written.get("preset"), written.get("parameters", {}))
    published = PUBLISHED[recipe, preset]
    assert {parameter: values[parameter] for parameter in published} == published
