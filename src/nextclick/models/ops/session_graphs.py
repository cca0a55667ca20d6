"""SR-GNN's graphs of all prefixes of a batch of sessions, with states that prefixes share.

The graph of a prefix has a node for each distinct item, and an edge u → v where v is clicked right
after u. A graph network gives each node of each prefix a state. A further click adds at most one
edge: after one step of the network only the states of its two ends can differ from those of the
prefix before, and after k steps only the states less than k edges away from them. Each state that
differs is computed once. For T clicks these are at most 2T - 1 states after one step, where
separate prefixes have up to T (T + 1) / 2. The result is exact, because the state of a node is a
function of its prefix alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numba import njit

from nextclick.models.ops.kernels import grow
from nextclick.models.ops.prefix_inputs import TensorRecord, tensors

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import AnyArray, BoolArray, Float32Array, Int64Array

INITIAL_CAPACITY = 256  # entries of an array that grows


@dataclass(frozen=True, slots=True, eq=False)
class NeighborStates(TensorRecord):
    """The neighbors of each of V states, in CSR form.

    Attributes:
        source: (E,) int64, the state of each neighbor after the step before.
        bounds: (V + 1,) int64; state v has the neighbors `source[bounds[v]:bounds[v + 1]]`.
        share: (E,) float32, the weight of each neighbor; the weights of a state add up to 1.
    """

    source: Tensor
    bounds: Tensor
    share: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class GraphStep(TensorRecord):
    """What the V states of one step of the network are computed from.

    Attributes:
        own: (V,) int64, the state of the same node after the step before.
        predecessors: the nodes with an edge to the node. Share of a binary edge: 1 / in-degree.
        successors: the nodes with an edge from the node. Share of a binary edge: 1 / out-degree.
    """

    own: Tensor
    predecessors: NeighborStates
    successors: NeighborStates


@dataclass(frozen=True, slots=True, eq=False)
class SessionGraph(TensorRecord):
    """The graphs of P prefixes.

    Attributes:
        cells: (P,) int64, the cell of the last click of each prefix, ascending.
        steps: one entry for each step of the network. The states before the first step are the
            B * T cells; the state of a node is then the cell of its first click.
        clicks: (E,) int64, the final state of the node of each click, grouped by prefix.
        click_bounds: (P + 1,) int64; prefix p is `clicks[click_bounds[p]:click_bounds[p + 1]]`.
        last: (P,) int64, the final state of the last click.
    """

    cells: Tensor
    steps: tuple[GraphStep, ...]
    clicks: Tensor
    click_bounds: Tensor
    last: Tensor

    def state_cells(self) -> Tensor:
        """(V,) int64, the cell that each final state began as; only with steps."""
        cells = self.steps[-1].own
        for step in self.steps[-2::-1]:
            cells = step.own[cells]
        return cells


def session_graph(
    items: Int64Array, cells: Int64Array, *, steps: int = 1, counted: bool = False
) -> SessionGraph:
    """Build the graphs of prefixes for a network of `steps` steps.

    Args:
        items: (B, T) int64, right-padded with 0.
        cells: (P,) int64, ascending; none at or after a padding.
        steps: steps of the network, at least 1.
        counted: an edge weighs as often as it occurs; its share is its count over all counts.
    """
    graph_steps = []
    for step in range(1, steps + 1):
        own, predecessors, successors, clicks = _states(items, cells, step, counted)
        graph_steps.append(
            GraphStep(
                own=torch.from_numpy(own),
                predecessors=NeighborStates(*tensors(*predecessors)),
                successors=NeighborStates(*tensors(*successors)),
            )
        )
    return _session_graph(cells, graph_steps, *clicks)


def clicks_without_graph(cells: Int64Array, n_clicks: int) -> SessionGraph:
    """Prefixes without steps: their states are the B * T cells themselves.

    Args:
        cells: (P,) int64.
        n_clicks: T.
    """
    lengths = cells % n_clicks + 1
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    first = cells - lengths + 1
    clicks = np.arange(bounds[-1]) + np.repeat(first - bounds[:-1], lengths)
    return _session_graph(cells, [], clicks, bounds, cells)


def _session_graph(
    cells: AnyArray, steps: list[GraphStep], clicks: AnyArray, bounds: AnyArray, last: AnyArray
) -> SessionGraph:
    return SessionGraph(
        cells=torch.from_numpy(cells),
        steps=tuple(steps),
        clicks=torch.from_numpy(clicks),
        click_bounds=torch.from_numpy(bounds),
        last=torch.from_numpy(last),
    )


@njit(cache=True, nogil=True)
def node_of_click(
    items: AnyArray, row: int, click: int, first_click: Int64Array, n_nodes: int
) -> int:
    """The node of a click; `n_nodes` if its item is new."""
    for node in range(n_nodes):
        if items[row, first_click[node]] == items[row, click]:
            return node
    return n_nodes


@njit(cache=True, nogil=True)
def _add_click(
    items: AnyArray,
    row: int,
    click: int,
    first_click: Int64Array,
    node_of: Int64Array,
    n_nodes: int,
    edges: tuple[Int64Array, Int64Array, Float32Array],
    n_edges: int,
    counted: bool,
    relinked: BoolArray,
) -> tuple[int, int]:
    """Add a click to a graph, mark the nodes whose edges change; the numbers of nodes and edges."""
    node = node_of_click(items, row, click, first_click, n_nodes)
    if node == n_nodes:
        first_click[node], relinked[node] = click, True
        n_nodes += 1
    node_of[click] = node
    if click == 0:
        return n_nodes, n_edges
    source, target, count = edges
    previous = node_of[click - 1]
    for e in range(n_edges):
        if source[e] == previous and target[e] == node:
            if counted:
                count[e] += 1
                relinked[previous] = relinked[node] = True
            return n_nodes, n_edges
    source[n_edges], target[n_edges], count[n_edges] = previous, node, 1
    relinked[previous] = relinked[node] = True
    return n_nodes, n_edges + 1


@njit(cache=True, nogil=True)
def _differs(
    node: int,
    source: Int64Array,
    target: Int64Array,
    n_edges: int,
    relinked: BoolArray,
    changed: BoolArray,
) -> bool:
    """Whether a state differs from that of the prefix before: by its edges or by its inputs."""
    if relinked[node] or changed[node]:
        return True
    for e in range(n_edges):
        if (source[e] == node and changed[target[e]]) or (target[e] == node and changed[source[e]]):
            return True
    return False


@njit(cache=True, nogil=True)
def _write_neighbors(
    node: int,
    ends: Int64Array,
    neighbors: Int64Array,
    count: Float32Array,
    n_edges: int,
    latest: Int64Array,
    source: Int64Array,
    share: Float32Array,
    begin: int,
) -> int:
    """Write the states and shares of a node's neighbors from `begin` on; the end of the list.

    The edges of `node` are those whose entry of `ends` is `node`; `neighbors` are the other ends.
    """
    total, end = np.float32(0.0), begin
    for e in range(n_edges):
        if ends[e] == node:
            source[end], share[end] = latest[neighbors[e]], count[e]
            total += count[e]
            end += 1
    for k in range(begin, end):
        share[k] /= total
    return end


@njit(cache=True, nogil=True)
def _states(
    items: AnyArray, cells: Int64Array, step: int, counted: bool
) -> tuple[
    AnyArray,
    tuple[AnyArray, AnyArray, AnyArray],
    tuple[AnyArray, AnyArray, AnyArray],
    tuple[AnyArray, AnyArray, AnyArray],
]:
    """The arrays of a `GraphStep`, and (clicks, click_bounds, last) of the prefixes after it."""
    T = items.shape[1]
    first_click, node_of = np.empty(T, np.int64), np.empty(T, np.int64)
    edges = np.empty(T, np.int64), np.empty(T, np.int64), np.empty(T, np.float32)
    source, target, count = edges
    latest = np.empty((step + 1, T), np.int64)  # the current state of each node after each step
    changed = np.zeros((step + 1, T), np.bool_)  # row 0 stays False: embeddings never change
    relinked = np.zeros(T, np.bool_)
    n_states = np.zeros(step + 1, np.int64)

    own = np.empty(INITIAL_CAPACITY, np.int64)
    before = np.empty(INITIAL_CAPACITY, np.int64)
    before_share = np.empty(INITIAL_CAPACITY, np.float32)
    before_bounds = np.zeros(INITIAL_CAPACITY, np.int64)
    after = np.empty(INITIAL_CAPACITY, np.int64)
    after_share = np.empty(INITIAL_CAPACITY, np.float32)
    after_bounds = np.zeros(INITIAL_CAPACITY, np.int64)
    clicks = np.empty(INITIAL_CAPACITY, np.int64)
    click_bounds, last = np.zeros(len(cells) + 1, np.int64), np.empty(len(cells), np.int64)

    row, n_read, n_nodes, n_edges = -1, 0, 0, 0
    for p in range(len(cells)):
        if cells[p] // T != row:
            row, n_read, n_nodes, n_edges = cells[p] // T, 0, 0, 0
        t = cells[p] % T
        while n_read <= t:
            n_nodes, n_edges = _add_click(
                items, row, n_read, first_click, node_of, n_nodes, edges, n_edges, counted, relinked
            )
            n_read += 1
        for node in range(n_nodes):
            latest[0, node] = row * T + first_click[node]
        for k in range(1, step + 1):
            for node in range(n_nodes):
                changed[k, node] = _differs(node, source, target, n_edges, relinked, changed[k - 1])
                if not changed[k, node]:
                    continue
                state = n_states[k]
                latest[k, node] = state
                n_states[k] += 1
                if k < step:
                    continue
                own = grow(own, state, 1)
                before_bounds = grow(before_bounds, state + 1, 1)
                after_bounds = grow(after_bounds, state + 1, 1)
                own[state] = latest[k - 1, node]
                begin = before_bounds[state]
                before, before_share = grow(before, begin, T), grow(before_share, begin, T)
                before_bounds[state + 1] = _write_neighbors(
                    node, target, source, count, n_edges, latest[k - 1], before, before_share, begin
                )
                begin = after_bounds[state]
                after, after_share = grow(after, begin, T), grow(after_share, begin, T)
                after_bounds[state + 1] = _write_neighbors(
                    node, source, target, count, n_edges, latest[k - 1], after, after_share, begin
                )
        relinked[:n_nodes] = False
        begin = click_bounds[p]
        clicks = grow(clicks, begin, t + 1)
        for j in range(t + 1):
            clicks[begin + j] = latest[step, node_of[j]]
        click_bounds[p + 1] = begin + t + 1
        last[p] = latest[step, node_of[t]]
    V = n_states[step]
    n_before, n_after = before_bounds[V], after_bounds[V]
    return (
        own[:V],
        (before[:n_before], before_bounds[: V + 1], before_share[:n_before]),
        (after[:n_after], after_bounds[: V + 1], after_share[:n_after]),
        (clicks[: click_bounds[-1]], click_bounds, last),
    )
