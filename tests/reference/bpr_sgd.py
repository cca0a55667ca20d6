"""The slow twin of BPR-MF and FPMC: one step after the other, over lists of item indices."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np


def bpr_mf(log, n_items, config, seed, users=None, n_users=0):
    """(items, bias, users) as BPRMF learns them, in float64."""
    owners = list(range(len(log)))
    if config.of == "user":
        owners = [u or n_users + 1 + s for s, u in enumerate(users)]
    n_users = n_users if config.of == "user" else 0
    clicks = [(i, owners[s]) for s, session in enumerate(log) for i in session if i > 0]
    rng = np.random.default_rng([seed, 0])

    def uniform(n_rows):
        table = (rng.random((n_rows, config.factors), dtype=np.float32) - 0.5) * 2
        return table.astype(float) * config.init_range

    items, contexts = uniform(n_items + 1), uniform(max([n_users, *owners]) + 1)
    bias, nobody = np.zeros(n_items + 1), np.zeros((1, 0))
    samples = [(i, owner, 0, owner) for i, owner in clicks]
    pool = [i for i, _ in clicks][:n_items] if config.negatives == "first-clicks" else None
    _train(samples, clicks, contexts, nobody, items, bias, config, seed, config.bias, 0.0, pool)
    of_users = contexts[: n_users + 1]
    for u in range(n_users + 1):
        if u not in [owner for _, owner in clicks]:
            of_users[u] = 0
    items[0] = of_users[0] = 0
    return items, bias, of_users


def fpmc(log, n_items, config, seed, users=None, n_users=0):
    """(last, users, items) as FPMC learns them, in float64."""
    known = [[i for i in session if i > 0] for session in log]
    clicks = [(i, s) for s, session in enumerate(known) for i in session]
    samples = [
        (then, i, users[s] if config.users else 0, s)
        for s, session in enumerate(known)
        for i, then in pairwise(session)
    ]
    rng = np.random.default_rng([seed, 0])

    def normal(n_rows, width):
        return rng.standard_normal((n_rows, width), dtype=np.float32) * float(config.init_std)

    D = config.factors
    last, items = normal(n_items + 1, D), normal(n_items + 1, 2 * D if config.users else D)
    of_users = normal(n_users + 1, D) if config.users else np.zeros((1, 0))
    bias = np.zeros(n_items + 1)
    dropout = config.user_dropout
    _train(samples, clicks, last, of_users, items, bias, config, seed, False, dropout)
    for u in range(len(of_users)):
        if u not in [user for _, _, user, _ in samples]:
            of_users[u] = of_users[0]
    last[0] = items[0] = 0
    return last, of_users, items


def _train(
    samples, clicks, contexts, users, items, bias, config, seed, train_bias, dropout, pool=None
):
    D, rate, keep = contexts.shape[1], config.learning_rate, config.regularization
    for epoch in range(1, config.epochs + 1):
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(samples))
        drawn, dropped = rng.random((2, len(samples)))
        for step, sample in enumerate(order):
            i, context, user, owner = samples[sample]
            avoided = {item for item, other in clicks if other == owner}
            free = pool or [j for j in range(1, len(bias)) if j not in avoided]
            if not free:
                continue
            j = free[int(drawn[step] * len(free))]
            if j == i:
                continue
            row = 0 if dropped[step] < dropout else user
            p, r, q, o = contexts[context], users[row], items[i], items[j]
            before = np.concatenate([p, r])
            x = before @ (q - o) + bias[i] - bias[j]
            c = 1 / (1 + math.exp(x))
            change = rate * (c * (q - o) - keep * before)
            q_change, o_change = (rate * (s * c * before - keep * v) for s, v in ((1, q), (-1, o)))
            p += change[:D]
            r += change[D:]
            q += q_change
            o += o_change
            if train_bias:
                bias[i] += rate * (c - keep * bias[i])
                bias[j] += rate * (-c - keep * bias[j])
