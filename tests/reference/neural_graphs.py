"""SR-GNN, LESSR and CSRM by their equations, prefix by prefix, in float64."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from reference.neural_gru import gru, gru_step, sigmoid
from reference.neural_narm import attention
from reference.session_graphs import adjacency, distinct, multigraph, shortcuts


def linear(state, name, x):
    """W x + b, where there is a b."""
    return state[f"{name}.weight"].astype(np.float64) @ x + state.get(f"{name}.bias", 0.0)


def softmax(energies):
    """A softmax of a list of energies."""
    exponentials = np.exp(np.array(energies) - max(energies))
    return exponentials / exponentials.sum()


def sr_gnn_queries(session, state, config):
    """One query for each prefix of a session."""
    return [_sr_gnn(session[: t + 1], state, config) for t in range(len(session))]


def _gated(prefix, nodes, state, steps, edges):
    """(V, D) states of the nodes after the gated graph network."""
    hidden = state["items.weight"][nodes].astype(np.float64)
    for _ in range(steps):
        messages = []
        for matrix, name in zip(adjacency(prefix, edges), ("into", "out_of"), strict=True):
            rows = np.array([linear(state, f"network.{name}", h) for h in hidden])
            messages.append(matrix @ rows + state[f"network.{name}_bias"])
        hidden = np.array(
            [
                gru_step(
                    linear(
                        {
                            "gates.weight": state["network.gates.weight_ih"],
                            "gates.bias": state["network.gates.bias_ih"],
                        },
                        "gates",
                        np.concatenate([before, after]),
                    ),
                    h,
                    state["network.gates.weight_hh"].astype(np.float64),
                    state["network.gates.bias_hh"],
                )
                for before, after, h in zip(*messages, hidden, strict=True)
            ]
        )
    return hidden


def _sr_gnn(prefix, state, config):
    nodes = distinct(prefix)
    hidden = _gated(prefix, nodes, state, config.steps, config.edges)
    clicks = [hidden[nodes.index(item)] for item in prefix]
    last = clicks[-1]
    if config.variant == "local":
        return last
    total = np.zeros_like(last)
    for z in clicks:
        inner = linear(state, "attend_last", last) + linear(state, "attend_each", z)
        total += (state["attend"] @ sigmoid(inner)) * z
    if config.variant == "global":
        return total
    return linear(state, "output", np.concatenate([total, last]))


def tasrec_queries(session, state, config):
    """One query for each prefix of a session, with the temporal graph of the state."""
    temporal = None if config.variant == "base" else tasrec_items(state, config)
    return [_tasrec(session[: t + 1], temporal, state, config) for t in range(len(session))]


def tasrec_items(state, config):
    """{item: normalized mean over all rounds}, with rounds over the whole catalog."""
    linked = defaultdict(dict)
    for key, weight in zip(state["graph_edges"], state["graph_weights"], strict=True):
        i, j, e = int(key) >> 32, int(key) & (2**32 - 1), int(weight) / 2**40
        if e >= config.threshold:
            linked[i][j] = linked[j][i] = e
    x = state["items.weight"].astype(np.float64)
    rounds = [x]
    for k in range(config.hops):
        layer = k if config.layer_weights == "own" else 0
        new = np.zeros_like(x)
        for i in range(len(x)):
            total = sum((e * rounds[-1][j] for j, e in linked[i].items()), rounds[-1][i])
            y = linear(state, f"temporal.layers.{layer}", total / (sum(linked[i].values()) + 1))
            new[i] = np.where(y > 0, y, 0.01 * y)
        rounds.append(new)
    mean = sum(rounds) / (config.hops + 1)
    return {i: row / np.sqrt((row**2).sum()) for i, row in enumerate(mean) if i}


def _tasrec(prefix, temporal, state, config):
    nodes = distinct(prefix)
    hidden = np.zeros((len(nodes), state["items.weight"].shape[1]))
    if config.variant != "temp":
        hidden = _gated(prefix, nodes, state, config.steps, config.session_edges)
    if temporal is not None:
        hidden = hidden + np.array([temporal[item] for item in nodes])
    clicks = [hidden[nodes.index(item)] for item in prefix]
    last = clicks[-1]
    total = np.zeros_like(last)
    for z in clicks:
        inner = linear(state, "attend_last", last) + linear(state, "attend_each", z)
        total += (state["attend"] @ sigmoid(inner)) * z
    return linear(state, "output", np.concatenate([total, last]))


def _batch_norm(rows, state, name):
    """Rows normalized with the running mean and variance."""
    if f"{name}.running_mean" not in state:
        return rows
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    scaled = (rows - mean) / np.sqrt(variance.astype(np.float64) + 1e-5)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def _prelu(x, state, name):
    return np.where(x > 0, x, state[f"{name}.weight"] * x)


def _limit_norm(item, state):
    """The embedding of an item, scaled down to norm 1 if longer."""
    x = state["items.weight"][item].astype(np.float64)
    return x / max(np.sqrt((x**2).sum()), 1.0)


def lessr_queries(session, state, config):
    """One query for each prefix of a session."""
    return [_lessr(session[: t + 1], state, config) for t in range(len(session))]


def _lessr(prefix, state, config):
    nodes = distinct(prefix)
    x = np.array([_limit_norm(item, state) for item in nodes])
    for number in range(config.layers):
        name = f"layers.{number}"
        layer = _sgat if number % 2 else _eopa
        y = layer(prefix, nodes, _batch_norm(x, state, f"{name}.norm"), state, name)
        x = np.concatenate([_prelu(y, state, f"{name}.activation"), x], axis=1)
    last = nodes.index(prefix[-1])
    rows = _batch_norm(x, state, "readout.norm")
    query = linear(state, "readout.last", rows[last])
    alpha = softmax(
        [state["readout.attend"] @ sigmoid(linear(state, "readout.each", r) + query) for r in rows]
    )
    session = _prelu(linear(state, "readout.output", alpha @ rows), state, "readout.activation")
    return linear(state, "output", _batch_norm(np.concatenate([x[last], session]), state, "norm"))


def _eopa(prefix, nodes, x, state, name):
    rows = []
    for item in nodes:
        y = linear(state, f"{name}.own", x[nodes.index(item)])
        messages = [x[nodes.index(sender)] for sender in multigraph(prefix)[item]]
        if messages:
            y = y + linear(state, f"{name}.neighbors", gru(messages, state, f"{name}.gru.")[-1])
        rows.append(y)
    return np.array(rows)


def _sgat(prefix, nodes, x, state, name):
    rows = []
    for item in nodes:
        senders = [x[nodes.index(sender)] for sender in shortcuts(prefix)[item]]
        query = linear(state, f"{name}.receiver", x[nodes.index(item)])
        alpha = softmax(
            [
                state[f"{name}.attend"] @ sigmoid(linear(state, f"{name}.sender", s) + query)
                for s in senders
            ]
        )
        rows.append(
            sum(a * linear(state, f"{name}.value", s) for a, s in zip(alpha, senders, strict=True))
        )
    return np.array(rows)


def csrm_queries(session, state, config, owner=None):
    """One query for each prefix of a session; vectors of session `owner` are excluded."""
    inputs = [state["items.weight"][i] for i in session]
    whole, hidden = gru(inputs, state, "whole."), gru(inputs, state, "purpose.")
    queries = []
    for t in range(len(session)):
        alpha = attention(hidden, t, state, "softmax")
        purpose = sum(a * h for a, h in zip(alpha, hidden, strict=False))
        o = _read_memory(purpose, state, config, owner)
        g, purpose, o = (_standardize(x) for x in (whole[t], purpose, o))
        f = sigmoid(state["gate.weight"][0] @ np.concatenate([purpose, o, g]))
        c = f * np.concatenate([purpose, g]) + (1 - f) * np.concatenate([o, o])
        queries.append(state["bilinear.weight"] @ c)
    return queries


def _read_memory(purpose, state, config, owner):
    candidates = []
    held, session = state["memory.held"].astype(np.float64), state["memory.session"]
    for vector, vector_owner in zip(held, session, strict=True):
        if vector_owner != -1 and (owner is None or vector_owner != owner):
            norms = np.sqrt((vector**2).sum() * (purpose**2).sum())
            candidates.append((vector @ purpose / norms, vector))
    if not candidates:
        return purpose
    candidates.sort(key=lambda pair: -pair[0])
    nearest = candidates[: config.neighbors]
    weights = softmax([cosine for cosine, _ in nearest])
    return sum(w * vector for w, (_, vector) in zip(weights, nearest, strict=True))


def _standardize(x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-10)
