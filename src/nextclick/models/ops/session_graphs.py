"""Graphs of all prefixes of a batch of sessions, made of its clicks by compiled kernels.

The graph of a prefix has a node for each of its distinct items. A model is asked for P prefixes,
named by the cell b * T + t of the click at which each ends.

A graph network (SR-GNN) gives each node of each prefix a state. From one prefix to the next, one
edge comes in, so that after one step of the network only the states of its two ends can differ;
after k steps, only those less than k edges away from them. `shared_graphs` lists each state that
differs once, with the states of the step before that it is made of: at most 2T - 1 for all
prefixes of T clicks after one step, where the prefixes alone have up to T (T + 1) / 2. Nothing is
approximated: the state of a node in a prefix is a function of that prefix.

A network that draws something for each node, or normalizes over the nodes of a batch (LESSR), has
no such states in common. `prefix_graphs` lists the nodes and edges of each prefix by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit

from nextclick.models.ops.kernels import grow

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import AnyArray, BoolArray, Float32Array, Int64Array

_SOME = 256  # entries that a list has room for before it grows


def whole_prefixes(items: AnyArray) -> Int64Array:
    """(P,) the cells of all prefixes of (B, T) items: those before the first padding of a row."""
    return np.flatnonzero(np.logical_and.accumulate(items != 0, axis=1))


def shared_graphs(
    items: Int64Array, where: Int64Array, *, steps: int = 1, counted: bool = False
) -> dict[str, AnyArray]:
    """The states of a graph network of `steps` steps over the graphs of prefixes, each once.

    Step 0 has a state for each cell of `items`; a node's is that of its first click in the row.
    For each later step k:
    - own_k (V,): the state of the same node one step before;
    - before_k, before_bounds_k, before_share_k: in CSR form, states of the step before of the
      nodes from which an edge comes, with their share. Binary edges: 1 / in-degree;
    - after_k, after_bounds_k, after_share_k: of the nodes to which an edge goes, 1 / out-degree.

    And of the prefixes:
    - cells (P,): `where`;
    - clicks, click_bounds: in CSR form, the state after the last step of the node of each click;
    - last (P,): that of the click at which the prefix ends.

    Args:
        items: (B, T) int64, right-padded with 0.
        where: (P,) int64, cells, ascending; none at or behind a padding.
        steps: of the network, at least 1.
        counted: an edge counts as often as it occurs; its share is its count over all counts.
    """
    graph: dict[str, AnyArray] = {"cells": where}
    for step in range(1, steps + 1):
        own, before, after, prefixes = _states(items, where, step, counted)
        graph[f"own_{step}"] = own
        for name, (source, bounds, share) in (("before", before), ("after", after)):
            graph[f"{name}_{step}"] = source
            graph[f"{name}_bounds_{step}"] = bounds
            graph[f"{name}_share_{step}"] = share
    graph["clicks"], graph["click_bounds"], graph["last"] = prefixes
    return graph


def prefix_graphs(items: Int64Array, where: Int64Array) -> dict[str, AnyArray]:
    """The graphs of LESSR, a pair for each prefix, over the same V nodes.

    - cells (P,): `where`;
    - nodes (V,): the cell of the first click of each node, by prefix and then in the order of
      first clicks; node_bounds (P + 1,); last (P,): the node at which the prefix ends;
    - messages (E,), message_counts (L,), receivers (R,): the multigraph with an edge for each pair
      of clicks that follow one another. `receivers` are the nodes with edges in, those with most
      first; `messages` are the nodes they come from: the earliest of each receiver, then the second
      of each that has two, and so on, with `message_counts` of them: a packed sequence;
    - shortcuts (F,), shortcut_bounds (V + 1,): in CSR form by receiver, an edge from each node to
      each that is clicked with or after its first click, itself included.

    Args:
        items: (B, T) int64, right-padded with 0.
        where: (P,) int64, cells, ascending; none at or behind a padding.
    """
    nodes, node_bounds, last, source, bounds, reach = _nodes(items, where)
    degree = np.diff(bounds)  # (V,)
    receivers = np.argsort(-degree, kind="stable")[: np.count_nonzero(degree)]
    messages, counts = _pack(source, bounds, receivers)
    shortcuts, shortcut_bounds = _shortcuts(node_bounds, reach)
    return {
        "cells": where,
        "nodes": nodes,
        "node_bounds": node_bounds,
        "last": last,
        "messages": messages,
        "message_counts": counts,
        "receivers": receivers,
        "shortcuts": shortcuts,
        "shortcut_bounds": shortcut_bounds,
    }


def given_or_built(encoder: Any, items: Tensor, told: dict[str, Tensor]) -> dict[str, Tensor]:
    """What an encoder was told of the prefixes, or what it makes of all prefixes of a batch."""
    if told:
        return told
    clicks = items.cpu().numpy()
    made = encoder.prepared(clicks, whole_prefixes(clicks), None)
    return {name: torch.from_numpy(array).to(items.device) for name, array in made.items()}


def placed(queries: Tensor, cells: Tensor, items: Tensor) -> Tensor:
    """(B, T, D) with the (P, D) queries in their cells, 0 in all others."""
    B, T = items.shape
    everywhere = queries.new_zeros(B * T, queries.shape[1])
    return everywhere.index_copy(0, cells, queries).view(B, T, -1)


@njit(cache=True, nogil=True)
def _node_of(items: AnyArray, row: int, click: int, first: Int64Array, n_nodes: int) -> int:
    """The node of a click, `n_nodes` if it is a new one."""
    for node in range(n_nodes):
        if items[row, first[node]] == items[row, click]:
            return node
    return n_nodes


@njit(cache=True, nogil=True)
def _take(
    items: AnyArray,
    row: int,
    click: int,
    first: Int64Array,
    node_of: Int64Array,
    n_nodes: int,
    edges: tuple[Int64Array, Int64Array, Float32Array],
    n_edges: int,
    counted: bool,
    relinked: BoolArray,
) -> tuple[int, int]:
    """Take in a click; how many nodes and edges there are then. Marks whom it changes."""
    node = _node_of(items, row, click, first, n_nodes)
    if node == n_nodes:
        first[node], relinked[node] = click, True
        n_nodes += 1
    node_of[click] = node
    if click == 0:
        return n_nodes, n_edges
    source, target, count = edges
    before = node_of[click - 1]
    for e in range(n_edges):
        if source[e] == before and target[e] == node:
            if counted:
                count[e] += 1
                relinked[before] = relinked[node] = True
            return n_nodes, n_edges
    source[n_edges], target[n_edges], count[n_edges] = before, node, 1
    relinked[before] = relinked[node] = True
    return n_nodes, n_edges + 1


@njit(cache=True, nogil=True)
def _stale(
    node: int,
    source: Int64Array,
    target: Int64Array,
    n_edges: int,
    relinked: BoolArray,
    changed: BoolArray,
) -> bool:
    """Whether a state differs from the one before: its edges do, or what it is made of."""
    if relinked[node] or changed[node]:
        return True
    for e in range(n_edges):
        if (source[e] == node and changed[target[e]]) or (target[e] == node and changed[source[e]]):
            return True
    return False


@njit(cache=True, nogil=True)
def _neighbors(
    node: int,
    ends: Int64Array,
    others: Int64Array,
    count: Float32Array,
    n_edges: int,
    latest: Int64Array,
    found: Int64Array,
    share: Float32Array,
    at: int,
) -> int:
    """Write the states of those that `node` shares an edge with; where the list ends then."""
    total, begin = np.float32(0.0), at
    for e in range(n_edges):
        if ends[e] == node:
            found[at], share[at] = latest[others[e]], count[e]
            total += count[e]
            at += 1
    for k in range(begin, at):
        share[k] /= total
    return at


@njit(cache=True, nogil=True)
def _states(
    items: AnyArray, where: Int64Array, step: int, counted: bool
) -> tuple[
    AnyArray,
    tuple[AnyArray, AnyArray, AnyArray],
    tuple[AnyArray, AnyArray, AnyArray],
    tuple[AnyArray, AnyArray, AnyArray],
]:
    """(V,) own, neighbors before and after, and the clicks of the prefixes, of a step."""
    T = items.shape[1]
    first, node_of = np.empty(T, np.int64), np.empty(T, np.int64)
    edges = np.empty(T, np.int64), np.empty(T, np.int64), np.empty(T, np.float32)
    source, target, count = edges
    latest = np.empty((step + 1, T), np.int64)
    changed = np.zeros((step + 1, T), np.bool_)  # of step 0 nothing changes
    relinked = np.zeros(T, np.bool_)
    made = np.zeros(step + 1, np.int64)

    own = np.empty(_SOME, np.int64)
    before, before_share = np.empty(_SOME, np.int64), np.empty(_SOME, np.float32)
    after, after_share = np.empty(_SOME, np.int64), np.empty(_SOME, np.float32)
    before_bounds, after_bounds = np.zeros(_SOME, np.int64), np.zeros(_SOME, np.int64)
    clicks = np.empty(_SOME, np.int64)
    click_bounds, last = np.zeros(len(where) + 1, np.int64), np.empty(len(where), np.int64)

    row, done, n_nodes, n_edges = -1, 0, 0, 0
    for p in range(len(where)):
        if where[p] // T != row:
            row, done, n_nodes, n_edges = where[p] // T, 0, 0, 0
        t = where[p] % T
        while done <= t:
            n_nodes, n_edges = _take(
                items, row, done, first, node_of, n_nodes, edges, n_edges, counted, relinked
            )
            done += 1
        for node in range(n_nodes):
            latest[0, node] = row * T + first[node]
        for k in range(1, step + 1):
            for node in range(n_nodes):
                changed[k, node] = _stale(node, source, target, n_edges, relinked, changed[k - 1])
                if not changed[k, node]:
                    continue
                state = made[k]
                latest[k, node] = state
                made[k] += 1
                if k < step:
                    continue
                own = grow(own, state, 1)
                before_bounds = grow(before_bounds, state + 1, 1)
                after_bounds = grow(after_bounds, state + 1, 1)
                own[state] = latest[k - 1, node]
                at = before_bounds[state]
                before, before_share = grow(before, at, T), grow(before_share, at, T)
                before_bounds[state + 1] = _neighbors(
                    node, target, source, count, n_edges, latest[k - 1], before, before_share, at
                )
                at = after_bounds[state]
                after, after_share = grow(after, at, T), grow(after_share, at, T)
                after_bounds[state + 1] = _neighbors(
                    node, source, target, count, n_edges, latest[k - 1], after, after_share, at
                )
        relinked[:n_nodes] = False
        at = click_bounds[p]
        clicks = grow(clicks, at, t + 1)
        for j in range(t + 1):
            clicks[at + j] = latest[step, node_of[j]]
        click_bounds[p + 1] = at + t + 1
        last[p] = latest[step, node_of[t]]
    V = made[step]
    n_before, n_after = before_bounds[V], after_bounds[V]
    return (
        own[:V],
        (before[:n_before], before_bounds[: V + 1], before_share[:n_before]),
        (after[:n_after], after_bounds[: V + 1], after_share[:n_after]),
        (clicks[: click_bounds[-1]], click_bounds, last),
    )


@njit(cache=True, nogil=True)
def _nodes(
    items: AnyArray, where: Int64Array
) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray, AnyArray, AnyArray]:
    """(V,) nodes with their bounds; last; sources of the edges in with their bounds; reach.

    The reach of a node is how many nodes of its prefix are clicked first before or with its last
    click. Nodes stand in the order of first clicks, so that these are the first ones.
    """
    T = items.shape[1]
    first, node_of = np.empty(T, np.int64), np.empty(T, np.int64)
    nodes_until = np.empty(T, np.int64)  # distinct items up to each click
    nodes, reach = np.empty(_SOME, np.int64), np.empty(_SOME, np.int64)
    source, bounds = np.empty(_SOME, np.int64), np.zeros(_SOME, np.int64)
    node_bounds, last = np.zeros(len(where) + 1, np.int64), np.empty(len(where), np.int64)
    row, done, n_nodes = -1, 0, 0
    for p in range(len(where)):
        if where[p] // T != row:
            row, done, n_nodes = where[p] // T, 0, 0
        t = where[p] % T
        while done <= t:
            node = _node_of(items, row, done, first, n_nodes)
            if node == n_nodes:
                first[node] = done
                n_nodes += 1
            node_of[done], nodes_until[done] = node, n_nodes
            done += 1
        base = node_bounds[p]
        node_bounds[p + 1] = base + n_nodes
        nodes, reach = grow(nodes, base, n_nodes), grow(reach, base, n_nodes)
        bounds = grow(bounds, base + 1, n_nodes)
        source = grow(source, bounds[base], t)
        for node in range(n_nodes):
            nodes[base + node] = row * T + first[node]
            at = bounds[base + node]
            for j in range(t + 1):
                if node_of[j] == node:
                    reach[base + node] = nodes_until[j]
                    if j > 0:
                        source[at] = base + node_of[j - 1]
                        at += 1
            bounds[base + node + 1] = at
        last[p] = base + node_of[t]
    V = node_bounds[-1]
    return nodes[:V], node_bounds, last, source[: bounds[V]], bounds[: V + 1], reach[:V]


@njit(cache=True, nogil=True)
def _pack(
    source: Int64Array, bounds: Int64Array, receivers: Int64Array
) -> tuple[AnyArray, AnyArray]:
    """Messages in the order of a packed sequence, and how many receivers get a k-th one."""
    longest = bounds[receivers[0] + 1] - bounds[receivers[0]] if len(receivers) else 0
    counts = np.zeros(longest, np.int64)
    messages = np.empty(len(source), np.int64)
    at = 0
    for k in range(longest):
        for r in receivers:
            if bounds[r] + k >= bounds[r + 1]:
                break
            messages[at] = source[bounds[r] + k]
            counts[k] += 1
            at += 1
    return messages, counts


@njit(cache=True, nogil=True)
def _shortcuts(node_bounds: Int64Array, reach: Int64Array) -> tuple[AnyArray, AnyArray]:
    """For each node the first `reach` nodes of its prefix."""
    bounds = np.zeros(len(reach) + 1, np.int64)
    bounds[1:] = np.cumsum(reach)
    found = np.empty(bounds[-1], np.int64)
    for p in range(len(node_bounds) - 1):
        for node in range(node_bounds[p], node_bounds[p + 1]):
            for k in range(reach[node]):
                found[bounds[node] + k] = node_bounds[p] + k
    return found, bounds
