"""Queries of single sessions from NARM, ASARS and SR-GNN, by kernels instead of PyTorch.

A session of five clicks is so little work that PyTorch spends most of its time on calling: some
twenty operations of microseconds each. The kernels read the clicks of one session and compute the
query of its last prefix alone, with the weights of the encoder. The equations are those of
`models.narm`, `models.asars` and `models.sr_gnn`; tests hold both equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numba
import numpy as np

from nextclick.models.neural.asars import ASARSEncoder
from nextclick.models.neural.narm import NARMEncoder
from nextclick.models.neural.sr_gnn import SRGNNEncoder
from nextclick.models.ops.gap_bins import FIRST_BIN, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from nextclick.core.types import Float32Array, Int32Array, Int64Array
    from nextclick.models.ops.gap_bins import GapBins
    from nextclick.serving.request import Wish

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
    if isinstance(encoder, SRGNNEncoder):
        return CompiledSRGNN(encoder)
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
            self._bias = np.zeros_like(self._attend)
        bilinear = encoder.config.decoder == "bilinear"
        self._bilinear = _array(encoder.bilinear.weight) if bilinear else None

    def query(self, wish: Wish) -> Float32Array:
        """See `Compiled`."""
        hidden = _gru(self._items[wish.clicks[-self.config.max_length :]], *self._gru)  # (T, H)
        features = hidden[-1]
        if self.config.variant != "global":
            energy = _additive(hidden, self._last, self._each, self._bias, self._attend)  # (T,)
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


class CompiledSRGNN:
    """SR-GNN, all variants; equations in `models.sr_gnn`."""

    def __init__(self, encoder: SRGNNEncoder):
        self.config = encoder.config
        self._items = _array(encoder.items.weight)
        network = encoder.network
        self._into, self._out_of = _array(network.into.weight), _array(network.out_of.weight)
        self._into_bias, self._out_of_bias = _array(network.into.bias), _array(network.out_of.bias)
        self._message_bias = np.concatenate(
            [_array(network.into_bias), _array(network.out_of_bias)]
        )
        gates = network.gates
        self._given, self._given_bias = _array(gates.weight_ih), _array(gates.bias_ih)
        self._recurrent, self._recurrent_bias = _array(gates.weight_hh), _array(gates.bias_hh)
        if encoder.config.variant != "local":
            last, each = encoder.attend_last, encoder.attend_each
            self._last, self._each = _array(last.weight), _array(each.weight)
            self._bias, self._attend = _array(last.bias + each.bias), _array(encoder.attend)
        if encoder.config.variant == "hybrid":
            self._output = _array(encoder.output.weight)
            self._output_bias = _array(encoder.output.bias)

    def query(self, wish: Wish) -> Float32Array:
        """See `Compiled`."""
        clicks = wish.clicks[-self.config.max_length :]
        nodes, node_of, before, after = _graph(clicks, self.config.edges == "counted")
        states = self._items[nodes]  # (V, D)
        for _ in range(self.config.steps):
            states = self._step(states, before, after)
        hidden = states[node_of]  # (T, D)
        last: Float32Array = hidden[-1]
        if self.config.variant == "local":
            return last
        beta = _additive(hidden, self._last, self._each, self._bias, self._attend)
        session: Float32Array = beta @ hidden
        if self.config.variant == "global":
            return session
        both = np.concatenate([session, last])
        query: Float32Array = _product(self._output, both) + self._output_bias
        return query

    def _step(
        self, states: Float32Array, before: Float32Array, after: Float32Array
    ) -> Float32Array:
        """(V, D) states after one more step of the network."""
        into = before @ (states @ self._into.T + self._into_bias)
        out_of = after @ (states @ self._out_of.T + self._out_of_bias)
        messages = np.concatenate([into, out_of], axis=1) + self._message_bias
        given = messages @ self._given.T + self._given_bias
        recurrent = states @ self._recurrent.T + self._recurrent_bias
        found: Float32Array = _gru_cells(given, recurrent, states)
        return found


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
def _gru_cell(
    given: Float32Array, recurrent: Float32Array, state: Float32Array, out: Float32Array
) -> None:
    """Write the (H,) next state of (3H,) gates, in the order of PyTorch: reset, update, new."""
    H = len(state)
    for h in range(H):
        reset = _sigmoid(given[h] + recurrent[h])
        update = _sigmoid(given[H + h] + recurrent[H + h])
        new = np.tanh(given[2 * H + h] + reset * recurrent[2 * H + h])
        out[h] = (np.float32(1.0) - update) * new + update * state[h]


@numba.njit(cache=True, nogil=True)
def _gru_cells(given: Float32Array, recurrent: Float32Array, states: Float32Array) -> Float32Array:
    """(V, H) next states of (V, 3H) gates."""
    found = np.empty_like(states)
    for v in range(len(states)):
        _gru_cell(given[v], recurrent[v], states[v], found[v])
    return found


@numba.njit(cache=True, nogil=True)
def _graph(
    clicks: Int32Array, counted: bool
) -> tuple[Int32Array, Int64Array, Float32Array, Float32Array]:
    """(V,) distinct items and (T,) of which of them each click is; (V, V) shares of edges.

    Of row v, the shares are those of the nodes before v, and of the nodes after v.
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
        comes, goes = edges[:, v].sum(), edges[v].sum()
        if comes > 0:
            into[v] = edges[:, v] / comes
        if goes > 0:
            out_of[v] = edges[v] / goes
    return nodes[:V], node_of, into, out_of


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
        _gru_cell(given, recurrent, state, states[t])
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
    hidden: Float32Array,
    of_last: Float32Array,
    of_each: Float32Array,
    bias: Float32Array,
    weight: Float32Array,
) -> Float32Array:
    """(T,) energies vᵀ σ(A1 h_t + A2 h_j + c) of all clicks j for the last one, t."""
    T, H = hidden.shape
    last = _product(of_last, hidden[T - 1]) + bias
    energy = np.empty(T, np.float32)
    for j in range(T):
        key = _product(of_each, hidden[j])
        total = np.float32(0.0)
        for h in range(H):
            total += weight[h] * _sigmoid(last[h] + key[h])
        energy[j] = total
    return energy
