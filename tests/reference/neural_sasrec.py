"""SASRec by its equations, prefix by prefix and head by head, in float64."""

from __future__ import annotations

import numpy as np


def sasrec_queries(session, state, config):
    """One query for each prefix of a session: the last row of a pass over the prefix alone."""
    return [_last_row(session[: t + 1], state, config) for t in range(len(session))]


def _last_row(prefix, state, config):
    weights = {name: array.astype(np.float64) for name, array in state.items()}
    pre = config.norm == "pre"
    rows = [weights["items.weight"][i] + weights["positions"][t] for t, i in enumerate(prefix)]
    if not pre:
        rows = [_norm(x, weights, "norm") for x in rows]
    for block in range(config.blocks):
        p = f"blocks.{block}."
        inputs = [_norm(x, weights, f"{p}attention_norm") if pre else x for x in rows]
        attended = [_attend(inputs, t, weights, p, config.heads) for t in range(len(prefix))]
        rows = [x + a for x, a in zip(rows, attended, strict=True)]
        if not pre:
            rows = [_norm(x, weights, f"{p}attention_norm") for x in rows]
        inputs = [_norm(x, weights, f"{p}inner_norm") if pre else x for x in rows]
        rows = [x + _feed_forward(y, weights, p) for x, y in zip(rows, inputs, strict=True)]
        if not pre:
            rows = [_norm(x, weights, f"{p}inner_norm") for x in rows]
    return _norm(rows[-1], weights, "norm") if pre else rows[-1]


def _norm(x, weights, name):
    scaled = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _attend(rows, t, weights, p, heads):
    D = len(rows[0])
    d = D // heads
    projected = [weights[f"{p}project.weight"] @ x + weights[f"{p}project.bias"] for x in rows]
    attended = []
    for head in range(heads):
        columns = slice(head * d, (head + 1) * d)
        query = projected[t][:D][columns]
        energies = np.array(
            [query @ projected[j][D : 2 * D][columns] / np.sqrt(d) for j in range(t + 1)]
        )
        alpha = np.exp(energies - energies.max())
        alpha /= alpha.sum()
        attended.append(sum(alpha[j] * projected[j][2 * D :][columns] for j in range(t + 1)))
    return weights[f"{p}merge.weight"] @ np.concatenate(attended) + weights[f"{p}merge.bias"]


def _feed_forward(x, weights, p):
    inner = np.maximum(weights[f"{p}inner.weight"] @ x + weights[f"{p}inner.bias"], 0.0)
    return weights[f"{p}outer.weight"] @ inner + weights[f"{p}outer.bias"]
