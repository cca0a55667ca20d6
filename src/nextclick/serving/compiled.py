"""Queries of single sessions from NARM and ASARS, by compiled kernels instead of PyTorch.

A session of five clicks is so little work that PyTorch spends most of its time on calling: some
twenty operations of microseconds each. The kernels read the clicks of one session and compute the
query of its last prefix alone, with the weights of the encoder. The equations are those of
`models.narm` and `models.asars`; tests hold both equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numba
import numpy as np

from nextclick.models.asars import ASARSEncoder
from nextclick.models.gap_bins import FIRST_BIN, UNKNOWN
from nextclick.models.narm import NARMEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from nextclick.models.gap_bins import GapBins
    from nextclick.serving.query import Wish
    from nextclick.types import Float32Array, Int64Array

# sums may be taken in any order, so that they use vector instructions; NaN stays NaN
_FAST = {"reassoc", "nsz", "contract"}


class Compiled(Protocol):
    """An encoder that reads one session after the other."""

    def query(self, wish: Wish) -> Float32Array:
        """(D,) of a session that has a click."""
        ...


def compiled_of(encoder: object) -> Compiled | None:
    """Kernels that do the same; None if there are none."""
    if isinstance(encoder, NARMEncoder):
        return CompiledNARM(encoder)
    if isinstance(encoder, ASARSEncoder) and encoder.by_time and encoder.config.gap != "oracle":
        return CompiledASARS(encoder)
    return None


def queries(encoder: Compiled, wishes: Sequence[Wish]) -> Float32Array:
    """(B, D)."""
    return np.stack([encoder.query(wish) for wish in wishes])


class CompiledNARM:
    """NARM, all variants; NARM's equations are in `models.narm`."""

    def __init__(self, encoder: NARMEncoder):
        self.config = encoder.config
        self._items = _array(encoder.items.weight)
        self._gru = _weights_of(encoder.gru)
        if encoder.config.variant != "global":
            self._last = _array(encoder.attend_last.weight)
            self._each = _array(encoder.attend_each.weight)
            self._attend = _array(encoder.attend)
        bilinear = encoder.config.decoder == "bilinear"
        self._bilinear = _array(encoder.bilinear.weight) if bilinear else None

    def query(self, wish: Wish) -> Float32Array:
        """See `Compiled`."""
        hidden = _gru(self._items[wish.clicks[-self.config.max_length :]], *self._gru)  # (T, H)
        features = hidden[-1]
        if self.config.variant != "global":
            energy = _additive(hidden, self._last, self._each, self._attend)  # (T,)
            if self.config.attention_norm == "softmax":
                energy = _softmax(energy)
            features = energy @ hidden
            if self.config.variant == "hybrid":
                features = np.concatenate([hidden[-1], features])
        return features if self._bilinear is None else _product(self._bilinear, features)


class CompiledASARS:
    """ASARS with attention by time, but for the oracle's; equations in `models.asars`."""

    def __init__(self, encoder: ASARSEncoder):
        config = self.config = encoder.config
        self._rnn = _lstm if config.cell == "lstm" else _gru
        self._items, self._gaps = _array(encoder.items.weight), _array(encoder.gaps.weight)
        self._reads, self._times = _weights_of(encoder.rnn), _weights_of(encoder.time_rnn)
        self._bins = encoder.bins
        self._key, self._key_bias = _array(encoder.key.weight), _array(encoder.key.bias)
        self._own = _array(encoder.own)
        self._context = _array(encoder.context) if config.attend == "context" else None
        self._waiting = _array(encoder.waiting.weight) if config.gap == "elapsed" else None
        self._output = _array(encoder.output.weight)
        if config.variant == "time_user":
            self._users, self._seen = _array(encoder.users.weight), encoder.seen_users.numpy()
            if config.drift:
                self._speed = _array(encoder.speed.weight)
                self._evolution = _array(encoder.evolution.weight)

    def query(self, wish: Wish) -> Float32Array:
        """See `Compiled`."""
        clicks = wish.clicks[-self.config.max_length :]
        hidden = self._rnn(self._items[clicks], *self._reads)  # (T, H)
        features = _softmax(self._energy(wish, hidden)) @ hidden
        if self.config.variant == "time_user":
            features = np.concatenate([features, self._profile(wish.user, hidden[-1])])
        return _product(self._output, features)

    def _energy(self, wish: Wish, hidden: Float32Array) -> Float32Array:
        """(T,) of the clicks for the last prefix, of which the last click's time is unknown."""
        T, H = hidden.shape
        met = hidden if self._context is None else np.broadcast_to(self._context, hidden.shape)
        energy = np.empty(T, dtype=np.float32)
        before = np.zeros(H, dtype=np.float32)
        if T > 1:
            unknown = np.full(T - 1, np.nan, dtype=np.float32)
            dwelt = unknown if wish.gaps is None else wish.gaps[len(wish.gaps) - T + 1 :]
            times = self._rnn(self._gaps[gap_rows(self._bins, dwelt)], *self._times)  # (T - 1, H)
            keys = np.tanh(_products(self._key, times) + self._key_bias)
            energy[:-1] = (keys * met[:-1]).sum(1)
            before = times[-1]
        own = _product(self._key, before) + self._own
        if self._waiting is not None:
            waited = gap_rows(self._bins, np.array([wish.waited], dtype=np.float32))
            own += _product(self._waiting, self._gaps[waited[0]])
        energy[-1] = (np.tanh(own) * met[-1]).sum()
        return energy

    def _profile(self, user: int, last: Float32Array) -> Float32Array:
        """(32,) of a visitor, who is unknown if no training session is theirs."""
        user = user if self._seen[user] else 0
        profile: Float32Array = self._users[user]
        if self.config.drift:
            profile = profile + self._speed[user] * _product(self._evolution, last)
        return profile


