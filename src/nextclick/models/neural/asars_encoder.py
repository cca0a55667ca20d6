"""The encoder of ASARS; `models.neural.asars` has the equations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nextclick.models.encoder import Encoder
from nextclick.models.features.item_embedding import ItemEmbedding
from nextclick.models.model_explanation import record_attention
from nextclick.models.ops.carried_sessions import CarriedChain, CarriedDrift, CarriedState
from nextclick.models.ops.earlier_sessions import HistoryAttention, RepeatedItems, summarize
from nextclick.models.ops.gap_bins import START, UNKNOWN
from nextclick.models.ops.gru import GRU
from nextclick.models.ops.layers import (
    Dropout,
    causal_softmax,
    clear_padding_,
    item_embedding,
    normal_,
    triangle_softmax,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nextclick.models.dataset_info import DatasetInfo
    from nextclick.models.neural.asars_config import ASARSConfig
    from nextclick.models.ops.earlier_sessions import HistoryInputs, ScoreAdditions


class ASARSEncoder(Encoder):
    """The encoder of all five variants."""

    seen_users: Tensor

    def __init__(self, config: ASARSConfig, n_items: int, dataset_info: DatasetInfo):
        super().__init__()
        self.config = config
        d, H = config.item_width, config.hidden_width
        self.dropout = Dropout(config.dropout)
        self.output_dropout = Dropout(config.output_dropout)
        self.items = ItemEmbedding(n_items, d, dataset_info.features, config.id_dropout)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        normal_(self.items.weight, 1.0 / d if config.item_init == "narrow" else 1.0 / math.sqrt(d))
        clear_padding_(self.items)
        time_width = config.gap_width if config.variant == "time_cat" else 0
        self.rnn = self._recurrent(d + time_width)
        if "times" in config.required:
            self._init_gaps(dataset_info)
        if config.by_time:
            self.time_rnn = self._recurrent(config.gap_width)
            self.key = nn.Linear(H, self.key_width)  # W_s, b_s
            self.own = nn.Parameter(torch.zeros(self.key_width))
            if config.attend == "context":
                self.context = nn.Parameter(torch.randn(H) / H**0.5)
        feature_width = 2 * H if config.has_attention and config.readout == "both" else H
        if "users" in config.required:
            self._init_users(dataset_info)
            feature_width += 0 if config.variant == "user_att" else config.user_width
        if "attention" in config.history_parts:
            self.earlier = HistoryAttention(d, H)
            feature_width += d
        if "repeat" in config.history_parts:
            self.repeated = RepeatedItems(d, dwell=config.history_dwell)
        if "state" in config.history_parts:
            self.carried: CarriedState | CarriedChain = CarriedState(H)
        if "chain" in config.history_parts:
            self.carried = CarriedChain(H, cut=config.history_chain == "cut")
        if "drift" in config.history_parts:
            self.drifted = CarriedDrift(d, H, config.user_width)
        # states that are carried from session to session need loops
        self.exports_history = not config.history_parts & {"state", "chain", "drift"}
        self.output = nn.Linear(feature_width, d, bias=False)  # W

    def _recurrent(self, n_inputs: int) -> nn.LSTM | GRU:
        H = self.config.hidden_width
        if self.config.cell == "lstm":
            return nn.LSTM(n_inputs, H, batch_first=True)
        return GRU(n_inputs, H)

    @property
    def key_width(self) -> int:
        """The width of the keys of the attention by dwell time."""
        config = self.config
        return config.user_width if config.attended_by == "user" else config.hidden_width

    def _init_gaps(self, dataset_info: DatasetInfo) -> None:
        assert dataset_info.bins is not None
        config, self.bins = self.config, dataset_info.bins
        for name, value in self.bins.tensors().items():
            self.register_buffer(name, value)
        self.gaps = item_embedding(dataset_info.bins.n_rows - 1, config.gap_width)
        normal_(self.gaps.weight, 1.0 / config.gap_width)
        clear_padding_(self.gaps)
        if config.gap == "elapsed":
            width = self.key_width if config.by_time else config.item_width
            self.waiting = nn.Linear(config.gap_width, width, bias=False)  # A

    def _init_users(self, dataset_info: DatasetInfo) -> None:
        assert dataset_info.seen_users is not None
        config, seen_users = self.config, torch.from_numpy(dataset_info.seen_users.copy())
        self.register_buffer("seen_users", seen_users)
        self.users = nn.Embedding(len(seen_users), config.user_width)
        normal_(self.users.weight, 1.0 / config.user_width)
        if config.variant == "user_att":
            self.key = nn.Linear(config.hidden_width, config.user_width)  # W_u, b_u
        if config.drift:
            self.evolution = nn.Linear(config.hidden_width, config.user_width, bias=False)  # D
        if "deviation" in config.history_parts:
            self.direction = nn.Parameter(torch.randn(config.user_width) / config.user_width**0.5)
        if config.drift or config.history_parts & {"drift", "deviation"}:
            self.speed = nn.Embedding(len(seen_users), 1)  # α_u
            nn.init.zeros_(self.speed.weight)

    def forward(
        self,
        items: Tensor,
        gaps: Tensor | None = None,
        waited: Tensor | None = None,
        users: Tensor | None = None,
        history: HistoryInputs | None = None,
    ) -> Tensor:
        """(B, T, d) queries of (B, T) items; see `Encoder` for the other inputs."""
        config = self.config
        x = self.dropout(self.items(items))  # (B, T, d)
        if gaps is not None and waited is not None:
            gaps = self._drop_times(gaps)
        if config.variant == "time_cat":
            assert gaps is not None and waited is not None
            oracle = config.gap == "oracle"
            times = self._embed_dwell(items, waited) if oracle else self._embed_gaps(items, gaps)
            x = torch.cat([x, self.dropout(times)], dim=-1)  # (B, T, d + gap_width)
        hidden, _ = self.rnn(x, self._initial_state(history))  # (B, T, H)
        # (B, T, user_width)
        user = None if users is None else self._profile(users, hidden, history)
        features = hidden[:, self.queried]
        if config.has_attention:
            alpha = self.attention(items, hidden, gaps, waited, user)  # (B, T, T)
            first = 1 if config.predicts_first_click else 0  # the item before the first click
            record_attention("attention-pooling", alpha[:, -1, first:])
            features = alpha @ hidden  # (B, T, H), q
            if config.readout == "both":
                last = hidden[:, self.queried]
                features = torch.cat([last, features], dim=-1)  # (B, T, 2 H)
        if user is not None and config.variant != "user_att":
            # (B, T, H + user_width) or wider
            features = torch.cat([features, user[:, self.queried]], dim=-1)
        if "attention" in config.history_parts:
            assert history is not None
            summaries = self.dropout(summarize(self.items, history))  # (Z, d)
            read = self.earlier(hidden[:, self.queried], summaries, history)
            features = torch.cat([features, read], dim=-1)
        queries: Tensor = self.output(self.output_dropout(features))  # (B, T, d), o
        if config.variant == "time_cat" and config.gap == "elapsed":
            assert waited is not None
            queries = queries + self.waiting(self.gaps(self.bins.rows(waited[:, self.queried])))
        return queries

    def _initial_state(
        self, history: HistoryInputs | None
    ) -> Tensor | tuple[Tensor, Tensor] | None:
        """The initial state of the RNN, from the earlier sessions; None for zeros."""
        if not self.config.history_parts & {"state", "chain"}:
            return None
        assert history is not None
        vectors = self.items(history.items)  # (M, d)
        if self.config.variant == "time_cat":  # the gaps of earlier sessions are not read
            unknown = torch.full_like(history.items, UNKNOWN)
            vectors = torch.cat([vectors, self.gaps(unknown)], dim=-1)
        state: Tensor | tuple[Tensor, Tensor]
        state = self.carried(self.rnn, self.dropout(vectors), history)
        return state

    def additions(
        self, queries: Tensor, rows: Tensor, inputs: Mapping[str, Any]
    ) -> ScoreAdditions | None:
        """See `Encoder.additions`."""
        if "repeat" not in self.config.history_parts:
            return None
        additions: ScoreAdditions = self.repeated(queries, rows, inputs["history"])
        return additions

    def row_additions(self, query: Tensor, history: HistoryInputs) -> Tensor | None:
        """See `Encoder.row_additions`."""
        if "repeat" not in self.config.history_parts:
            return None
        return self.repeated.of_row(query, history)

    def attention(
        self,
        items: Tensor,
        hidden: Tensor,
        gaps: Tensor | None,
        waited: Tensor | None,
        user: Tensor | None,
    ) -> Tensor:
        """(B, T, T) α, the weight of click j in the prefix that ends at t; 0 for j > t."""
        if not self.config.by_time:
            assert user is not None
            key = torch.tanh(self.key(hidden))  # (B, T, user_width), p
            energy = user[:, self.queried] @ key.transpose(1, 2)
            return causal_softmax(energy, last_only=self.last_only)
        assert gaps is not None and waited is not None
        query = self._attention_query(hidden, user)
        if self.config.gap == "oracle":
            states, _ = self.time_rnn(self.dropout(self._embed_dwell(items, waited)))  # (B, T, H)
            energy = self._energy(torch.tanh(self.key(states)), query)  # (B, 1 or T, T)
            return causal_softmax(energy.expand(-1, energy.shape[2], -1))
        # (B, T); the forms of `dwell` and `previous` suit every T of an exported graph
        dwell = nn.functional.pad(gaps, (0, 1))[:, 1:].clone(memory_format=torch.contiguous_format)
        # (B, T, H), k; no row reads the state of the last click
        states, _ = self.time_rnn(self.dropout(self._embed_dwell(items, dwell)))
        energy = self._energy(torch.tanh(self.key(states)), query)  # (B, 1 or T, T)
        # (B, T, H), k_{t-1}
        previous = nn.functional.pad(states, (0, 0, 1, 0))[:, :-1][:, self.queried]
        own_key = nn.functional.linear(previous, self.key.weight, self.own)  # (B, T, key_width)
        if self.config.gap == "elapsed":
            own_key = own_key + self.waiting(self.gaps(self.bins.rows(waited[:, self.queried])))
        own_query = query if self.config.attended_by == "context" else query[:, self.queried]
        own_energy = (torch.tanh(own_key) * own_query).sum(-1)  # (B, T)
        if self.last_only:
            position = torch.arange(items.shape[1])  # (T,)
            is_last = position == items.shape[1] - 1
            return torch.where(is_last, own_energy[:, :, None], energy[:, -1:]).softmax(dim=-1)
        return triangle_softmax(energy, own_energy)

    def _attention_query(self, hidden: Tensor, user: Tensor | None) -> Tensor:
        """What the key of a click is multiplied with, in the row of this click: (…, key_width)."""
        if self.config.attended_by == "context":
            return self.context
        if self.config.attended_by == "user":
            assert user is not None
            return user
        return hidden

    def _energy(self, key: Tensor, query: Tensor) -> Tensor:
        """(B, 1, T) products of keys (B, T, key_width), or (B, T, T) where the rows differ."""
        if self.config.attended_by in ("state", "context"):
            return (key * query).sum(-1)[:, None]
        return query[:, self.queried] @ key.transpose(1, 2)

    def _drop_times(self, gaps: Tensor) -> Tensor:
        """In training, gaps with some rows set to NaN (`time_dropout`)."""
        if not self.training or self.config.time_dropout == 0.0:
            return gaps
        dropped = torch.rand(len(gaps), 1, device=gaps.device) < self.config.time_dropout
        return gaps.masked_fill(dropped, torch.nan)

    def _embed_gaps(self, items: Tensor, gaps: Tensor) -> Tensor:
        """(B, T, gap_width) embeddings of the gap before each click."""
        rows = self.bins.rows(gaps)
        rows[:, : 2 if self.config.predicts_first_click else 1] = START
        return self._embed_rows(items, rows)

    def _embed_dwell(self, items: Tensor, seconds: Tensor) -> Tensor:
        """(B, T, gap_width) embeddings of the dwell time of each click."""
        return self._embed_rows(items, self.bins.rows(seconds))

    def _embed_rows(self, items: Tensor, rows: Tensor) -> Tensor:
        """(B, T, gap_width) embeddings of (B, T) rows; padding where `items` is padding."""
        embeddings: Tensor = self.gaps(rows.masked_fill(items == 0, 0))
        return embeddings

    def _profile(
        self, users: Tensor, hidden: Tensor, history: HistoryInputs | None = None
    ) -> Tensor:
        """(B, T, user_width) profile of the user at each click, e_u(t)."""
        users = torch.where(self.seen_users[users], users, 0)
        if self.training and self.config.user_dropout > 0.0:
            dropped = torch.rand(len(users), device=users.device) < self.config.user_dropout
            users = users.masked_fill(dropped, 0)
        profile: Tensor = self.users(users)[:, None].expand(-1, hidden.shape[1], -1)
        if "drift" in self.config.history_parts:
            assert history is not None
            summaries = self.dropout(summarize(self.items, history))  # (Z, d)
            drift = self.speed(users) * self.drifted(summaries, history)  # (B, user_width)
            profile = profile + drift[:, None]
        if "deviation" in self.config.history_parts:
            assert history is not None
            speed = self.speed(users) * history.deviations[:, None]  # (B, 1), α_u dev_u(t)
            profile = profile + (speed * self.direction)[:, None]
        if self.config.drift:
            profile = profile + self.speed(users)[:, None] * self.evolution(hidden)
        return profile

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding and the bias."""
        return self.items.vectors(), self.items.candidate_bias(self.bias)
