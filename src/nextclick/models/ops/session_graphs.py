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

from nextclick.models.ops.prefix_inputs import TensorRecord, tensors
from nextclick.models.ops.segments import group_energy, group_sum
from nextclick.models.ops.session_graph_kernels import graph_states

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import AnyArray, Int64Array


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

    def sum(self, states: Tensor) -> Tensor:
        """(V, D) weighted sums of the (M, D) states of the neighbors."""
        return group_sum(states, self.source, self.bounds, self.share)


@dataclass(frozen=True, slots=True, eq=False)
class PrefixClicks(TensorRecord):
    """The clicks of P prefixes, in CSR form.

    Attributes:
        states: (E,) int64, the final state of the node of each click, grouped by prefix.
        bounds: (P + 1,) int64; prefix p is `states[bounds[p]:bounds[p + 1]]`.
    """

    states: Tensor
    bounds: Tensor

    def energy(self, query: Tensor, key: Tensor, weight: Tensor) -> Tensor:
        """(E,) Σ_h v_h σ(q_ph + k_h) of each click.

        Args:
            query: (P, H), q.
            key: (V, H), k.
            weight: (H,), v.
        """
        return group_energy(query, key, weight, self.states, self.bounds)

    def sum(self, states: Tensor, weight: Tensor) -> Tensor:
        """(P, D) sums of the (V, D) states of the clicks, with their weights (E,)."""
        return group_sum(states, self.states, self.bounds, weight)


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
        clicks: the final states of the clicks of each prefix.
        last: (P,) int64, the final state of the last click.
    """

    cells: Tensor
    steps: tuple[GraphStep, ...]
    clicks: PrefixClicks
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
        own, predecessors, successors, clicks = graph_states(items, cells, step, counted)
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
        clicks=PrefixClicks(*tensors(clicks, bounds)),
        last=torch.from_numpy(last),
    )
