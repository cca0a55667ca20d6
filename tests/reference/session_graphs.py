"""The graph of one prefix, the slow and obvious way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def distinct(prefix):
    """Items in the order of first clicks."""
    return list(dict.fromkeys(prefix))


def adjacency(prefix, edges="binary"):
    """SR-GNN's matrices: row v of the first has v's predecessors, of the second its successors."""
    nodes = distinct(prefix)
    matrix = np.zeros((len(nodes), len(nodes)))
    for one, other in pairwise(prefix):
        if edges == "binary":
            matrix[nodes.index(one), nodes.index(other)] = 1
        else:
            matrix[nodes.index(one), nodes.index(other)] += 1
    into, out_of = matrix.T.copy(), matrix.copy()
    for rows in (into, out_of):
        for row in rows:
            if row.sum() > 0:
                row /= row.sum()
    return into, out_of


def multigraph(prefix):
    """LESSR's: for each item the items it was clicked right after, in the order of the clicks."""
    senders = {item: [] for item in distinct(prefix)}
    for one, other in pairwise(prefix):
        senders[other].append(one)
    return senders


def shortcuts(prefix):
    """LESSR's: for each item those with a click before or with one of its own."""
    senders = {item: set() for item in distinct(prefix)}
    for i in range(len(prefix)):
        for j in range(i, len(prefix)):
            senders[prefix[j]].add(prefix[i])
    return senders
