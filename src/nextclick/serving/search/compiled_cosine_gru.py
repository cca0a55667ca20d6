"""Compiled encoder of Cosine-GRU for one session at a time; equations in `models.cosine_gru`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.types import AnyArray, Float32Array, Int32Array
    from nextclick.models.neural.cosine_gru import CosineGRUConfig
    from nextclick.serving.request import ResolvedRequest

_FAST = {"reassoc", "nsz", "contract"}  # the order of sums is free; NaN stays NaN
_SMALLEST_LENGTH = 1e-12  # of a vector that is divided by its length, as in PyTorch


class CosineGRUWeights(NamedTuple):
    """The weights by their symbols in `models.cosine_gru`; a matrix is stored column by column.

    Attributes:
        vectors: (N + 1, D) unit vectors ê of the items.
        repeats: (3, D) R.
        to_gates, between: (D, 3D) of the GRU, for the inputs and the states.
        input_bias, state_bias: (3D,) of the GRU.
        attend_prefix, prefix_bias: (2D, D) and (D,) Q.
        attend_click: (D, D) K.
        distances: (L, D) P.
        counts: (3, D) C.
        attend: (D,) v.
        read: (3D, D) W.
        gate, gate_bias: (2D, D) and (D,) G.
        scale: s, length of the vectors that the GRU reads.
        temperature: τ.
    """

    vectors: Float32Array
    repeats: Float32Array
    to_gates: Float32Array
    between: Float32Array
    input_bias: Float32Array
    state_bias: Float32Array
    attend_prefix: Float32Array
    prefix_bias: Float32Array
    attend_click: Float32Array
    distances: Float32Array
    counts: Float32Array
    attend: Float32Array
    read: Float32Array
    gate: Float32Array
    gate_bias: Float32Array
    scale: float
    temperature: float


class CompiledCosineGRU:
    """Cosine-GRU without times.

    Args:
        config: the parameters.
        weights: the arrays of `NeuralModel.state` of a trained model.
    """

    def __init__(self, config: CosineGRUConfig, weights: Mapping[str, AnyArray]):
        self._max_length = config.max_length
        named = [
            weights["items.weight"],
            weights["repeats"],
            weights["gru.weight_ih_l0"].T,
            weights["gru.weight_hh_l0"].T,
            weights["gru.bias_ih_l0"],
            weights["gru.bias_hh_l0"],
            weights["attend_prefix.weight"].T,
            weights["attend_prefix.bias"],
            weights["attend_click.weight"].T,
            weights["distances"],
            weights["counts"],
            weights["attend"],
            weights["read.weight"].T,
            weights["gate.weight"].T,
            weights["gate.bias"],
        ]
        arrays = [np.ascontiguousarray(array, dtype=np.float32) for array in named]
        numbers = (math.sqrt(config.width) / 4, config.temperature)
        self._weights = CosineGRUWeights._make((*arrays, *numbers))

    def query(self, request: ResolvedRequest) -> Float32Array:
        """(D,) query τ ô of the last prefix."""
        return last_query(request.clicks[-self._max_length :], self._weights)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def last_query(clicks: Int32Array, weights: CosineGRUWeights) -> Float32Array:
    """(D,) query of the last of (T,) clicks, T at least 1."""
    T, D = len(clicks), weights.vectors.shape[1]
    own_count, total_count = _counts(clicks, len(weights.repeats))
    x, inputs = np.empty((T, D), np.float32), np.empty((T, D), np.float32)
    of_prefix = np.zeros((1, 2 * D), np.float32)  # h_t, then the mean of x
    for t in range(T):
        for d in range(D):
            x[t, d] = weights.vectors[clicks[t], d] * np.float32(weights.scale)
            inputs[t, d] = x[t, d] + weights.repeats[own_count[t], d]
            of_prefix[0, D + d] += x[t, d] / np.float32(T)
    hidden = _gru(inputs, weights)  # (T, D)
    of_prefix[0, :D] = hidden[T - 1]
    prefix = _product(of_prefix, weights.attend_prefix, weights.prefix_bias)[0]
    inner = _product(hidden, weights.attend_click, prefix)  # (T, D)
    for j in range(T):
        distance = weights.distances[min(T - 1 - j, len(weights.distances) - 1)]
        inner[j] += distance + weights.counts[total_count[j]]
    sigmoid_(inner.reshape(-1))
    energy = np.zeros((1, T), np.float32)
    for j in range(T):
        for d in range(D):
            energy[0, j] += weights.attend[d] * inner[j, d]
    alpha = np.exp(energy - energy.max())
    alpha /= alpha.sum()
    attended = _product(alpha, x, np.zeros(D, np.float32))[0]  # g
    return _gated(attended, hidden[T - 1], x[T - 1], weights)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _gru(inputs: Float32Array, weights: CosineGRUWeights) -> Float32Array:
    """(T, D) states of (T, D) inputs; gates in PyTorch's order: reset, update, new."""
    T, D = inputs.shape
    hidden = np.empty((T, D), np.float32)
    state = np.zeros((1, D), np.float32)
    input_gates = _product(inputs, weights.to_gates, weights.input_bias)  # (T, 3D)
    new = np.empty(D, np.float32)
    for t in range(T):
        of_input = input_gates[t]
        of_state = _product(state, weights.between, weights.state_bias)[0]  # (3D,)
        of_input[: 2 * D] += of_state[: 2 * D]
        sigmoid_(of_input[: 2 * D])
        for d in range(D):  # tanh(y) = 2 σ(2y) - 1
            new[d] = 2 * (of_input[2 * D + d] + of_input[d] * of_state[2 * D + d])
        sigmoid_(new)
        for d in range(D):
            update = of_input[D + d]
            state[0, d] = (1 - update) * (2 * new[d] - 1) + update * state[0, d]
        hidden[t] = state[0]
    return hidden


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _gated(
    attended: Float32Array, state: Float32Array, last: Float32Array, weights: CosineGRUWeights
) -> Float32Array:
    """(D,) τ ô from g, h and x of the last click."""
    D = len(attended)
    joined = np.concatenate((attended, state, last)).reshape(1, -1)
    read_out = _product(joined, weights.read, np.zeros(D, np.float32))[0]  # r
    joined = np.concatenate((read_out, attended)).reshape(1, -1)
    gate = _product(joined, weights.gate, weights.gate_bias)[0]
    sigmoid_(gate)
    output: Float32Array = attended + gate * (read_out - attended)
    length = max(np.sqrt((output * output).sum()), np.float32(_SMALLEST_LENGTH))
    output *= np.float32(weights.temperature) / length
    return output


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _product(rows: Float32Array, columns: Float32Array, bias: Float32Array) -> Float32Array:
    """(R, M) products of (R, W) rows with a matrix of (W, M) columns, plus (M,) bias.

    Four columns are read for all rows, so that each is read once, with vector instructions.
    """
    R, W = rows.shape
    out = np.empty((R, len(bias)), np.float32)
    for row in range(R):
        out[row] = bias
    for w in range(0, W - 3, 4):
        a, b, c, d = columns[w], columns[w + 1], columns[w + 2], columns[w + 3]
        for row in range(R):
            p, q, r, s = rows[row, w], rows[row, w + 1], rows[row, w + 2], rows[row, w + 3]
            for m in range(len(bias)):
                out[row, m] += (a[m] * p + b[m] * q) + (c[m] * r + d[m] * s)
    for w in range(W - W % 4, W):
        for row in range(R):
            for m in range(len(bias)):
                out[row, m] += columns[w, m] * rows[row, w]
    return out


