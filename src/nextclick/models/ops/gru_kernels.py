"""Compiled recurrence of a GRU, forward and backward: all steps and gates of a batch in one call.

The sessions are processed in blocks of `BLOCK` rows. A step of a block multiplies the rows' states
with the recurrent weights, which are read once for the block, and computes the gates at once.
Cells of padding are not computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Int64Array

BLOCK = 4  # rows

# flags of numba: a product and a sum in one instruction; the order of sums is fixed, so a row does
# not depend on the rows beside it, and NaN is preserved
FUSED_SUMS = {"contract", "nsz"}
_LIMIT = np.float32(80.0)  # e^±80 is finite in float32
_LOG2E = np.float32(1.4426950408889634)
_EXPONENT_BIAS, _MANTISSA_BITS = np.int32(127), np.int32(23)
# of 2^x in -1/2..1/2, from a least-squares fit of the relative error; at most 8e-8
_EXP2 = tuple(
    np.float32(c)
    for c in (
        1.0000000710297,
        0.6931469491610647,
        0.24022121753561618,
        0.055507426160022126,
        0.009675459745523153,
        0.0013266970386352748,
    )
)
_C0, _C1, _C2, _C3, _C4, _C5 = _EXP2
_ONE, _TWO, _HALF = np.float32(1.0), np.float32(2.0), np.float32(0.5)


@intrinsic
def _float_of_bits(typing_context: Any, bits: Any) -> Any:
    """The float32 with the bits of an int32."""
    del typing_context, bits

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return types.float32(types.int32), generate


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FUSED_SUMS)
def sigmoid(x: np.float32) -> np.float32:
    """1 / (1 + e^-x) up to 2e-7; unlike `np.exp`, a loop of it runs in vector instructions."""
    if x > _LIMIT:  # not min and max: NaN stays NaN
        x = _LIMIT
    if x < -_LIMIT:
        x = -_LIMIT
    power = -x * _LOG2E
    whole = np.floor(power + _HALF)
    f = power - whole
    fraction = _C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * _C5))))
    bits = (np.int32(whole) + _EXPONENT_BIAS) << _MANTISSA_BITS
    scale: np.float32 = _float_of_bits(bits)  # type: ignore[call-arg]  # numba adds the first
    return _ONE / (_ONE + fraction * scale)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FUSED_SUMS)
def add_products(rows: Float32Array, weight: Float32Array, sums: Float32Array) -> None:
    """Add rows @ weight to the sums.

    Args:
        rows: (BLOCK, K).
        weight: (K, J).
        sums: (BLOCK, J).
    """
    s0, s1, s2, s3 = sums[0], sums[1], sums[2], sums[3]
    K, J = weight.shape
    whole = K - K % 4
    for k in range(0, whole, 4):
        a0, a1, a2, a3 = rows[0, k], rows[0, k + 1], rows[0, k + 2], rows[0, k + 3]
        b0, b1, b2, b3 = rows[1, k], rows[1, k + 1], rows[1, k + 2], rows[1, k + 3]
        c0, c1, c2, c3 = rows[2, k], rows[2, k + 1], rows[2, k + 2], rows[2, k + 3]
        d0, d1, d2, d3 = rows[3, k], rows[3, k + 1], rows[3, k + 2], rows[3, k + 3]
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        for j in range(J):
            u, v, w, x = w0[j], w1[j], w2[j], w3[j]
            s0[j] += a0 * u + a1 * v + a2 * w + a3 * x
            s1[j] += b0 * u + b1 * v + b2 * w + b3 * x
            s2[j] += c0 * u + c1 * v + c2 * w + c3 * x
            s3[j] += d0 * u + d1 * v + d2 * w + d3 * x
    for k in range(whole, K):
        for i in range(BLOCK):
            for j in range(J):
                sums[i, j] += rows[i, k] * weight[k, j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FUSED_SUMS)
def states_of(
    gates: Float32Array,
    recurrent: Float32Array,
    bias: Float32Array,
    initial: Float32Array,
    rows: tuple[Int64Array, Int64Array],
    states: Float32Array,
    inner: Float32Array,
) -> None:
    """Compute the states of all cells.

    Args:
        gates: (C, 3H) products of inputs and weights with all biases but that of `inner`; replaced
            by the values of the gates r, z, n.
        recurrent: (H, 3H), U transposed.
        bias: (H,) of `inner`.
        initial: (B, H) states before the first step; (0, H) for zeros.
        rows: (B,) first cell of each row, and (B,) its number of steps, descending.
        states: (C, H), output.
        inner: (C, H), output, U_n h + bias, which the gate r multiplies.
    """
    begin, length = rows
    H = states.shape[1]
    state = np.zeros((BLOCK, H), dtype=np.float32)
    sums = np.empty((BLOCK, 3 * H), dtype=np.float32)
    for first in range(0, len(begin), BLOCK):
        n = min(BLOCK, len(begin) - first)
        for i in range(n):
            if len(initial):
                state[i] = initial[first + i]
            else:
                state[i] = np.float32(0.0)
        for t in range(length[first]):
            sums[:] = np.float32(0.0)
            if t > 0 or len(initial):
                add_products(state, recurrent, sums)
            for i in range(n):
                if t < length[first + i]:
                    cell = begin[first + i] + t
                    gate, total, h = gates[cell], sums[i], state[i]
                    for k in range(H):
                        r = sigmoid(gate[k] + total[k])
                        z = sigmoid(gate[H + k] + total[H + k])
                        m = total[2 * H + k] + bias[k]
                        new = _TWO * sigmoid(_TWO * (gate[2 * H + k] + r * m)) - _ONE  # tanh
                        gate[k], gate[H + k], gate[2 * H + k] = r, z, new
                        inner[cell, k] = m
                        h[k] = new + z * (h[k] - new)
                        states[cell, k] = h[k]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FUSED_SUMS)
def gradients_of(
    grad: Float32Array,
    saved: tuple[Float32Array, Float32Array, Float32Array, Float32Array],
    recurrent: Float32Array,
    rows: tuple[Int64Array, Int64Array],
    d_gates: Float32Array,
    d_products: Float32Array,
    previous: Float32Array,
    d_initial: Float32Array,
) -> None:
    """Compute the gradients of the products of each cell, from the last step to the first.

    Args:
        grad: (C, H), of the states.
        saved: gates, states and inner of `states_of`, and its initial states.
        recurrent: (3H, H), U.
        rows: as in `states_of`.
        d_gates: (C, 3H), output, of the products of inputs and weights.
        d_products: (C, 3H), output, of the products of states and weights.
        previous: (C, H), output, the states before each step.
        d_initial: (B, H), output, of the initial states.
    """
    gates, states, inner, initial = saved
    begin, length = rows
    H = states.shape[1]
    d_state = np.empty((BLOCK, H), dtype=np.float32)
    block = np.empty((BLOCK, 3 * H), dtype=np.float32)
    for first in range(0, len(begin), BLOCK):
        n = min(BLOCK, len(begin) - first)
        d_state[:] = np.float32(0.0)
        block[:] = np.float32(0.0)
        for t in range(length[first] - 1, -1, -1):
            for i in range(n):
                if t < length[first + i]:
                    cell = begin[first + i] + t
                    if t > 0:
                        previous[cell] = states[cell - 1]
                    elif len(initial):
                        previous[cell] = initial[first + i]
                    else:
                        previous[cell] = np.float32(0.0)
                    gate, h, m, d = gates[cell], previous[cell], inner[cell], d_state[i]
                    d_gate, d_product, own = d_gates[cell], d_products[cell], block[i]
                    for k in range(H):
                        r, z, new = gate[k], gate[H + k], gate[2 * H + k]
                        g = d[k] + grad[cell, k]
                        d_new = g * (_ONE - z) * (_ONE - new * new)
                        d_r = d_new * m[k] * r * (_ONE - r)
                        d_z = g * (h[k] - new) * z * (_ONE - z)
                        d[k] = g * z
                        d_gate[k] = d_product[k] = own[k] = d_r
                        d_gate[H + k] = d_product[H + k] = own[H + k] = d_z
                        d_gate[2 * H + k] = d_new
                        d_product[2 * H + k] = own[2 * H + k] = d_new * r
            if t > 0 or len(initial):
                add_products(block, recurrent, d_state)
        for i in range(n):
            d_initial[first + i] = d_state[i]
