"""A GRU step by step, in float64."""

from __future__ import annotations

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def gru_step(inputs, state, recurrent, bias):
    """The next state of inputs W x + b, in the gate order reset, update, new."""
    H = len(state)
    gates = recurrent @ state + bias
    reset = sigmoid(inputs[:H] + gates[:H])
    update = sigmoid(inputs[H : 2 * H] + gates[H : 2 * H])
    new = np.tanh(inputs[2 * H :] + reset * gates[2 * H :])
    return (1 - update) * new + update * state


def gru(sequence, state, prefix):
    """The states after each vector of `sequence`, with weights named as `nn.GRU` names them."""
    input_weights = state[f"{prefix}weight_ih_l0"].astype(np.float64)
    recurrent = state[f"{prefix}weight_hh_l0"].astype(np.float64)
    hidden = np.zeros(recurrent.shape[1])
    states = []
    for x in sequence:
        inputs = input_weights @ x + state[f"{prefix}bias_ih_l0"]
        hidden = gru_step(inputs, hidden, recurrent, state[f"{prefix}bias_hh_l0"])
        states.append(hidden)
    return states


def gru4rec_queries(session, state, config):
    """One query for each prefix of a session."""
    sequence = [state["items.weight"][i].astype(np.float64) for i in session]
    for layer in range(config.layers):
        if config.embedding == "one-hot" and layer == 0:
            hidden, states = np.zeros(config.hidden_width), []
            for x in sequence:
                inputs = x + state["layers.0.input_bias"]
                recurrent = state["layers.0.recur.weight"].astype(np.float64)
                hidden = gru_step(inputs, hidden, recurrent, state["layers.0.recur.bias"])
                states.append(hidden)
            sequence = states
        else:
            sequence = gru(sequence, state, f"layers.{layer}.gru.")
    return sequence


def improved_gru4rec_queries(session, state, config):
    """One query for each prefix of a session."""
    return gru([state["items.weight"][i] for i in session], state, "gru.")