@numba.njit(cache=True, nogil=True)
def _counts(clicks: Int32Array, most: int) -> tuple[Int32Array, Int32Array]:
    """(T,) rows of R and (T,) rows of C: clicks on the item up to its own click, and in all."""
    T = len(clicks)
    own, total = np.zeros(T, np.int32), np.zeros(T, np.int32)
    for t in range(T):
        for j in range(T):
            if clicks[j] == clicks[t]:
                total[t] += 1
                own[t] += j <= t
        own[t], total[t] = min(own[t], most) - 1, min(total[t], most) - 1
    return own, total


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def sigmoid_(x: Float32Array) -> None:
    """Replace (n,) numbers by σ(x), with an absolute error of 1e-7, by vector instructions.

    exp(-x) = 2^n exp(r), n an integer, |r| ≤ log(2) / 2. The Taylor series of exp(r) has seven
    terms, and 2^n is the float32 whose exponent has the bits n + 127.
    """
    powers = np.empty(len(x), np.int32)
    for i in range(len(x)):
        y = x[i] * np.float32(-1.4426950408889634)  # in units of log(2)
        y = min(max(y, np.float32(-126)), np.float32(126))
        n = np.floor(y + np.float32(0.5))
        r = (y - n) * np.float32(0.6931471805599453)
        series = np.float32(1 / 120) + r * np.float32(1 / 720)
        series = np.float32(1 / 24) + r * series
        series = np.float32(1 / 6) + r * series
        series = np.float32(1 / 2) + r * series
        series = np.float32(1) + r * series
        powers[i] = (np.int32(n) + np.int32(127)) << np.int32(23)
        # x - x is 0, and keeps NaN, which the limits of y remove
        x[i] = np.float32(1) + r * series + (x[i] - x[i])
    twos = powers.view(np.float32)
    for i in range(len(x)):
        x[i] = np.float32(1) / (np.float32(1) + x[i] * twos[i])
