"""LGSR by its equations, prefix by prefix, in float64."""

from __future__ import annotations

import numpy as np


def softmax(x):
    exponentials = np.exp(x - x.max())
    return exponentials / exponentials.sum()


def norm(x, weight, bias):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * weight + bias


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lgsr_query(session, w, config):
    """(D,) query of a prefix of at most `max_length` clicks."""
    D, t = config.width, len(session) - 1
    wq, wk, wv = (
        w["project.weight"][:D],
        w["project.weight"][D : 2 * D],
        w["project.weight"][2 * D :],
    )
    e = [w["items.weight"][item] + w["positions"][t - i] for i, item in enumerate(session)]
    f = []
    for i in range(t + 1):
        alpha = softmax(np.array([wq @ e[i] @ (wk @ e[j]) for j in range(i + 1)]) / np.sqrt(D))
        s = sum(alpha[j] * (wv @ e[j]) for j in range(i + 1))
        if config.residual:
            s = norm(e[i] + s, w["attention_norm.weight"], w["attention_norm.bias"])
        inner = np.maximum(w["inner.weight"] @ s + w["inner.bias"], 0)
        out = w["outer.weight"] @ inner + w["outer.bias"]
        if config.residual:
            out = norm(s + out, w["inner_norm.weight"], w["inner_norm.bias"])
        f.append(out)
    if config.variant == "a":
        return f[t]
    w1, w2, q = w["attend_last.weight"], w["attend_each.weight"], w["attend"]
    alpha = softmax(np.array([q @ sigmoid(w1 @ f[t] + w2 @ f[i]) for i in range(t + 1)]))
    s_l = sum(alpha[i] * f[i] for i in range(t + 1))
    return w["output.weight"] @ np.concatenate([f[t], s_l])


def lgsr_queries(session, state, config):
    """(T, D) queries of all prefixes."""
    w = {name: np.asarray(array, np.float64) for name, array in state.items()}
    L = config.max_length
    return np.array([lgsr_query(session[: t + 1][-L:], w, config) for t in range(len(session))])
