"""Recipes that several models share."""

from __future__ import annotations

from typing import Any

# ASARS's on MovieLens; its batch of 64 sessions is about as many targets
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

SAMPLED_SOFTMAX: dict[str, Any] = {
    "loss": "sampled",
    "negatives": 2048,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "schedule": "cosine",
    "batch_size": 1024,
    "epochs": 8,
}

# for the graph models: a step of theirs is dear, and the rate above was not tried on them
SAMPLED_SOFTMAX_OF_GRAPHS = SAMPLED_SOFTMAX | {"learning_rate": 0.002, "batch_size": 512}
