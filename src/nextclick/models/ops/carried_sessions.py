"""Layers that carry a state from each earlier session of a visitor to the next one.

With m_z the mean item vector of earlier session z of 1 .. S, from the oldest to the latest, and
f_z = RNN(E x of its clicks) the final state of the network of the session:

    state: h_0 = σ(d_age(S)) ⊙ f_S
    chain: h_0 = σ(d_age(S)) ⊙ c_S,  c_z = GRU(f_z, σ(d_gap(z)) ⊙ c_{z-1}),  c_0 = 0
    drift: e += α_u D' r_S,  r_z = GRU(m_z + b_age(z), r_{z-1}),  r_0 = 0

gap(z) is the time from the end of session z - 1 to the end of z. Without an earlier session all are
0. `state` is a chain of one session. The chain replaces an order of batches in which the sessions
of a user follow each other (equation 13): the earlier sessions are encoded in the batch of the
session that reads them, so all states are those of the current weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from nextclick.models.ops.history_arrays import N_AGES
from nextclick.models.ops.layers import normal_

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.models.ops.earlier_sessions import HistoryInputs


class CarriedDrift(nn.Module):
    """The drift of a profile over the earlier sessions of the visitor."""

    def __init__(self, item_width: int, hidden_width: int, user_width: int):
        super().__init__()
        self.age = nn.Embedding(N_AGES, item_width)  # b
        normal_(self.age.weight, 1.0 / math.sqrt(item_width))
        self.cell = nn.GRUCell(item_width, hidden_width)
        self.evolution = nn.Linear(hidden_width, user_width, bias=False)  # D'

    def forward(self, summaries: Tensor, history: HistoryInputs) -> Tensor:
        """(B, user_width) drift of each row, 0 without an earlier session.

        Args:
            summaries: (Z, d) of the earlier sessions.
            history: the earlier sessions.
        """
        read = summaries + self.age(history.ages)  # (Z, d)
        state = summaries.new_zeros(len(history.slots), self.cell.hidden_size)
        for slot in reversed(history.slots.unbind(1)):  # from the oldest session
            rows = slot.nonzero()[:, 0]  # (R,)
            state = state.index_copy(
                0, rows, self.cell(read[slot[rows] - 1], state[rows]).to(state.dtype)
            )
        drift: Tensor = self.evolution(state)
        return drift


class CarriedState(nn.Module):
    """The initial state of a session from the final state of the latest earlier session."""

    def __init__(self, hidden_width: int):
        super().__init__()
        self.decay = nn.Embedding(N_AGES, hidden_width)  # d
        nn.init.zeros_(self.decay.weight)

    def forward(
        self, rnn: nn.LSTM | nn.GRU, vectors: Tensor, history: HistoryInputs
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(1, B, H) initial states, for an LSTM also those of the cell; 0 without a session.

        Args:
            rnn: the network of the session.
            vectors: (M, n_inputs), its inputs for the clicks of the earlier sessions.
            history: the earlier sessions.
        """
        latest = history.slots[:, :1]
        states = final_states(rnn, vectors, history, latest)  # (2 or 1, Z, H)
        rows = latest[:, 0].nonzero()[:, 0]  # (R,)
        session = latest[rows, 0] - 1
        decay = torch.sigmoid(self.decay(history.ages[session]))  # (R, H)
        initial = states.new_zeros(len(states), len(latest), rnn.hidden_size)
        initial = initial.index_copy(1, rows, decay * states[:, session])
        return (initial[:1], initial[1:]) if isinstance(rnn, nn.LSTM) else initial


class CarriedChain(nn.Module):
    """The initial state of a session from a chain over the final states of the earlier sessions."""

    def __init__(self, hidden_width: int, *, cut: bool):
        """Build the layer.

        Args:
            hidden_width: H.
            cut: whether no gradient reaches the network and the items through the final states.
        """
        super().__init__()
        self.cut = cut
        self.decay = nn.Embedding(N_AGES, hidden_width)  # d
        nn.init.zeros_(self.decay.weight)
        self.cell = nn.GRUCell(hidden_width, hidden_width)

    def forward(
        self, rnn: nn.LSTM | nn.GRU, vectors: Tensor, history: HistoryInputs
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(1, B, H) initial states, those of the cell of an LSTM too; see `CarriedState`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.cut):
            final = final_states(rnn, vectors, history, history.slots)[0]  # (Z, H), f
        state = final.new_zeros(len(history.slots), rnn.hidden_size)  # (B, H), c
        for slot in reversed(history.slots.unbind(1)):  # from the oldest session
            rows = slot.nonzero()[:, 0]  # (R,)
            session = slot[rows] - 1
            carried = torch.sigmoid(self.decay(history.gaps[session])) * state[rows]
            state = state.index_copy(0, rows, self.cell(final[session], carried).to(state.dtype))
        rows = history.slots[:, 0].nonzero()[:, 0]
        decay = torch.sigmoid(self.decay(history.ages[history.slots[rows, 0] - 1]))
        initial = torch.zeros_like(state).index_copy(0, rows, decay * state[rows])[None]
        return (initial, initial) if isinstance(rnn, nn.LSTM) else initial


def final_states(
    rnn: nn.LSTM | nn.GRU, vectors: Tensor, history: HistoryInputs, slots: Tensor
) -> Tensor:
    """(1, Z, H) final states of the network over earlier sessions; for an LSTM (2, Z, H).

    Args:
        rnn: the network, which starts at 0.
        vectors: (M, n_inputs), its inputs for the clicks of the earlier sessions.
        history: the earlier sessions.
        slots: any shape, the sessions that are read, as z + 1; the state of any other, and of one
            without known clicks, is 0.
    """
    is_lstm = isinstance(rnn, nn.LSTM)
    states = vectors.new_zeros(2 if is_lstm else 1, len(history.lengths), rnn.hidden_size)
    read = torch.unique(slots[slots > 0] - 1)
    read = read[history.lengths[read] > 0]  # (R,)
    if len(read) == 0:
        return states
    lengths = history.lengths[read]
    steps = torch.arange(int(lengths.max()), device=lengths.device)
    at = history.starts[read][:, None] + steps  # (R, L)
    at = torch.where(steps < lengths[:, None], at, 0)
    packed = pack_padded_sequence(
        vectors[at], lengths.cpu(), batch_first=True, enforce_sorted=False
    )
    _, final = rnn(packed)
    final = torch.cat(final) if is_lstm else final
    return states.index_copy(1, read, final.to(states.dtype))
