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

import numpy as np
import torch
from torch import nn
from torch.nn.functional import embedding_bag

from nextclick.core.session_history import offsets_of, ranges
from nextclick.models.ops.layers import normal_
from nextclick.models.ops.prefix_inputs import TensorRecord, tensors

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.session_history import SessionHistory
    from nextclick.core.types import Float32Array, Int64Array
    from nextclick.models.features.item_embedding import ItemEmbedding

N_AGES = 16  # unknown, below an hour, and 14 times doubled: 1 to 2 hours, up to more than 11 months
N_DWELLS = 12  # unknown, below 4 s, and 10 times doubled: 4 to 8 s, up to more than 34 minutes
N_COUNTS = 4  # clicks on an item in earlier sessions: 1, 2, 3 or more; row 0 is not used
BETA = 0.4
_HOUR, _DAY = 3600.0, 86400.0
_SHORT = 4.0  # seconds


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
    B, S = len(history), max(int(history.counts.max(initial=0)), 1)
    ages = age_rows(history.ages)
    latest = history.first + history.counts - 1
    steps = np.arange(S)
    slots = np.where(steps < history.counts[:, None], latest[:, None] - steps + 1, 0)  # (B, S)
    return HistoryInputs(
        *tensors(
            history.items.astype(np.int64),
            history.offsets[:-1].copy(),
            ages,
            age_rows(-np.diff(history.ages, prepend=np.float32(np.nan))),
            deviations_of(history),
            slots,
            np.diff(history.offsets),
            *_pairs(history, ages, B),
        )
    )


def deviations_of(history: SessionHistory) -> Float32Array:
    """(B,) float32, dev_u(t) = sign(t - t_u) · |t - t_u|^β in days (Koren, 2009; β = 0.4).

    t is the start of the session, and t_u the mean end of the earlier sessions whose age is known,
    so that nothing after t is read and the sign is never negative. Without such a session it is 0.
    """
    session = ranges(history.first, history.counts)
    row = np.repeat(np.arange(len(history)), history.counts)
    ages = history.ages[session]
    known = np.isfinite(ages)
    sums = np.bincount(row[known], weights=ages[known], minlength=len(history))
    counts = np.bincount(row[known], minlength=len(history))
    days = np.maximum(sums, 0.0) / np.maximum(counts, 1) / _DAY
    deviations: Float32Array = (days**BETA).astype(np.float32)
    return deviations


def age_rows(seconds: Float32Array) -> Int64Array:
    """The row of each age: 0 if unknown, else 1 + the number of doublings from half an hour."""
    return _doublings(seconds, _HOUR, N_AGES)


def dwell_rows(seconds: Float32Array) -> Int64Array:
    """The row of each dwell time: 0 if unknown, else 1 + the number of doublings from 2 s."""
    return _doublings(seconds, _SHORT, N_DWELLS)


def _doublings(seconds: Float32Array, unit: float, n_rows: int) -> Int64Array:
    """0 if unknown, 1 below the unit, 2 up to twice the unit, and so on, up to `n_rows` - 1."""
    units = np.maximum(seconds, 0.0) / unit
    known = np.isfinite(units)
    doublings = np.floor(np.log2(np.maximum(np.where(known, units, 0.0), 0.5))).astype(np.int64) + 2
    return np.where(known, np.minimum(doublings, n_rows - 1), 0)


def _pairs(
    history: SessionHistory, ages: Int64Array, n_rows: int
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array, Int64Array]:
    """Offsets, items, counts, ages and dwell times of the distinct items of each row."""
    session = ranges(history.first, history.counts)
    row = np.repeat(np.arange(n_rows), history.counts)
    lengths = np.diff(history.offsets)[session]
    clicks = ranges(history.offsets[session], lengths)
    items = history.items[clicks].astype(np.int64)
    row, age = np.repeat(row, lengths), np.repeat(ages[session], lengths)
    stride = int(items.max(initial=0)) + 1
    # clicks are in the order of time: the last one of a pair is in its latest session
    keys = (row * stride + items)[::-1]
    distinct, last, counts = np.unique(keys, return_index=True, return_counts=True)
    pair_row, pair_items = np.divmod(distinct, stride)
    offsets = offsets_of(np.bincount(pair_row, minlength=n_rows).astype(np.int64))
    dwells = dwell_rows(history.dwells[clicks][::-1][last])
    return offsets, pair_items, np.minimum(counts, N_COUNTS - 1), age[::-1][last], dwells


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
        of_pair = self.count(history.pair_counts[pair]) + self.age(history.pair_ages[pair])
        if self.dwell is not None:
            of_pair = of_pair + self.dwell(history.pair_dwells[pair])
        values = of_pair[:, 0] + self.read(queries)[prefix, 0]
        return ScoreAdditions(prefix, history.pair_items[pair], values)


def summarize(items: ItemEmbedding, history: HistoryInputs) -> Tensor:
    """(Z, d) mean of the item vectors of each earlier session; 0 for one without known clicks."""
    means: Tensor = embedding_bag(
        history.items, items.vectors(), history.starts, mode="mean", sparse=items.sparse
    )
    return means
