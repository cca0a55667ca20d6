"""STAMP by its equations, prefix by prefix, in float64."""

from __future__ import annotations

import numpy as np

from reference.neural_gru import sigmoid


def stamp_queries(session, state, config):
    """One query for each prefix of a session."""
    clicks = []
    for i in session:
        x = state["items.weight"][i].astype(np.float64)
        norm = np.sqrt((x**2).sum())
        clicks.append(x * config.max_norm / norm if norm > config.max_norm else x)
    queries = []
    for t in range(len(session)):
        mean = sum(clicks[: t + 1]) / (t + 1)
        memory = mean.copy()
        for x in clicks[: t + 1]:
            inner = (
                state["attend_each.weight"] @ x
                + state["attend_last.weight"] @ clicks[t]
                + state["attend_mean.weight"] @ mean
                + state["attend_last.bias"]
            )
            memory += (state["attend"] @ sigmoid(inner)) * x
        h_s = np.tanh(state["session_cell.weight"] @ memory)
        h_t = np.tanh(state["last_cell.weight"] @ clicks[t])
        queries.append(h_s * h_t)
    return queries
