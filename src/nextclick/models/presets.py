"""Training presets that several models share, and the search space of their training."""

from __future__ import annotations

from typing import Any

from nextclick.core.search_space import Bundles, Choice, FloatRange, Space

# ASARS's settings on MovieLens; its batch of 64 sessions has about as many targets
ASARS_HINGE: dict[str, Any] = {
    "loss": "hinge",
    "negatives": 1,
    "negative_source": "batch",
    "reject": "history",
    "optimizer": "adagrad",
    "learning_rate": 0.2,
    "batch_size": 256,
    "epochs": 100,
    "patience": 10,
}

# NARM's settings; those of its baselines, such as Improved GRU-Rec, are the same
NARM_SOFTMAX: dict[str, Any] = {
    "loss": "ce",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "batch_size": 512,
    "order": "sessions",
    "epochs": 30,
}

# The default of all models, with a learning rate of each, chosen on validation splits. Eight epochs
# of 200 steps are 1,600 steps: a short log is passed more often, until it has as many. The full
# softmax over 10,000 items takes about twice the time of one over 2,048 negatives.
QUICK_SOFTMAX: dict[str, Any] = {
    "loss": "sampled",
    "negatives": 2048,
    "full_softmax_items": 10_000,
    "optimizer": "adam",
    "learning_rate": 0.004,
    "schedule": "cosine",
    "batch_size": 0,
    "largest_batch": 512,
    "epochs": 8,
    "min_steps": 1600,
    "max_steps": 20_000,
    "validations": 8,
}

SAMPLED_SOFTMAX = QUICK_SOFTMAX | {"learning_rate": 0.01, "largest_batch": 1024}

# for graph models: their steps are expensive, and the rates above were not tested on them
SAMPLED_SOFTMAX_OF_GRAPHS = QUICK_SOFTMAX | {"learning_rate": 0.002}


def _negatives(loss: str, n: int) -> dict[str, Any]:
    sampling = {"loss": loss, "negatives": n, "in_batch": False, "negative_source": "log"}
    return sampling | {"score_activation": "none", "full_softmax_items": 0}


def _length(epochs: int) -> dict[str, Any]:
    """Budgets in proportion to those of the default, which has eight epochs."""
    steps = {"min_steps": 200 * epochs, "max_steps": 2_500 * epochs}
    return {"epochs": epochs, **steps, "validations": epochs}


TRAINING_SPACE: Space = {
    "learning_rate": FloatRange(0.0003, 0.03, log=True),
    "schedule": Choice("none", "cosine"),
    "batch_size": Choice(128, 256, 512, 1024, 2048),
    "epochs": Bundles({str(n): _length(n) for n in (4, 8, 12, 20, 30)}),
    # without shuffling an epoch ends on the latest sessions, which suits a changing catalog
    "shuffle": Choice(True, False),
    "loss": Bundles(
        {
            "ce": _negatives("ce", 0),
            "sampled-512": _negatives("sampled", 512),
            "sampled-2048": _negatives("sampled", 2048),
            "bpr-max-2048": _negatives("bpr-max", 2048),
        }
    ),
}
