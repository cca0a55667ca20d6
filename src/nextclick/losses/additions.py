"""Scores of single items that are added to the products of queries and table.

A model may add a value to the score of some items in some rows, for example of items that the
visitor has clicked before. K additions are (rows, items, values), each (K,); a pair of row and item
occurs once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch.nn.functional import cross_entropy

from nextclick.losses.checks import check_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.losses.candidates import Candidates

    Additions: TypeAlias = "tuple[Tensor, Tensor, Tensor]"


def full_softmax_with_additions(
    query: Tensor, table: Tensor, targets: Tensor, additions: Additions, bias: Tensor | None
) -> Tensor:
    """The mean cross entropy of the targets among items 1..N; all (P, N) scores are in memory.

    Args:
        query: (P, D), one row per prefix.
        table: (N + 1, D).
        targets: (P,) int64 in 1..N.
        additions: see the module.
        bias: (N + 1,), or None.
    """
    check_shapes(query, table, targets, bias)
    rows, items, values = additions
    logits = query @ table.T if bias is None else torch.addmm(bias, query, table.T)  # (P, N + 1)
    logits = logits.float().index_put((rows, items), values.float(), accumulate=True)
    return cross_entropy(logits[:, 1:], targets - 1)


def add_to_candidates(candidates: Candidates, targets: Tensor, additions: Additions) -> Candidates:
    """The candidates of P rows with the additions in the scores of targets and negatives.

    Args:
        candidates: scores of P targets and their negatives.
        targets: (P,) int64.
        additions: see the module.
    """
    if len(additions[0]) == 0:
        return candidates
    positive = candidates.positive + _of_cells(targets[:, None], additions)[:, 0]
    if candidates.items.ndim == 2:
        negative = candidates.negative + _of_cells(candidates.items, additions)
    else:
        negative = _add_to_shared(candidates, additions)
    return replace(candidates, positive=positive, negative=negative)


def _of_cells(items: Tensor, additions: Additions) -> Tensor:
    """(P, M) the addition to each of (P, M) items in its row; 0 for most."""
    rows, added, values = additions
    stride = torch.maximum(items.max(), added.max()) + 1
    keys, order = (rows * stride + added).sort()
    wanted = torch.arange(len(items), device=items.device)[:, None] * stride + items
    found = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[found] == wanted, values[order][found], 0.0)


def _add_to_shared(candidates: Candidates, additions: Additions) -> Tensor:
    """(P, M) scores of negatives (M,) that all rows share; an item may occur several times."""
    rows, added, values = additions
    sorted_items, column = candidates.items.sort()
    first = torch.searchsorted(sorted_items, added)
    counts = torch.searchsorted(sorted_items, added, right=True) - first
    repeats = torch.arange(len(added), device=added.device).repeat_interleave(counts)
    nth = torch.arange(len(repeats), device=added.device) - (counts.cumsum(0) - counts)[repeats]
    cells = (rows[repeats], column[first[repeats] + nth])
    return candidates.negative.index_put(cells, values[repeats], accumulate=True)
