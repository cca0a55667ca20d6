"""Compare a trained model with counting models on the validation part."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.metrics import parse_metric
from nextclick.core.types import silent
from nextclick.errors import NextclickWarning
from nextclick.evaluation import evaluate
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.training_setup import validation_callback
from nextclick.models.model_registry import model_class

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.data.store import Store
    from nextclick.models.neural_model import NeuralModel

BASELINES = ("pop", "s-pop", "session-knn")
MAX_SESSIONS = 5_000  # of the validation


def validation_baselines(
    model: NeuralModel, store: Store, metric: str, seed: int
) -> dict[str, Any]:
    """Rank the same validation sessions with a model and with counting models.

    All are trained on `train_inner`. Of a large validation a random sample is ranked. A model below
    one of the counting models has learned too little; a warning then says so.

    Args:
        model: trained on `train_inner`.
        store: contains the parts.
        metric: of the comparison.
        seed: seed of the sample.

    Returns:
        JSON values: `metric`, `sessions` (their number), and `values`, model name to value.
    """
    inner = store.part("train_inner")
    seen = inner.support() > 0  # all rank the targets that the counting models can rank
    valid = _sample(store.part("valid"), seed).mask_unseen_items(seen)
    protocol, (_, k) = store_protocol(store), parse_metric(metric)
    candidates = store.candidates(seen)
    validate = validation_callback(inner, valid, protocol, k, store.items, candidates)
    values = {model.name: validate(model)[metric]}
    for name in BASELINES:
        baseline_type = model_class(name)
        baseline = baseline_type.fit(inner, baseline_type.Config(), seed=seed, progress=silent)
        ranked = evaluate(
            baseline,
            valid,
            ks=[k],
            protocol=protocol,
            items=store.items,
            candidates=candidates,
            n_bootstrap=0,
        )
        values[name] = ranked.metrics[metric].value
    _warn_if_below(model.name, metric, values)
    return {"metric": metric, "sessions": len(valid), "values": values}


def _sample(valid: Sessions, seed: int) -> Sessions:
    if len(valid) <= MAX_SESSIONS:
        return valid
    rng = np.random.default_rng([seed, len(valid)])
    return valid.take(np.sort(rng.choice(len(valid), MAX_SESSIONS, replace=False)))


def _warn_if_below(model: str, metric: str, values: dict[str, float]) -> None:
    best = max(BASELINES, key=values.__getitem__)
    if values[model] < values[best]:
        warnings.warn(
            f"{model} has {metric} {100 * values[model]:.2f} % on the validation split, "
            f"{100 * (values[best] - values[model]):.2f} points below {best}: train for more steps "
            "(min_steps, epochs), lower batch_size, or use session-knn",
            NextclickWarning,
            stacklevel=2,
        )
