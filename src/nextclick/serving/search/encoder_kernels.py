"""Kernels of compiled encoders: recurrent cells, additive attention, session graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Int32Array, Int64Array

# the summation order is free, so the compiler may use vector instructions; NaN stays NaN
_FAST = {"reassoc", "nsz", "contract"}


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def matvec(matrix: Float32Array, vector: Float32Array) -> Float32Array:
    """(M,) of (M, W) and (W,)."""
    out = np.empty(len(matrix), np.float32)
    for m in range(len(matrix)):
        total = np.float32(0.0)
        for w in range(len(vector)):
            total += matrix[m, w] * vector[w]
        out[m] = total
    return out


@numba.njit(cache=True, nogil=True, inline="always")
def _sigmoid(x: float) -> float:
    squashed: float = np.float32(1.0) / (np.float32(1.0) + np.exp(-x))
    return squashed


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


@numba.njit(cache=True, nogil=True)
def _gru_cell(
    input_gates: Float32Array, state_gates: Float32Array, state: Float32Array, out: Float32Array
) -> None:
    """Write the next state (H,), given gates (3H,) in PyTorch's order: reset, update, new."""
    H = len(state)
    for h in range(H):
        reset = _sigmoid(input_gates[h] + state_gates[h])
        update = _sigmoid(input_gates[H + h] + state_gates[H + h])
        new = np.tanh(input_gates[2 * H + h] + reset * state_gates[2 * H + h])
        out[h] = (np.float32(1.0) - update) * new + update * state[h]


@numba.njit(cache=True, nogil=True)
def gru_cells(
    input_gates: Float32Array, state_gates: Float32Array, states: Float32Array
) -> Float32Array:
    """(V, H) next states, given (V, 3H) gates."""
    updated = np.empty_like(states)
    for v in range(len(states)):
        _gru_cell(input_gates[v], state_gates[v], states[v], updated[v])
    return updated


@numba.njit(cache=True, nogil=True)
def session_graph(
    clicks: Int32Array, counted: bool
) -> tuple[Int32Array, Int64Array, Float32Array, Float32Array]:
    """The session graph: (V,) distinct items, (T,) node of each click, two (V, V) matrices.

    Row v of the matrices holds the normalized weights of incoming and of outgoing edges.
    """
    T = len(clicks)
    nodes, node_of, V = np.empty(T, np.int32), np.empty(T, np.int64), 0
    for t in range(T):
        node = 0
        while node < V and nodes[node] != clicks[t]:
            node += 1
        nodes[node], node_of[t], V = clicks[t], node, max(V, node + 1)
    edges = np.zeros((V, V), np.float32)
    for t in range(1, T):
        u, v = node_of[t - 1], node_of[t]
        edges[u, v] = edges[u, v] + 1 if counted else 1
    into, out_of = np.zeros((V, V), np.float32), np.zeros((V, V), np.float32)
    for v in range(V):
        n_in, n_out = edges[:, v].sum(), edges[v].sum()
        if n_in > 0:
            into[v] = edges[:, v] / n_in
        if n_out > 0:
            out_of[v] = edges[v] / n_out
    return nodes[:V], node_of, into, out_of


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def additive_energies(
    hidden: Float32Array,
    of_last: Float32Array,
    of_each: Float32Array,
    bias: Float32Array,
    weight: Float32Array,
) -> Float32Array:
    """(T,) energies vᵀ σ(A1 h_t + A2 h_j + c) of each click j for the last click t."""
    T, H = hidden.shape
    last = matvec(of_last, hidden[T - 1]) + bias
    energy = np.empty(T, np.float32)
    for j in range(T):
        key = matvec(of_each, hidden[j])
        total = np.float32(0.0)
        for h in range(H):
            total += weight[h] * _sigmoid(last[h] + key[h])
        energy[j] = total
    return energy
