"""Compiled encoders for one session at a time.

For a session of five clicks PyTorch spends most of its time on the call overhead of some twenty
operations. These encoders compute only the query of the last prefix, with compiled kernels and the
weights of the model. The equations are those of the modules of the models; tests compare both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nextclick.models.neural.asars_encoder import ASARSEncoder
from nextclick.models.neural.cosine_gru import CosineGRUEncoder
from nextclick.models.neural.narm import NARMEncoder
from nextclick.models.neural.sr_gnn import SRGNNEncoder
from nextclick.serving.search.compiled_cosine_gru import CompiledCosineGRU
from nextclick.serving.search.encoder_kernels import (
    additive_energies,
    gru,
    gru_cells,
    lstm,
    matvec,
    matvec_rows,
    session_graph,
    softmax,
)

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Float32Array
    from nextclick.models.neural.asars_config import ASARSConfig
    from nextclick.serving.request import ResolvedRequest


class SessionEncoder(Protocol):
    """An encoder that computes one query at a time."""

    def query(self, request: ResolvedRequest) -> Float32Array:
        """(D,) of a session with at least one click."""
        ...


def compile_encoder(encoder: object) -> SessionEncoder | None:
    """The compiled form of an encoder; None if there is none."""
    if isinstance(encoder, NARMEncoder):
        return CompiledNARM(encoder)
    if isinstance(encoder, ASARSEncoder) and _is_compiled(encoder.config):
        return CompiledASARS(encoder)
    if isinstance(encoder, SRGNNEncoder):
        return CompiledSRGNN(encoder)
    if isinstance(encoder, CosineGRUEncoder) and not encoder.config.times:
        return CompiledCosineGRU(encoder)
    return None


def _is_compiled(config: ASARSConfig) -> bool:
    """Whether the kernels compute this form of ASARS: by dwell time, without a history."""
    return config.by_time and config.gap != "oracle" and not config.history_parts


class CompiledNARM:
    """NARM, all variants; equations in `models.narm`."""

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

    def query(self, request: ResolvedRequest) -> Float32Array:
        """See `SessionEncoder`."""
        hidden = gru(self._items[request.clicks[-self.config.max_length :]], *self._gru)  # (T, H)
        features = hidden[-1]
        if self.config.variant != "global":
            energy = additive_energies(
                hidden, self._last, self._each, self._bias, self._attend
            )  # (T,)
            if self.config.attention_norm == "softmax":
                energy = softmax(energy)
            features = energy @ hidden
            if self.config.variant == "hybrid":
                features = np.concatenate([hidden[-1], features])
        return features if self._bilinear is None else matvec(self._bilinear, features)


class CompiledASARS:
    """ASARS with time attention, except gap=oracle and histories; equations in `models.asars`."""

    def __init__(self, encoder: ASARSEncoder):
        config = self.config = encoder.config
        self._rnn = lstm if config.cell == "lstm" else gru
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

    def query(self, request: ResolvedRequest) -> Float32Array:
        """See `SessionEncoder`."""
        clicks = request.clicks[-self.config.max_length :]
        hidden = self._rnn(self._items[clicks], *self._reads)  # (T, H)
        user = None
        if self.config.variant == "time_user":
            user = self._profile(request.user, hidden[-1])
        parts = [softmax(self._energy(request, hidden, user)) @ hidden]
        if self.config.readout == "both":
            parts.insert(0, hidden[-1])
        if user is not None:
            parts.append(user)
        return matvec(self._output, np.concatenate(parts))

    def _energy(
        self, request: ResolvedRequest, hidden: Float32Array, user: Float32Array | None
    ) -> Float32Array:
        """(T,) attention energies for the last prefix, whose last dwell time is unknown."""
        T, H = hidden.shape
        sources = {"context": self._context, "user": user, "last": hidden[-1], "state": hidden}
        query = sources[self.config.attended_by]
        assert query is not None
        query = np.broadcast_to(query, (T, query.shape[-1]))
        energy = np.empty(T, dtype=np.float32)
        before = np.zeros(H, dtype=np.float32)
        if T > 1:
            unknown = np.full(T - 1, np.nan, dtype=np.float32)
            dwell_times = (
                unknown if request.gaps is None else request.gaps[len(request.gaps) - T + 1 :]
            )
            times = self._rnn(
                self._gaps[self._bins.rows_of_array(dwell_times)], *self._times
            )  # (T - 1, H)
            keys = np.tanh(matvec_rows(self._key, times) + self._key_bias)
            energy[:-1] = (keys * query[:-1]).sum(1)
            before = times[-1]
        own = matvec(self._key, before) + self._own
        if self._waiting is not None:
            waited = self._bins.rows_of_array(
                np.array([request.time_since_last_click], dtype=np.float32)
            )
            own += matvec(self._waiting, self._gaps[waited[0]])
        energy[-1] = (np.tanh(own) * query[-1]).sum()
        return energy

    def _profile(self, user: int, last: Float32Array) -> Float32Array:
        """(U,) user embedding; users without a training session share the unknown user's."""
        user = user if self._seen[user] else 0
        profile: Float32Array = self._users[user]
        if self.config.drift:
            profile = profile + self._speed[user] * matvec(self._evolution, last)
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

    def query(self, request: ResolvedRequest) -> Float32Array:
        """See `SessionEncoder`."""
        clicks = request.clicks[-self.config.max_length :]
        nodes, node_of, before, after = session_graph(clicks, self.config.edges == "counted")
        states = self._items[nodes]  # (V, D)
        for _ in range(self.config.steps):
            states = self._step(states, before, after)
        hidden = states[node_of]  # (T, D)
        last: Float32Array = hidden[-1]
        if self.config.variant == "local":
            return last
        beta = additive_energies(hidden, self._last, self._each, self._bias, self._attend)
        session: Float32Array = beta @ hidden
        if self.config.variant == "global":
            return session
        both = np.concatenate([session, last])
        query: Float32Array = matvec(self._output, both) + self._output_bias
        return query

    def _step(
        self, states: Float32Array, before: Float32Array, after: Float32Array
    ) -> Float32Array:
        """(V, D) node states after one propagation step."""
        into = before @ (states @ self._into.T + self._into_bias)
        out_of = after @ (states @ self._out_of.T + self._out_of_bias)
        messages = np.concatenate([into, out_of], axis=1) + self._message_bias
        given = messages @ self._given.T + self._given_bias
        recurrent = states @ self._recurrent.T + self._recurrent_bias
        updated: Float32Array = gru_cells(given, recurrent, states)
        return updated


def _array(tensor: Tensor) -> Float32Array:
    array: Float32Array = tensor.detach().float().cpu().contiguous().numpy()
    return array


def _weights_of(rnn: Any) -> tuple[Float32Array, ...]:
    """Input and state weights and both biases of a recurrent layer."""
    return tuple(_array(weight) for weight in rnn.all_weights[0])
