"""The conditional logit: a softmax over the candidates of each choice, linear in their features.

McFadden (Conditional Logit Analysis of Qualitative Choice Behavior, 1974). Choice p has candidates
C_p with features x_j, of which c_p was chosen:

    P(j | p) = exp(w·x_j) / Σ_{i in C_p} exp(w·x_i)
    L(w)     = -(1/P) Σ_p log P(c_p | p) + (λ/2) ‖w - c‖²

L is convex, and strictly so for λ > 0: Newton's method with step halving reaches its minimum from
any start. The sums run over blocks of choices in float64, so memory is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.errors import TrainingError

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Float64Array, Int64Array

_ENTRIES_PER_BLOCK = 1 << 17
_MAX_STEPS, _MAX_HALVINGS = 100, 40
_TOLERANCE = 1e-12  # of half the squared Newton decrement, in units of the objective


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """P choices among candidates.

    Attributes:
        offsets: (P + 1,) int64; the candidates of choice p are the entries
            `offsets[p]..offsets[p + 1] - 1`, at least one.
        features: (J, F) float32, finite.
        chosen: (P,) int64, the entry of the chosen candidate of each choice.
    """

    offsets: Int64Array
    features: Float32Array
    chosen: Int64Array

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, rows: Int64Array) -> Choices:
        """The choices at the indices `rows` (R,), in that order."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        shift = self.offsets[rows] - offsets[:-1]
        entries = np.repeat(shift, lengths) + np.arange(offsets[-1])
        return Choices(offsets, self.features[entries], self.chosen[rows] - shift)


def fit_conditional_logit(
    choices: Choices, l2: float, center: Float64Array | None = None
) -> Float64Array:
    """(F,) float64, the weights that minimize L.

    Args:
        choices: at least one choice.
        l2: λ, above 0.
        center: (F,) c; None is 0.

    Raises:
        TrainingError: there is no choice, or the minimum was not reached.
    """
    if not len(choices):
        raise TrainingError(
            "the weights of the blend need at least one validation prefix whose target is among "
            "the candidates, got 0; use a longer log or raise candidates"
        )
    weights = np.zeros(choices.features.shape[1])
    value, gradient, hessian = objective(weights, choices, l2, center)
    for _ in range(_MAX_STEPS):
        step = np.linalg.solve(hessian, gradient)
        decrement = float(gradient @ step)
        if decrement / 2 <= _TOLERANCE:
            return weights
        scale = 1.0
        for _ in range(_MAX_HALVINGS):
            trial = weights - scale * step
            trial_value, trial_gradient, trial_hessian = objective(trial, choices, l2, center)
            if trial_value <= value - 0.25 * scale * decrement:
                break
            scale /= 2
        else:
            if decrement / 2 <= 1e3 * _TOLERANCE:
                return weights  # the objective is flat up to rounding
            break
        weights, value, gradient, hessian = trial, trial_value, trial_gradient, trial_hessian
    raise TrainingError(
        f"the weights of the blend did not converge: the last Newton decrement is {decrement:g}; "
        "check that the scores of the members are finite and not constant"
    )


def objective(
    weights: Float64Array, choices: Choices, l2: float, center: Float64Array | None = None
) -> tuple[float, Float64Array, Float64Array]:
    """L, its gradient (F,) and its Hessian (F, F) at some weights.

    Args:
        weights: (F,) float64.
        choices: P choices.
        l2: λ.
        center: (F,) c; None is 0.
    """
    P, F = len(choices), len(weights)
    value, gradient, hessian = 0.0, np.zeros(F), np.zeros((F, F))
    start = 0
    while start < P:
        last = np.searchsorted(choices.offsets, choices.offsets[start] + _ENTRIES_PER_BLOCK) - 1
        stop = min(max(int(last), start + 1), P)
        block = _block_sums(weights, choices, start, stop)
        value, gradient, hessian = value + block[0], gradient + block[1], hessian + block[2]
        start = stop
    distance = weights if center is None else weights - center
    return (
        value / P + l2 / 2 * float(distance @ distance),
        gradient / P + l2 * distance,
        hessian / P + l2 * np.eye(F),
    )


def _block_sums(
    weights: Float64Array, choices: Choices, start: int, stop: int
) -> tuple[float, Float64Array, Float64Array]:
    """The sums over choices start..stop - 1, without the penalty."""
    first, last = choices.offsets[start], choices.offsets[stop]
    features = choices.features[first:last].astype(np.float64)  # (J, F)
    starts = choices.offsets[start:stop] - first
    lengths = np.diff(choices.offsets[start : stop + 1])
    logits = features @ weights  # (J,)
    logits -= np.repeat(np.maximum.reduceat(logits, starts), lengths)
    chosen = choices.chosen[start:stop] - first
    chosen_logit = logits[chosen]
    np.exp(logits, out=logits)
    total = np.add.reduceat(logits, starts)  # (P,)
    probability = logits / np.repeat(total, lengths)  # (J,)
    weighted = features * probability[:, None]
    mean = np.add.reduceat(weighted, starts, axis=0)  # (P, F)
    return (
        float(np.log(total).sum() - chosen_logit.sum()),
        mean.sum(axis=0) - features[chosen].sum(axis=0),
        features.T @ weighted - mean.T @ mean,
    )
