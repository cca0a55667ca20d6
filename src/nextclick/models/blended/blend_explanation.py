"""Explanations of a blend: contributions of the features, and the explanations of the members."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.models.blended.candidate_features import log_total, weighted_sum
from nextclick.models.model_explanation import ModelExplanation, ScoreContributions

if TYPE_CHECKING:
    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.types import Float32Array, Int32Array
    from nextclick.models.blended.blend import Blend

_NORMALIZATION = "normalization"
_NOT_A_CANDIDATE = "no candidate: rank by clicks"


def explain_blend(blend: Blend, batch: SessionBatch, items: Int32Array) -> ModelExplanation:
    """Explain the scores of K items in a batch of one session.

    Attention layers are named `MEMBER: LAYER`. Neighbor sessions and graph neighbors are those of
    the first member that has any.
    """
    explanation = ModelExplanation(parts=_contributions(blend, batch, items))
    for label, member in zip(blend.labels, blend.members, strict=True):
        if not member.capabilities.explains:
            continue
        own = member.explain(batch, items)
        explanation.attention += [
            replace(layer, name=f"{label}: {layer.name}") for layer in own.attention
        ]
        explanation.neighbors = explanation.neighbors or own.neighbors
        explanation.links = explanation.links or own.links
    return explanation


def _contributions(blend: Blend, batch: SessionBatch, items: Int32Array) -> ScoreContributions:
    """Weight times value of each feature; clicks contribute through the members alone."""
    candidates = blend.candidates(blend.member_lists(batch), batch)
    logits = weighted_sum(candidates.features, blend.weights)
    total = log_total(logits, candidates.offsets)[0]
    position = np.searchsorted(candidates.items, items)  # (K,)
    position = np.minimum(position, max(len(candidates.items) - 1, 0))
    listed = np.zeros(len(items), dtype=np.bool_)
    if len(candidates.items):
        listed = candidates.items[position] == items
    rest: dict[str, Float32Array] = {}
    for name, weight, values in zip(
        blend.feature_names, blend.weights.tolist(), candidates.features, strict=True
    ):
        if weight:
            contribution = np.zeros(len(items), dtype=np.float32)
            contribution[listed] = weight * values[position[listed]]
            rest[name] = contribution
    rest[_NORMALIZATION] = np.where(listed, -total, 0.0).astype(np.float32)
    rest[_NOT_A_CANDIDATE] = np.where(listed, 0.0, blend.base[items]).astype(np.float32)
    clicks = np.zeros((len(items), int(batch.lengths[0])), dtype=np.float32)
    return ScoreContributions(clicks, rest)