def gap_rows(bins: GapBins, seconds: Float32Array) -> Int64Array:
    """What `GapBins.rows` gives, of an array."""
    index = np.clip(seconds / np.float32(bins.width), 0, bins.n_bins - 1)
    known = np.nan_to_num(index).astype(np.int64) + FIRST_BIN
    return np.where(np.isnan(seconds), UNKNOWN, known)


def _array(tensor: Tensor) -> Float32Array:
    array: Float32Array = tensor.detach().float().cpu().contiguous().numpy()
    return array


def _weights_of(rnn: Any) -> tuple[Float32Array, ...]:
    """Weights of inputs and of states, and both biases, of a layer."""
    return tuple(_array(weight) for weight in rnn.all_weights[0])


def _softmax(energy: Float32Array) -> Float32Array:
    weights: Float32Array = np.exp(energy - energy.max())
    weights /= weights.sum()
    return weights


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _product(matrix: Float32Array, vector: Float32Array) -> Float32Array:
    """(M,) of (M, W) and (W,)."""
    out = np.empty(len(matrix), np.float32)
    for m in range(len(matrix)):
        total = np.float32(0.0)
        for w in range(len(vector)):
            total += matrix[m, w] * vector[w]
        out[m] = total
    return out


@numba.njit(cache=True, nogil=True)
def _products(matrix: Float32Array, rows: Float32Array) -> Float32Array:
    """(T, M) of (M, W) and (T, W)."""
    out = np.empty((len(rows), len(matrix)), np.float32)
    for t in range(len(rows)):
        out[t] = _product(matrix, rows[t])
    return out


@numba.njit(cache=True, nogil=True, inline="always")
def _sigmoid(x: float) -> float:
    squashed: float = np.float32(1.0) / (np.float32(1.0) + np.exp(-x))
    return squashed


@numba.njit(cache=True, nogil=True)
def _gru(
    inputs: Float32Array,
    to_gates: Float32Array,
    between: Float32Array,
    input_bias: Float32Array,
    state_bias: Float32Array,
) -> Float32Array:
    """(T, H) states of (T, W) inputs; gates in the order of PyTorch: reset, update, new."""
    T, H = len(inputs), between.shape[1]
    states = np.empty((T, H), np.float32)
    state = np.zeros(H, np.float32)
    for t in range(T):
        given = _product(to_gates, inputs[t]) + input_bias
        recurrent = _product(between, state) + state_bias
        for h in range(H):
            reset = _sigmoid(given[h] + recurrent[h])
            update = _sigmoid(given[H + h] + recurrent[H + h])
            new = np.tanh(given[2 * H + h] + reset * recurrent[2 * H + h])
            states[t, h] = (np.float32(1.0) - update) * new + update * state[h]
        state = states[t]
    return states


@numba.njit(cache=True, nogil=True)
def _lstm(
    inputs: Float32Array,
    to_gates: Float32Array,
    between: Float32Array,
    input_bias: Float32Array,
    state_bias: Float32Array,
) -> Float32Array:
    """(T, H) states of (T, W) inputs; gates in the order of PyTorch: in, forget, cell, out."""
    T, H = len(inputs), between.shape[1]
    states = np.empty((T, H), np.float32)
    state, cell = np.zeros(H, np.float32), np.zeros(H, np.float32)
    for t in range(T):
        gates = _product(to_gates, inputs[t]) + input_bias + state_bias
        gates += _product(between, state)
        for h in range(H):
            kept = _sigmoid(gates[H + h]) * cell[h]
            cell[h] = kept + _sigmoid(gates[h]) * np.tanh(gates[2 * H + h])
            states[t, h] = _sigmoid(gates[3 * H + h]) * np.tanh(cell[h])
        state = states[t]
    return states


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _additive(
    hidden: Float32Array, of_last: Float32Array, of_each: Float32Array, weight: Float32Array
) -> Float32Array:
    """(T,) energies vᵀ σ(A1 h_t + A2 h_j) of all clicks j for the last one, t."""
    T, H = hidden.shape
    last = _product(of_last, hidden[T - 1])
    energy = np.empty(T, np.float32)
    for j in range(T):
        key = _product(of_each, hidden[j])
        total = np.float32(0.0)
        for h in range(H):
            total += weight[h] * _sigmoid(last[h] + key[h])
        energy[j] = total
    return energy
