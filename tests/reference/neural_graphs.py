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
    """Shares that add up to 1."""
    powers = np.exp(np.array(energies) - max(energies))
    return powers / powers.sum()


def sr_gnn_queries(session, state, config):
    """One query for each prefix of a session."""
    return [_sr_gnn(session[: t + 1], state, config) for t in range(len(session))]


def _gated(prefix, nodes, state, steps, edges):
    """(V, D) states of the nodes after the gated graph network."""
    hidden = state["items.weight"][nodes].astype(np.float64)
    for _ in range(steps):
        sent = []
        for matrix, name in zip(adjacency(prefix, edges), ("into", "out_of"), strict=True):
            each = np.array([linear(state, f"network.{name}", h) for h in hidden])
            sent.append(matrix @ each + state[f"network.{name}_bias"])
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
                for before, after, h in zip(*sent, hidden, strict=True)
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
    """One query for each prefix of a session, on the day after those of the graph."""
    temporal = None if config.variant == "base" else tasrec_items(state, config)
    return [_tasrec(session[: t + 1], temporal, state, config) for t in range(len(session))]


def tasrec_items(state, config):
    """{item: its normed mean over all rounds}, by rounds over the whole catalog."""
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
            met = sum((e * rounds[-1][j] for j, e in linked[i].items()), rounds[-1][i])
            met = linear(state, f"temporal.layers.{layer}", met / (sum(linked[i].values()) + 1))
            new[i] = np.where(met > 0, met, 0.01 * met)
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


def _normed(rows, state, name):
    """With the mean and variance that are kept."""
    if f"{name}.running_mean" not in state:
        return rows
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    scaled = (rows - mean) / np.sqrt(variance.astype(np.float64) + 1e-5)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def _prelu(x, state, name):
    return np.where(x > 0, x, state[f"{name}.weight"] * x)


def _read(item, state):
    x = state["items.weight"][item].astype(np.float64)
    return x / max(np.sqrt((x**2).sum()), 1.0)


def lessr_queries(session, state, config):
    """One query for each prefix of a session."""
    return [_lessr(session[: t + 1], state, config) for t in range(len(session))]


def _lessr(prefix, state, config):
    nodes = distinct(prefix)
    x = np.array([_read(item, state) for item in nodes])
    for number in range(config.layers):
        name = f"layers.{number}"
        layer = _sgat if number % 2 else _eopa
        given = layer(prefix, nodes, _normed(x, state, f"{name}.norm"), state, name)
        x = np.concatenate([_prelu(given, state, f"{name}.activation"), x], axis=1)
    at = nodes.index(prefix[-1])
    read = _normed(x, state, "readout.norm")
    asked = linear(state, "readout.last", read[at])
    alpha = softmax(
        [state["readout.attend"] @ sigmoid(linear(state, "readout.each", r) + asked) for r in read]
    )
    whole = _prelu(linear(state, "readout.output", alpha @ read), state, "readout.activation")
    return linear(state, "output", _normed(np.concatenate([x[at], whole]), state, "norm"))


def _eopa(prefix, nodes, x, state, name):
    given = []
    for item in nodes:
        y = linear(state, f"{name}.own", x[nodes.index(item)])
        sent = [x[nodes.index(sender)] for sender in multigraph(prefix)[item]]
        if sent:
            y = y + linear(state, f"{name}.neighbors", gru(sent, state, f"{name}.gru.")[-1])
        given.append(y)
    return np.array(given)


def _sgat(prefix, nodes, x, state, name):
    given = []
    for item in nodes:
        senders = [x[nodes.index(sender)] for sender in shortcuts(prefix)[item]]
        own = linear(state, f"{name}.receiver", x[nodes.index(item)])
        alpha = softmax(
            [
                state[f"{name}.attend"] @ sigmoid(linear(state, f"{name}.sender", s) + own)
                for s in senders
            ]
        )
        given.append(
            sum(a * linear(state, f"{name}.value", s) for a, s in zip(alpha, senders, strict=True))
        )
    return np.array(given)


def csrm_queries(session, state, config, owner=None):
    """One query for each prefix of a session, whose own vectors in memory are left out."""
    inputs = [state["items.weight"][i] for i in session]
    whole, hidden = gru(inputs, state, "whole."), gru(inputs, state, "purpose.")
    queries = []
    for t in range(len(session)):
        alpha = attention(hidden, t, state, "softmax")
        purpose = sum(a * h for a, h in zip(alpha, hidden, strict=False))
        others = _remembered(purpose, state, config, owner)
        g, purpose, others = (_standard(x) for x in (whole[t], purpose, others))
        f = sigmoid(state["gate.weight"][0] @ np.concatenate([purpose, others, g]))
        c = f * np.concatenate([purpose, g]) + (1 - f) * np.concatenate([others, others])
        queries.append(state["bilinear.weight"] @ c)
    return queries


def _remembered(purpose, state, config, owner):
    found = []
    held, session = state["memory.held"].astype(np.float64), state["memory.session"]
    for vector, of in zip(held, session, strict=True):
        if of != -1 and (owner is None or of != owner):
            norms = np.sqrt((vector**2).sum() * (purpose**2).sum())
            found.append((vector @ purpose / norms, vector))
    if not found:
        return purpose
    found.sort(key=lambda pair: -pair[0])
    nearest = found[: config.neighbors]
    share = softmax([cosine for cosine, _ in nearest])
    return sum(s * vector for s, (_, vector) in zip(share, nearest, strict=True))


def _standard(x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-10)
