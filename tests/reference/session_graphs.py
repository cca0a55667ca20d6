"""Graphs of one prefix, by simple loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def distinct(prefix):
    """Items in the order of first clicks."""
    return list(dict.fromkeys(prefix))


def adjacency(prefix, edges="binary"):
    """SR-GNN's matrices: shares of the predecessors and of the successors of each node, by row."""
    nodes = distinct(prefix)
    matrix = np.zeros((len(nodes), len(nodes)))
    for source, target in pairwise(prefix):
        if edges == "binary":
            matrix[nodes.index(source), nodes.index(target)] = 1
        else:
            matrix[nodes.index(source), nodes.index(target)] += 1
    into, out_of = matrix.T.copy(), matrix.copy()
    for rows in (into, out_of):
        for row in rows:
            if row.sum() > 0:
                row /= row.sum()
    return into, out_of


def multigraph(prefix):
    """LESSR's multigraph: for each item the items clicked right before it, in click order."""
    senders = {item: [] for item in distinct(prefix)}
    for source, target in pairwise(prefix):
        senders[target].append(source)
    return senders


def shortcuts(prefix):
    """LESSR's shortcuts: for each item the items clicked before or with one of its clicks."""
    senders = {item: set() for item in distinct(prefix)}
    for i in range(len(prefix)):
        for j in range(i, len(prefix)):
            senders[prefix[j]].add(prefix[i])
    return senders
