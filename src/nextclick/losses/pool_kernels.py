"""Compiled losses of a pool of candidates that all rows of a step share, with their gradients.

Candidate j has the count c_j, how often it was drawn as a negative, and in row p the score r_j. One
of the candidates is the target of the row, with the score r; it is no negative of its row. A kernel
replaces the (P, C) scores by the gradient of the mean loss and returns this loss.

The losses are those of `losses.sampled` and `losses.pairwise`, where the equations and sources are.
Their tensor operations pass over the cells ten times or more, these kernels two or three times, and
an item that was drawn several times is one candidate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.core.float32_math import FAST_SUMS, exp, log1p_exp, sigmoid, tanh

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Int64Array

PAIRWISE = {"bpr": 0, "top1": 1, "hinge": 2, "top1-max": 3, "bpr-max": 4}
"""Codes of the losses of `pairwise`."""
ACTIVATIONS = {"tanh": 0, "elu": 1}
"""Codes of the activations of `activate`."""

_BPR, _TOP1, _HINGE, _TOP1_MAX, _BPR_MAX = range(5)
_TANH, _ELU = range(2)
_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_LOWEST = np.float32(-1e30)
_SAFE = np.float32(50.0)  # sums of e^±50 over 10^10 candidates are normal float32 numbers


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def activate(
    scores: Float32Array, slopes: Float32Array, activation: int, elu_alpha: np.float32
) -> None:
    """Replace (P, C) scores by their activation, and write its derivative to `slopes`."""
    for p in range(scores.shape[0]):
        for j in range(scores.shape[1]):
            z = scores[p, j]
            if activation == _TANH:
                r = tanh(z)
                slope = _ONE - r * r
            else:
                below = elu_alpha * exp(min(z, _ZERO))
                r = z if z > _ZERO else below - elu_alpha
                slope = _ONE if z > _ZERO else below
            scores[p, j] = r
            slopes[p, j] = slope


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def sampled(
    scores: Float32Array, own: Int64Array, weights: Float32Array, shifts: Float32Array
) -> float:
    """The mean of log(e^r + Σ v_j e^r_j) - r.

    Args:
        scores: (P, C), replaced by the gradient.
        own: (P,) the column of each row's target.
        weights: (C,) v_j, c_j divided by the expected count of the candidate, or c_j.
        shifts: (P,) subtracted from the scores of the targets.
    """
    share, loss = np.float32(1.0 / len(own)), 0.0
    for p in range(len(own)):
        row = scores[p]
        target = row[own[p]] - shifts[p]
        row[own[p]] = _ZERO
        is_safe = target * target < _SAFE * _SAFE and _is_safe(row)
        highest = _ZERO if is_safe else max(_highest(row, weights, own[p]), target)
        row[own[p]] = _LOWEST
        total = _ZERO
        for j in range(len(row)):
            e = weights[j] * exp(row[j] - highest)
            row[j] = e
            total += e
        e = exp(target - highest)
        total += e
        scale = share / total
        for j in range(len(row)):
            row[j] *= scale
        row[own[p]] = e * scale - share
        loss += np.log(total) + highest - target
    return loss / len(own)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def pairwise(
    scores: Float32Array, own: Int64Array, counts: Float32Array, loss: int, regularization: float
) -> np.float32:
    """The mean of a pairwise loss over the rows with a negative.

    Args:
        scores: (P, C), replaced by the gradient.
        own: (P,) the column of each row's target.
        counts: (C,) c_j.
        loss: a value of `PAIRWISE`.
        regularization: λ of bpr-max.
    """
    counts, n_drawn = counts.copy(), counts.sum()
    scratch = np.empty((2, len(counts)), np.float32)
    n_rows = 0
    for column in own:
        n_rows += n_drawn > counts[column]
    share, total = np.float32(1.0 / max(n_rows, 1)), _ZERO
    for p in range(len(own)):
        row, count = scores[p], counts[own[p]]
        r, n = row[own[p]], n_drawn - count
        counts[own[p]] = _ZERO
        value, slope = _ZERO, _ZERO  # slope: the derivative by -r
        if n == _ZERO:
            row[:] = _ZERO
        elif loss == _BPR:
            value, slope = _bpr(row, r, counts, share / n)
        elif loss == _TOP1:
            value, slope = _top1(row, r, counts, share / n)
        elif loss == _HINGE:
            value, slope = _hinge(row, r, counts, share / n)
        elif loss == _TOP1_MAX:
            value, slope = _top1_max(row, r, counts, share, scratch[0])
        else:
            value, slope = _bpr_max(row, r, counts, share, np.float32(regularization), scratch)
        row[own[p]] = -slope
        counts[own[p]] = count
        total += value
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _bpr(
    row: Float32Array, r: np.float32, counts: Float32Array, share: np.float32
) -> tuple[np.float32, np.float32]:
    """-log σ(r - r_j)."""
    value = slope = _ZERO
    for j in range(len(row)):
        c, d = counts[j] * share, row[j] - r
        change = c * sigmoid(d)
        value += c * log1p_exp(d)
        slope += change
        row[j] = change
    return value, slope


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _top1(
    row: Float32Array, r: np.float32, counts: Float32Array, share: np.float32
) -> tuple[np.float32, np.float32]:
    """σ(r_j - r) + σ(r_j²)."""
    value = slope = _ZERO
    for j in range(len(row)):
        c, r_j = counts[j] * share, row[j]
        s, q = sigmoid(r_j - r), sigmoid(r_j * r_j)
        change = c * s * (_ONE - s)
        value += c * (s + q)
        slope += change
        row[j] = change + c * _TWO * r_j * q * (_ONE - q)
    return value, slope


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _hinge(
    row: Float32Array, r: np.float32, counts: Float32Array, share: np.float32
) -> tuple[np.float32, np.float32]:
    """max(0, 1 - r + r_j)."""
    value = slope = _ZERO
    for j in range(len(row)):
        margin = _ONE - r + row[j]
        change = counts[j] * share if margin >= _ZERO else _ZERO
        value += change * margin
        slope += change
        row[j] = change
    return value, slope


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _top1_max(
    row: Float32Array,
    r: np.float32,
    counts: Float32Array,
    share: np.float32,
    weights: Float32Array,
) -> tuple[np.float32, np.float32]:
    """Σ w_j f_j with f_j = σ(r_j - r) + σ(r_j²) and w the softmax of the negatives."""
    _softmax(row, counts, weights)
    value = slope = _ZERO
    for j in range(len(row)):
        value += weights[j] * (sigmoid(row[j] - r) + sigmoid(row[j] * row[j]))
    for j in range(len(row)):
        w, r_j = weights[j] * share, row[j]
        s, q = sigmoid(r_j - r), sigmoid(r_j * r_j)
        change = w * s * (_ONE - s)
        slope += change
        row[j] = w * (s + q - value) + change + w * _TWO * r_j * q * (_ONE - q)
    return share * value, slope


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _bpr_max(
    row: Float32Array,
    r: np.float32,
    counts: Float32Array,
    share: np.float32,
    regularization: np.float32,
    scratch: Float32Array,
) -> tuple[np.float32, np.float32]:
    """-log A + λ R with A = Σ w_j s_j, R = Σ w_j r_j², s_j = σ(r - r_j), w as in `_top1_max`.

    With the shares a_j = w_j s_j / A of the sum, the derivatives are

        by r_j:  w_j - a_j s_j + λ w_j (r_j² - R + 2 r_j)
        by r:    -Σ a_j (1 - s_j)

    If r is below the highest negative, all w_j s_j may underflow. They are in proportion to
    c_j (1 - s_j), because w_j s_j = c_j (1 - s_j) e^r / Σ c_i e^r_i.
    """
    weights, shares = scratch[0], scratch[1]
    highest, log_sum = _softmax(row, counts, weights)
    is_below = r < highest
    total = square = slope = _ZERO
    for j in range(len(row)):
        s = sigmoid(r - row[j])
        a = counts[j] * (_ONE - s) if is_below else weights[j] * s
        shares[j] = a
        total += a
        square += weights[j] * row[j] * row[j]
    for j in range(len(row)):
        w, a, r_j = weights[j], shares[j] / total, row[j]
        s = sigmoid(r - r_j)
        slope += a * (_ONE - s)
        penalty = regularization * w * (r_j * r_j - square + _TWO * r_j)
        row[j] = share * (w - a * s + penalty)
    log_total = np.log(total) + (r - log_sum if is_below else _ZERO)
    return share * (regularization * square - log_total), share * slope


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _softmax(
    row: Float32Array, counts: Float32Array, weights: Float32Array
) -> tuple[np.float32, np.float32]:
    """Fill (C,) weights c_j e^r_j / S; return the highest score of a negative and log S."""
    highest, total = _highest(row, counts, -1), _ZERO
    for j in range(len(row)):
        e = counts[j] * exp(row[j] - highest)
        weights[j] = e
        total += e
    scale = _ONE / total
    for j in range(len(row)):
        weights[j] *= scale
    return highest, highest + np.log(total)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _is_safe(row: Float32Array) -> bool:
    """Whether all |r_j| are below `_SAFE`, by a bound on their highest.

    Numba computes a sum with vector instructions, in a tenth of the time of a maximum.
    """
    total = _ZERO
    for j in range(len(row)):
        square = row[j] * row[j]
        fourth = square * square
        total += fourth * fourth
    return bool(total < _SAFE**8)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _highest(row: Float32Array, counts: Float32Array, omitted: int) -> np.float32:
    """The highest score of a candidate with a count above 0; `_LOWEST` if there is none."""
    highest = _LOWEST
    for j in range(len(row)):
        r = row[j] if counts[j] > _ZERO and j != omitted else _LOWEST
        highest = max(highest, r)
    return highest
