"""Compiled kernels that build SR-GNN's graphs; see `session_graphs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numba import njit

from nextclick.models.ops.kernels import grow

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, BoolArray, Float32Array, Int64Array

    _CSR: TypeAlias = tuple[AnyArray, AnyArray, AnyArray]  # source, bounds and share

INITIAL_CAPACITY = 256  # entries of an array that grows


class _Graph(NamedTuple):
    """The graph of the current prefix of a row, in arrays of length T.

    Attributes:
        first_click: the first click of each node.
        node_of: the node of each click.
        source: the node that each edge comes from.
        target: the node that each edge goes to.
        weight: how often each edge counts.
        relinked: whether the edges of a node changed since the last requested prefix.
        size: (2,) the numbers of nodes and edges.
    """

    first_click: Int64Array
    node_of: Int64Array
    source: Int64Array
    target: Int64Array
    weight: Float32Array
    relinked: BoolArray
    size: Int64Array


@njit(cache=True, nogil=True)
def node_of_click(clicks: AnyArray, t: int, first_click: Int64Array, n_nodes: int) -> int:
    """The node of click t; `n_nodes` if its item is new."""
    for node in range(n_nodes):
        if clicks[first_click[node]] == clicks[t]:
            return node
    return n_nodes


@njit(cache=True, nogil=True)
def _add_click(graph: _Graph, clicks: AnyArray, t: int, counted: bool) -> None:
    """Add click t of a row to the graph of the clicks before it."""
    first_click, node_of, source, target, weight, relinked, size = graph
    n_nodes, n_edges = size[0], size[1]
    node = node_of_click(clicks, t, first_click, n_nodes)
    if node == n_nodes:
        first_click[node], relinked[node] = t, True
        size[0] += 1
    node_of[t] = node
    if t == 0:
        return
    previous = node_of[t - 1]
    for e in range(n_edges):
        if source[e] == previous and target[e] == node:
            if counted:
                weight[e] += 1
                relinked[previous] = relinked[node] = True
            return
    source[n_edges], target[n_edges], weight[n_edges] = previous, node, 1
    relinked[previous] = relinked[node] = True
    size[1] += 1


@njit(cache=True, nogil=True)
def _reads_changed(node: int, source: AnyArray, target: AnyArray, changed: BoolArray) -> bool:
    """Whether a node has an edge (E,) from or to a node whose state changed."""
    for e in range(len(source)):
        if (source[e] == node and changed[target[e]]) or (target[e] == node and changed[source[e]]):
            return True
    return False


@njit(cache=True, nogil=True)
def _update_states(
    graph: _Graph, row_cell: int, latest: Int64Array, changed: BoolArray, n_states: Int64Array
) -> None:
    """Number the states of a prefix that differ from those of the prefix before.

    Args:
        graph: the graph of the prefix.
        row_cell: the cell of the first click of the row.
        latest: (steps + 1, T) the current state of each node after each step.
        changed: (steps + 1, T) whether that state is new; False before the first step.
        n_states: (steps + 1,) the number of states of each step.
    """
    n_nodes, n_edges = graph.size[0], graph.size[1]
    source, target = graph.source[:n_edges], graph.target[:n_edges]
    first_click, relinked = graph.first_click[:n_nodes], graph.relinked[:n_nodes]
    for node in range(n_nodes):
        latest[0, node] = row_cell + first_click[node]
    for k in range(1, len(latest)):
        previous = changed[k - 1]
        for node in range(n_nodes):
            changed[k, node] = (
                relinked[node] or previous[node] or _reads_changed(node, source, target, previous)
            )
            if changed[k, node]:
                latest[k, node] = n_states[k]
                n_states[k] += 1
    relinked[:] = False


@njit(cache=True, nogil=True)
def _write_neighbors(
    csr: _CSR,
    state: int,
    node: int,
    ends: AnyArray,
    other_ends: AnyArray,
    weight: AnyArray,
    latest: AnyArray,
) -> None:
    """Write the neighbors of a node as the next row of a CSR.

    Args:
        csr: the rows of all states before.
        state: the row.
        node: the node; its edges are those with `ends[e] == node`.
        ends: (E,) the node at one end of each edge.
        other_ends: (E,) the node at the other end.
        weight: (E,) how often each edge counts.
        latest: (V,) the state of each node after the step before.
    """
    source, bounds, share = csr
    begin = end = bounds[state]
    total = np.float32(0.0)
    for e in range(len(weight)):
        if ends[e] == node:
            source[end], share[end] = latest[other_ends[e]], weight[e]
            total += weight[e]
            end += 1
    for k in range(begin, end):
        share[k] /= total
    bounds[state + 1] = end


@njit(cache=True, nogil=True)
def _grow_csr(csr: _CSR, n_rows: int, more_rows: int, more_entries: int) -> _CSR:
    """Return a CSR with the same rows and room for more."""
    source, bounds, share = csr
    n_entries = bounds[n_rows]
    return (
        grow(source, n_entries, more_entries),
        grow(bounds, n_rows + 1, more_rows),
        grow(share, n_entries, more_entries),
    )


@njit(cache=True, nogil=True)
def _trim_csr(csr: _CSR, n_rows: int) -> _CSR:
    """Return the used part of the arrays of a CSR."""
    source, bounds, share = csr
    return source[: bounds[n_rows]], bounds[: n_rows + 1], share[: bounds[n_rows]]


@njit(cache=True, nogil=True)
def _write_states(
    graph: _Graph, latest: AnyArray, changed: AnyArray, own: AnyArray, before: _CSR, after: _CSR
) -> None:
    """Write what the new states of a prefix are computed from.

    Args:
        graph: the graph of the prefix.
        latest: (2, T) the state of each node after the step before, and after the last step.
        changed: (T,) whether the state after the last step is new.
        own: see `GraphStep`, and so the next two.
        before: the predecessors.
        after: the successors.
    """
    n_nodes, n_edges = graph.size[0], graph.size[1]
    source, target = graph.source[:n_edges], graph.target[:n_edges]
    weight, previous = graph.weight[:n_edges], latest[0]
    for node in range(n_nodes):
        if changed[node]:
            state = latest[1, node]
            own[state] = previous[node]
            _write_neighbors(before, state, node, target, source, weight, previous)
            _write_neighbors(after, state, node, source, target, weight, previous)


@njit(cache=True, nogil=True)
def _empty_csr() -> _CSR:
    source = np.empty(INITIAL_CAPACITY, np.int64)
    return source, np.zeros(INITIAL_CAPACITY, np.int64), np.empty(INITIAL_CAPACITY, np.float32)


@njit(cache=True, nogil=True)
def _empty_graph(T: int) -> _Graph:
    return _Graph(
        np.empty(T, np.int64),
        np.empty(T, np.int64),
        np.empty(T, np.int64),
        np.empty(T, np.int64),
        np.empty(T, np.float32),
        np.zeros(T, np.bool_),
        np.zeros(2, np.int64),
    )


@njit(cache=True, nogil=True)
def graph_states(
    items: AnyArray, cells: Int64Array, step: int, counted: bool
) -> tuple[AnyArray, _CSR, _CSR, tuple[AnyArray, AnyArray, AnyArray]]:
    """The arrays of a `GraphStep`, and (clicks, click_bounds, last) of the prefixes after it."""
    T = items.shape[1]
    graph = _empty_graph(T)
    node_of = graph.node_of  # numba counts references at each access to a field
    latest = np.empty((step + 1, T), np.int64)
    changed = np.zeros((step + 1, T), np.bool_)
    n_states = np.zeros(step + 1, np.int64)
    own = np.empty(INITIAL_CAPACITY, np.int64)
    before, after = _empty_csr(), _empty_csr()
    clicks = np.empty(INITIAL_CAPACITY, np.int64)
    click_bounds, last = np.zeros(len(cells) + 1, np.int64), np.empty(len(cells), np.int64)
    row, n_read = -1, 0
    for p in range(len(cells)):
        if cells[p] // T != row:
            row, n_read = cells[p] // T, 0
            graph.size[:] = 0
        t = cells[p] % T
        while n_read <= t:
            _add_click(graph, items[row], n_read, counted)
            n_read += 1
        n_nodes, n_edges = graph.size[0], graph.size[1]
        n_before = n_states[step]
        _update_states(graph, row * T, latest, changed, n_states)
        own = grow(own, n_before, n_nodes)
        before = _grow_csr(before, n_before, n_nodes, n_edges)
        after = _grow_csr(after, n_before, n_nodes, n_edges)
        _write_states(graph, latest[step - 1 :], changed[step], own, before, after)
        begin = click_bounds[p]
        clicks = grow(clicks, begin, t + 1)
        for j in range(t + 1):
            clicks[begin + j] = latest[step, node_of[j]]
        click_bounds[p + 1] = begin + t + 1
        last[p] = clicks[begin + t]
    V = n_states[step]
    return (
        own[:V],
        _trim_csr(before, V),
        _trim_csr(after, V),
        (clicks[: click_bounds[-1]], click_bounds, last),
    )
