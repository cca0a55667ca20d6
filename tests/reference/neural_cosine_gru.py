"""Cosine-GRU by its equations, prefix by prefix, in float64."""

from __future__ import annotations

import numpy as np

from reference.neural_gru import gru, sigmoid


def unit(vector):
    return vector / np.linalg.norm(vector)


def item_vectors(state, neighbors=None, weights=None, weight=0.0):
    """Unit vectors of items 1..N; entry 0 is a vector of zeros."""
    table = state["items.weight"]
    vectors = [np.zeros(table.shape[1])]
    for i in range(1, len(table)):
        near = 0.0
        if neighbors is not None:
            near = sum(
                w * table[j] for j, w in zip(neighbors[i], weights[i], strict=True) if j != 0
            )
        vectors.append(unit(table[i] + weight * near))
    return vectors


def cosine_gru_queries(session, state, config, vectors):
    """One query for each prefix of a session."""
    D = config.width
    x = [vectors[i] * np.sqrt(D) / 4 for i in session]
    first_or_later = [min(session[:j].count(i), 2) for j, i in enumerate(session)]
    inputs = [x[j] + state["repeats"][count] for j, count in enumerate(first_or_later)]
    h = gru(inputs, state, "gru.")
    queries = []
    for t in range(len(session)):
        mean = np.mean(x[: t + 1], axis=0)
        query = state["attend_prefix.weight"] @ np.concatenate([h[t], mean])
        query = query + state["attend_prefix.bias"]
        energies = []
        for j in range(t + 1):
            count = min(session[: t + 1].count(session[j]), 3) - 1
            distance = min(t - j, config.max_length - 1)
            relation = state["distances"][distance] + state["counts"][count]
            key = state["attend_click.weight"] @ h[j]
            energies.append(state["attend"] @ sigmoid(query + key + relation))
        alpha = np.exp(energies) / np.exp(energies).sum()
        attended = sum(a * vector for a, vector in zip(alpha, x, strict=False))
        read_out = state["read.weight"] @ np.concatenate([attended, h[t], x[t]])
        gate = sigmoid(
            state["gate.weight"] @ np.concatenate([read_out, attended]) + state["gate.bias"]
        )
        output = gate * read_out + (1 - gate) * attended
        queries.append(config.temperature * unit(output))
    return queries
