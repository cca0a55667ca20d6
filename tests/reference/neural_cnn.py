"""YouTube DNN and WaveNet CNN for one prefix at a time, in float64."""

from __future__ import annotations

import numpy as np


def youtube_queries(session, state, config):
    """One query for each prefix of a session."""
    queries = []
    for t in range(len(session)):
        q = state["items.weight"][session[: t + 1]].astype(np.float64).mean(0)
        for layer in range(config.layers):
            q = state[f"tower.{layer}.weight"] @ q + state[f"tower.{layer}.bias"]
            if layer < config.layers - 1:
                q = np.maximum(q, 0)
        queries.append(q)
    return queries


def wavenet_queries(session, state, config):
    """One query for each prefix of a session."""
    x = [state["items.weight"][i].astype(np.float64) for i in session]
    for layer in range(config.layers):
        weight, bias = state[f"layers.{layer}.weight"], state[f"layers.{layer}.bias"]
        out = []
        for t in range(len(x)):
            total = bias.astype(np.float64)
            for k in range(config.kernel):
                click = t - (config.kernel - 1 - k) * 2**layer
                if click >= 0:
                    total = total + weight[:, :, k] @ x[click]
            out.append(np.tanh(total) + (x[t] if config.residual else 0))
        x = out
    return x
