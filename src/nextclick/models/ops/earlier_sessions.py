"""Layers that read the earlier sessions of a visitor.

The item vectors of an earlier session are those of the current weights, so that training needs no
state from step to step, and a visitor unknown to the training is read like any other.

    m_z = mean of E x over the clicks of earlier session z                     summary
    attention: r_t = Σ_z β_tz m_z,  β_t = softmax of [0 ; h_t · (K m_z + a_age(z)) / √H]
    repeats:   score of i += c_n(i) + g_age(i) + v · o_t, if i was clicked in an earlier session
    dwell:     score of i += w_dwell(i), likewise

n(i) is the number of earlier clicks on i, age(i) that of the latest of these sessions, dwell(i) the
dwell time of the latest of these clicks. It is unknown for the last click of a session. The 0 in
the softmax stands for no earlier session. `ops.carried_sessions` has the layers that carry a state
from session to session.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn.functional import embedding_bag

from nextclick.models.ops.history_arrays import N_AGES, N_COUNTS, N_DWELLS, history_arrays
from nextclick.models.ops.layers import normal_
from nextclick.models.ops.prefix_inputs import TensorRecord

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.session_history import SessionHistory
    from nextclick.models.features.item_embedding import ItemEmbedding


class ScoreAdditions(NamedTuple):
    """K values that are added to the scores of items.

    Attributes:
        rows: (K,) int64, the row of each.
        items: (K,) int64 in 1..N; a pair of row and item occurs once.
        values: (K,).
    """

    rows: Tensor
    items: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class HistoryInputs(TensorRecord):
    """The earlier sessions of B rows as tensors; see `SessionHistory`.

    Attributes:
        items: (M,) int64, the clicks of Z earlier sessions.
        starts: (Z,) int64, the first click of each.
        ages: (Z,) int64, the row of the age of each in 0..N_AGES - 1.
        gaps: (Z,) int64, the row, as of an age, of the time from the end of the session before to
            the end of this one; without a meaning for the oldest session of a row.
        deviations: (B,) float32, dev_u of each row, see `deviations_of`.
        slots: (B, S) int64, the earlier sessions of a row as z + 1, the latest first; 0 for none.
        lengths: (Z,) int64, the clicks of each.
        pairs: (B + 1,) int64, offsets of the items of each row in the following four.
        pair_items: (K,) int64, the distinct items of the earlier sessions of a row.
        pair_counts: (K,) int64, clicks on each, at most N_COUNTS - 1.
        pair_ages: (K,) int64, the row of the age of the latest session with it.
        pair_dwells: (K,) int64, the row of the dwell time of the latest click on it.
    """

    items: Tensor
    starts: Tensor
    ages: Tensor
    gaps: Tensor
    deviations: Tensor
    slots: Tensor
    lengths: Tensor
    pairs: Tensor
    pair_items: Tensor
    pair_counts: Tensor
    pair_ages: Tensor
    pair_dwells: Tensor


def history_inputs(history: SessionHistory) -> HistoryInputs:
    """The inputs of the layers for earlier sessions."""
    arrays = history_arrays(history)
    return HistoryInputs(**{name: torch.from_numpy(array) for name, array in arrays.items()})


class HistoryAttention(nn.Module):
    """Attention over summaries of the earlier sessions, by the state and their age."""

    def __init__(self, item_width: int, hidden_width: int):
        super().__init__()
        self.key = nn.Linear(item_width, hidden_width, bias=False)  # K
        self.age = nn.Embedding(N_AGES, hidden_width)  # a
        normal_(self.age.weight, 1.0 / math.sqrt(hidden_width))

    def forward(self, hidden: Tensor, summaries: Tensor, history: HistoryInputs) -> Tensor:
        """(B, T, d) attended summaries, 0 without an earlier session.

        Args:
            hidden: (B, T, H) states.
            summaries: (Z, d) of the earlier sessions.
            history: the earlier sessions.
        """
        keys = self.key(summaries) + self.age(history.ages)  # (Z, H)
        keys, values = (
            torch.cat([rows.new_zeros(1, rows.shape[1]), rows])[history.slots]
            for rows in (keys, summaries)
        )  # (B, S, H), (B, S, d)
        energy = hidden @ keys.transpose(1, 2) / math.sqrt(hidden.shape[-1])  # (B, T, S)
        energy = energy.masked_fill((history.slots == 0)[:, None], -torch.inf)
        beta = torch.cat([torch.zeros_like(energy[..., :1]), energy], -1).softmax(-1)[..., 1:]
        attended: Tensor = beta @ values
        return attended


class RepeatedItems(nn.Module):
    """Additions to the scores of the items that the visitor clicked in earlier sessions."""

    def __init__(self, query_width: int, *, dwell: bool = False):
        super().__init__()
        self.count = nn.Embedding(N_COUNTS, 1)  # c
        self.age = nn.Embedding(N_AGES, 1)  # g
        self.dwell = nn.Embedding(N_DWELLS, 1) if dwell else None  # w
        self.read = nn.Linear(query_width, 1, bias=False)  # v
        for weight in self.parameters():
            nn.init.zeros_(weight)

    def forward(self, queries: Tensor, rows: Tensor, history: HistoryInputs) -> ScoreAdditions:
        """The additions to the scores of (P, d) queries, of the rows (P,) of a batch."""
        first, counts = history.pairs[rows], history.pairs[rows + 1] - history.pairs[rows]
        prefix = torch.arange(len(rows), device=rows.device).repeat_interleave(counts)  # (K,)
        nth = torch.arange(len(prefix), device=rows.device) - (counts.cumsum(0) - counts)[prefix]
        pair = first[prefix] + nth
        values = self.of_pairs(history)[pair] + self.read(queries)[prefix, 0]
        return ScoreAdditions(prefix, history.pair_items[pair], values)

    def of_row(self, query: Tensor, history: HistoryInputs) -> Tensor:
        """(K,) additions to the scores of the `pair_items`, for a history of one row.

        Args:
            query: (1, d).
            history: the earlier sessions.
        """
        additions: Tensor = self.of_pairs(history) + self.read(query)[:, 0]
        return additions

    def of_pairs(self, history: HistoryInputs) -> Tensor:
        """(K,) the part of the additions that does not depend on the query."""
        values: Tensor = self.count(history.pair_counts) + self.age(history.pair_ages)
        if self.dwell is not None:
            values = values + self.dwell(history.pair_dwells)
        return values[:, 0]


def summarize(items: ItemEmbedding, history: HistoryInputs) -> Tensor:
    """(Z, d) mean of the item vectors of each earlier session; 0 for one without known clicks."""
    if torch.compiler.is_compiling():  # an exported graph has no bags
        click = torch.arange(history.items.shape[0])  # `len` would fix the size
        nth = click - history.starts[:, None]  # (Z, M)
        in_session = ((nth >= 0) & (nth < history.lengths[:, None])).float()
        shares = in_session / history.lengths[:, None].clamp(min=1)
        return shares @ items.vectors()[history.items]
    means: Tensor = embedding_bag(
        history.items, items.vectors(), history.starts, mode="mean", sparse=items.sparse
    )
    return means
