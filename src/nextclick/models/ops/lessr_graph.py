"""LESSR's two graphs of each prefix: a multigraph with ordered edges, and a shortcut graph.

Nodes are the distinct items of a prefix. LESSR applies dropout to nodes and normalizes over the
nodes of a batch, so prefixes cannot share states as in `session_graphs`: each prefix has nodes of
its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numba import njit

from nextclick.models.ops.kernels import grow
from nextclick.models.ops.prefix_inputs import TensorRecord, tensors
from nextclick.models.ops.session_graph_kernels import INITIAL_CAPACITY, node_of_click

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import AnyArray, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class EdgeOrderGraph(TensorRecord):
    """The multigraph, with an edge for each pair of successive clicks, as a packed sequence.

    Attributes:
        senders: (E,) int64, the node each edge comes from: the earliest edge of each receiver,
            then the second edge of each receiver that has two, and so on.
        counts: (L,) int64, how many receivers have a k-th edge.
        receivers: (R,) int64, the nodes with incoming edges, those with most edges first.
    """

    senders: Tensor
    counts: Tensor
    receivers: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ShortcutGraph(TensorRecord):
    """Edges to each node from all nodes clicked before or with its last click, itself included.

    Attributes:
        senders: (F,) int64, nodes, grouped by receiver.
        bounds: (V + 1,) int64; node v receives from `senders[bounds[v]:bounds[v + 1]]`.
    """

    senders: Tensor
    bounds: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LESSRGraphs(TensorRecord):
    """Both graphs of P prefixes, over the same V nodes.

    Attributes:
        cells: (P,) int64, the cell of the last click of each prefix, ascending.
        nodes: (V,) int64, the cell of the first click of each node, by prefix and then in the
            order of first clicks.
        node_bounds: (P + 1,) int64; prefix p has the nodes node_bounds[p] to node_bounds[p + 1].
        last: (P,) int64, the node of the last click.
        edge_order: the multigraph.
        shortcuts: the shortcut graph.
    """

    cells: Tensor
    nodes: Tensor
    node_bounds: Tensor
    last: Tensor
    edge_order: EdgeOrderGraph
    shortcuts: ShortcutGraph


def lessr_graphs(items: Int64Array, cells: Int64Array) -> LESSRGraphs:
    """Build both graphs of each prefix.

    Args:
        items: (B, T) int64, right-padded with 0.
        cells: (P,) int64, ascending; none at or after a padding.
    """
    nodes, node_bounds, last, senders, bounds, reach = _nodes(items, cells)
    in_degree = np.diff(bounds)  # (V,)
    receivers = np.argsort(-in_degree, kind="stable")[: np.count_nonzero(in_degree)]
    packed, counts = _pack(senders, bounds, receivers)
    return LESSRGraphs(
        cells=torch.from_numpy(cells),
        nodes=torch.from_numpy(nodes),
        node_bounds=torch.from_numpy(node_bounds),
        last=torch.from_numpy(last),
        edge_order=EdgeOrderGraph(*tensors(packed, counts, receivers)),
        shortcuts=ShortcutGraph(*tensors(*_shortcuts(node_bounds, reach))),
    )


@njit(cache=True, nogil=True)
def _nodes(
    items: AnyArray, cells: Int64Array
) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray, AnyArray, AnyArray]:
    """(V,) nodes with their bounds; last; senders of incoming edges with their bounds; reach.

    The reach of a node is the number of nodes of its prefix whose first click is not after its
    last click. Nodes are in the order of first clicks, so these are the first `reach` nodes.
    """
    T = items.shape[1]
    first_click, node_of = np.empty(T, np.int64), np.empty(T, np.int64)
    n_nodes_at = np.empty(T, np.int64)  # distinct items up to each click
    nodes, reach = np.empty(INITIAL_CAPACITY, np.int64), np.empty(INITIAL_CAPACITY, np.int64)
    senders, bounds = np.empty(INITIAL_CAPACITY, np.int64), np.zeros(INITIAL_CAPACITY, np.int64)
    node_bounds, last = np.zeros(len(cells) + 1, np.int64), np.empty(len(cells), np.int64)
    row, n_read, n_nodes = -1, 0, 0
    for p in range(len(cells)):
        if cells[p] // T != row:
            row, n_read, n_nodes = cells[p] // T, 0, 0
        t = cells[p] % T
        while n_read <= t:
            node = node_of_click(items[row], n_read, first_click, n_nodes)
            if node == n_nodes:
                first_click[node] = n_read
                n_nodes += 1
            node_of[n_read], n_nodes_at[n_read] = node, n_nodes
            n_read += 1
        base = node_bounds[p]
        node_bounds[p + 1] = base + n_nodes
        nodes, reach = grow(nodes, base, n_nodes), grow(reach, base, n_nodes)
        bounds = grow(bounds, base + 1, n_nodes)
        senders = grow(senders, bounds[base], t)
        for node in range(n_nodes):
            nodes[base + node] = row * T + first_click[node]
            e = bounds[base + node]
            for j in range(t + 1):
                if node_of[j] == node:
                    reach[base + node] = n_nodes_at[j]
                    if j > 0:
                        senders[e] = base + node_of[j - 1]
                        e += 1
            bounds[base + node + 1] = e
        last[p] = base + node_of[t]
    V = node_bounds[-1]
    return nodes[:V], node_bounds, last, senders[: bounds[V]], bounds[: V + 1], reach[:V]


@njit(cache=True, nogil=True)
def _pack(
    senders: Int64Array, bounds: Int64Array, receivers: Int64Array
) -> tuple[AnyArray, AnyArray]:
    """Senders in the order of a packed sequence, and how many receivers have a k-th one."""
    most_edges = bounds[receivers[0] + 1] - bounds[receivers[0]] if len(receivers) else 0
    counts = np.zeros(most_edges, np.int64)
    packed = np.empty(len(senders), np.int64)
    n_packed = 0
    for k in range(most_edges):
        for receiver in receivers:
            if bounds[receiver] + k >= bounds[receiver + 1]:
                break
            packed[n_packed] = senders[bounds[receiver] + k]
            counts[k] += 1
            n_packed += 1
    return packed, counts


@njit(cache=True, nogil=True)
def _shortcuts(node_bounds: Int64Array, reach: Int64Array) -> tuple[AnyArray, AnyArray]:
    """Senders and bounds: for each node the first `reach` nodes of its prefix."""
    bounds = np.zeros(len(reach) + 1, np.int64)
    bounds[1:] = np.cumsum(reach)
    senders = np.empty(bounds[-1], np.int64)
    for p in range(len(node_bounds) - 1):
        for node in range(node_bounds[p], node_bounds[p + 1]):
            for k in range(reach[node]):
                senders[bounds[node] + k] = node_bounds[p] + k
    return senders, bounds
