"""ASARS for one prefix at a time, in float64, by the equations of its docstring."""

from __future__ import annotations

import numpy as np

from reference.neural_gru import gru, sigmoid

START, UNKNOWN, FIRST_BIN = 1, 2, 3


def lstm(sequence, state, prefix):
    """The states after each vector of `sequence`, with weights named as `nn.LSTM` names them."""
    input_weights, recurrent, *biases = (
        state[f"{prefix}{name}_l0"].astype(np.float64)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    H = recurrent.shape[1]
    hidden, cell, states = np.zeros(H), np.zeros(H), []
    for x in sequence:
        gates = input_weights @ x + recurrent @ hidden + biases[0] + biases[1]
        i, f, g, o = gates[:H], gates[H : 2 * H], gates[2 * H : 3 * H], gates[3 * H :]
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        states.append(hidden)
    return states


def gap_row(seconds, state):
    if np.isnan(seconds):
        return UNKNOWN
    if "gap_bounds" in state:
        return FIRST_BIN + sum(seconds >= bound for bound in state["gap_bounds"].tolist())
    n_bins = len(state["gaps.weight"]) - FIRST_BIN
    return FIRST_BIN + int(np.clip(seconds // float(state["gap_width"][0]), 0, n_bins - 1))


def gap_of(seconds, state):
    return state["gaps.weight"][gap_row(seconds, state)]


def energies(h, profile, dwell, rnn, state, config):
    """The energy of each click of a prefix."""
    t = len(h) - 1
    if config.variant == "user_att":
        return [np.tanh(state["key.weight"] @ h_j + state["key.bias"]) @ profile for h_j in h]
    queries = {
        "state": h,
        "context": [state.get("context")] * (t + 1),
        "last": [h[t]] * (t + 1),
        "user": h if profile is None else [profile] * (t + 1),
    }[config.attend]
    k = rnn([gap_of(seconds, state) for seconds in dwell], state, "time_rnn.")
    keys = [np.tanh(state["key.weight"] @ k_j + state["key.bias"]) for k_j in k]
    if config.gap != "oracle":
        previous = k[t - 1] if t else np.zeros_like(k[0])
        own_key = state["key.weight"] @ previous + state["own"]
        if config.gap == "elapsed":
            own_key = own_key + state["waiting.weight"] @ gap_of(dwell[t], state)
        keys[t] = np.tanh(own_key)
    return [key @ query for key, query in zip(keys, queries, strict=True)]


def asars_query(items, gaps, waited, user, state, config):
    """The query after the last of `items`.

    Args:
        items: the prefix.
        gaps: seconds before each of its clicks; the first is ignored.
        waited: seconds since the last click; with gap=oracle, until the target.
        user: index; 0 is unknown.
    """
    t = len(items) - 1
    rnn = lstm if config.cell == "lstm" else gru
    x = [state["items.weight"][i].astype(np.float64) for i in items]
    dwell = [*gaps[1:], waited]  # of each click of the prefix
    if config.variant == "time_cat":
        if config.gap == "oracle":
            times = [gap_of(seconds, state) for seconds in dwell]
        else:
            times = [state["gaps.weight"][START], *(gap_of(seconds, state) for seconds in gaps[1:])]
        x = [np.concatenate(pair) for pair in zip(x, times, strict=True)]
    h = rnn(x, state, "rnn.")
    profile = None
    if config.variant in ("user_att", "user_cat", "time_user"):
        user = user if state["seen_users"][user] else 0
        profile = state["users.weight"][user].astype(np.float64)
        if config.drift:
            profile = profile + state["speed.weight"][user, 0] * (state["evolution.weight"] @ h[t])
    if config.variant in ("user_cat", "time_cat"):
        features = h[t]
    else:
        energy = energies(h, profile, dwell, rnn, state, config)
        weights = np.exp(np.array(energy) - max(energy))
        features = (weights / weights.sum()) @ np.array(h)
        if config.readout == "both":
            features = np.concatenate([h[t], features])
    if config.variant in ("user_cat", "time_user"):
        features = np.concatenate([features, profile])
    query = state["output.weight"] @ features
    if config.variant == "time_cat" and config.gap == "elapsed":
        query = query + state["waiting.weight"] @ gap_of(waited, state)
    return query
