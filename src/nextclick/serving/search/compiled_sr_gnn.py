"""Compiled encoder of SR-GNN for one session at a time; equations in `models.sr_gnn`.

For a session of five clicks PyTorch spends most of its time on the call overhead of some twenty
operations, and its exporter has no form of the session graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.serving.search.encoder_kernels import (
    additive_energies,
    gru_cells,
    matvec,
    session_graph,
)

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Float32Array
    from nextclick.models.neural.sr_gnn import SRGNNEncoder
    from nextclick.serving.request import ResolvedRequest


class CompiledSRGNN:
    """SR-GNN, all variants."""

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
