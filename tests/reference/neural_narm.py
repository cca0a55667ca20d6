"""NARM by its equations, prefix by prefix, in float64."""

from __future__ import annotations

import numpy as np

from reference.neural_gru import gru, sigmoid


def attention(states, t, state, norm):
    """The weights of the states 0..t in the prefix that ends at t."""
    energies = []
    for j in range(t + 1):
        inner = state["attend_last.weight"] @ states[t] + state["attend_each.weight"] @ states[j]
        energies.append(state["attend"] @ sigmoid(inner))
    energies = np.array(energies)
    if norm == "none":
        return energies
    weights = np.exp(energies - energies.max())
    return weights / weights.sum()


def narm_queries(session, state, config):
    """One query for each prefix of a session."""
    states = gru([state["items.weight"][i] for i in session], state, "gru.")
    queries = []
    for t in range(len(session)):
        features = []
        if config.variant != "local":
            features.append(states[t])
        if config.variant != "global":
            alpha = attention(states, t, state, config.attention_norm)
            features.append(sum(a * h for a, h in zip(alpha, states, strict=False)))
        c = np.concatenate(features)
        queries.append(state["bilinear.weight"] @ c if config.decoder == "bilinear" else c)
    return queries
