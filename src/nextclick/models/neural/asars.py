"""ASARS: a session RNN with attention by dwell time, and a user profile.

Wang, Li & Yan, Time-weighted Attentional Session-Aware Recommender System (numbers are the
paper's equations). With h the states of an RNN over the clicks, k the states of an RNN over the
dwell times δ, and e_u the embedding of the user:

    h_j = LSTM(drop(E x_j)),  k_j = LSTM(drop(G bin(δ_j)))    (3), (10)
    p_j = tanh(W_s k_j + b_s),  s_j = p_j · h_j               (15)
    q_t = Σ_{j ≤ t} α_tj h_j,  α_t = softmax over j ≤ t of s  (16), (17)
    score = o_t · E x + b                                     (20)

    user_att   o = W q,  with p_j = tanh(W_u h_j + b_u) and s_j = p_j · e_u    (19)
    user_cat   o = W [h ; e_u]
    time_att   o = W q
    time_cat   o = W h,  the RNN reads [E x_j ; G bin(gap)]
    time_user  o = W [q ; e_u]

One causal pass computes all prefixes: the energies of a session are a lower triangle (T, T), with
row t for the prefix that ends at click t (18).

The dwell time δ_t is the time from click t to the click to predict, so it is unknown when the
prediction is made. `gap` selects what row t uses instead:

- causal (default): row t uses δ_j of the clicks before t. The key of its own click is
  p̃_t = tanh(W_s k_{t-1} + b_own), k_0 = 0. time_cat reads the gap before each click.
- elapsed: in addition the time since the last click, which a server knows while the visitor stays
  on the page: A G bin(waited_t) is added inside p̃_t, in time_cat to o_t.
  `training.encoder_inputs` draws these times in training independently of the target's time.
- oracle: the paper's form, with δ_t. It leaks, and every report labels it as leaky.

Differences from the paper:
- The paper fills the upper triangle with 0, whose softmax is not 0: q_t would contain states that
  have read the target. We fill with -∞.
- Equations 5 to 14 add terms (μ, b_u, dev_u) that are equal for all items and do not change the
  ranking; b_{i,tbin} needs the dwell time on the candidate. We leave them out. The drift of tastes
  (11) is the option `drift`: e_u(t) = e_u + α_u D h_t, with a scalar α_u for each user.
- Equations 16 and 17 have h without an index, which would make q = h. The query of equation 18 is
  b_u: an embedding of the user by the legend of Figure 4, h_session by equation 15, or a learned
  vector. `attend` multiplies p_j with h_j (state), h_t (last), e_u (user), or a vector (context).
  The preset `paper` has attend=user; a variant without users then uses h_j.
- Equation 3 has a GRU and section 3.3 an LSTM: `cell`.
- Bins follow Scott's rule; `bins` selects other rules, see `gap_bins`.
- Items start at N(0, 1/d²), as in the published code of the baselines. With `item_init=unit` they
  start at N(0, 1/d); with `readout=both` the query reads [h_t ; q_t], and `output_dropout` applies
  to what it reads. The preset `default` has these forms; `paper` does not.
- The paper's hinge is BPR with a reversed sign in equation 21; our losses are the usual ones. Each
  session starts from a zero state; the paper's parallel batches carry the state over.

The unknown user has an embedding, trained by `user_dropout`; sessions without times are trained by
`time_dropout`. So every variant works for anonymous visitors.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from nextclick.core.search_space import Choice, FloatRange, Space
from nextclick.models.model_explanation import record_attention
from nextclick.models.neural.asars_config import ASARSConfig
from nextclick.models.neural_model import ATTENTIVE, NEURAL, DatasetInfo, Encoder, NeuralModel
from nextclick.models.ops.gap_bins import START
from nextclick.models.ops.layers import (
    Dropout,
    causal_softmax,
    clear_padding_,
    item_embedding,
    normal_,
)
from nextclick.models.presets import ASARS_HINGE, SAMPLED_SOFTMAX, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.models.base import Capabilities, Moment

# chosen on validation splits; see docs/results/asars.md
IMPROVED: dict[str, Any] = {
    "item_init": "unit",
    "cell": "gru",
    "readout": "both",
    "dropout": 0.25,
    "output_dropout": 0.5,
}


class ASARSEncoder(Encoder):
    """The encoder of all five variants."""

    seen_users: Tensor

    def __init__(self, config: ASARSConfig, n_items: int, dataset_info: DatasetInfo):
        super().__init__()
        self.config = config
        d, H = config.item_width, config.hidden_width
        self.dropout = Dropout(config.dropout)
        self.output_dropout = Dropout(config.output_dropout)
        self.items = item_embedding(n_items, d)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        normal_(self.items.weight, 1.0 / d if config.item_init == "narrow" else 1.0 / math.sqrt(d))
        clear_padding_(self.items)
        rnn = nn.LSTM if config.cell == "lstm" else nn.GRU
        time_width = config.gap_width if config.variant == "time_cat" else 0
        self.rnn = rnn(d + time_width, H, batch_first=True)
        if "times" in config.required:
            self._init_gaps(dataset_info)
        if config.by_time:
            self.time_rnn = rnn(config.gap_width, H, batch_first=True)
            self.key = nn.Linear(H, self.key_width)  # W_s, b_s
            self.own = nn.Parameter(torch.zeros(self.key_width))
            if config.attend == "context":
                self.context = nn.Parameter(torch.randn(H) / H**0.5)
        feature_width = 2 * H if config.has_attention and config.readout == "both" else H
        if "users" in config.required:
            self._init_users(dataset_info)
            feature_width += 0 if config.variant == "user_att" else config.user_width
        self.output = nn.Linear(feature_width, d, bias=False)  # W

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
            self.speed = nn.Embedding(len(seen_users), 1)  # α_u
            nn.init.zeros_(self.speed.weight)

    def forward(
        self,
        items: Tensor,
        gaps: Tensor | None = None,
        waited: Tensor | None = None,
        users: Tensor | None = None,
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
        hidden, _ = self.rnn(x)  # (B, T, H)
        user = None if users is None else self._profile(users, hidden)  # (B, T, user_width)
        features = hidden
        if config.has_attention:
            alpha = self.attention(items, hidden, gaps, waited, user)  # (B, T, T)
            record_attention("attention-pooling", alpha[:, -1])
            features = alpha @ hidden  # (B, T, H), q
            if config.readout == "both":
                features = torch.cat([hidden, features], dim=-1)  # (B, T, 2 H)
        if user is not None and config.variant != "user_att":
            features = torch.cat([features, user], dim=-1)  # (B, T, H + user_width) or wider
        queries: Tensor = self.output(self.output_dropout(features))  # (B, T, d), o
        if config.variant == "time_cat" and config.gap == "elapsed":
            assert waited is not None
            queries = queries + self.waiting(self.gaps(self.bins.rows(waited)))
        return queries

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
            return causal_softmax(user @ key.transpose(1, 2))
        assert gaps is not None and waited is not None
        query = self._attention_query(hidden, user)
        if self.config.gap == "oracle":
            states, _ = self.time_rnn(self.dropout(self._embed_dwell(items, waited)))  # (B, T, H)
            energy = self._energy(torch.tanh(self.key(states)), query)  # (B, 1 or T, T)
            return causal_softmax(energy.expand(-1, energy.shape[2], -1))
        dwell = torch.cat([gaps[:, 1:], torch.zeros_like(gaps[:, :1])], 1)  # (B, T)
        # (B, T, H), k; no row reads the state of the last click
        states, _ = self.time_rnn(self.dropout(self._embed_dwell(items, dwell)))
        energy = self._energy(torch.tanh(self.key(states)), query)  # (B, 1 or T, T)
        previous = nn.functional.pad(states[:, :-1], (0, 0, 1, 0))  # (B, T, H), k_{t-1}
        own_key = nn.functional.linear(previous, self.key.weight, self.own)  # (B, T, key_width)
        if self.config.gap == "elapsed":
            own_key = own_key + self.waiting(self.gaps(self.bins.rows(waited)))
        return triangle_softmax(energy, (torch.tanh(own_key) * query).sum(-1))

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
        return query @ key.transpose(1, 2)

    def _drop_times(self, gaps: Tensor) -> Tensor:
        """In training, gaps with some rows set to NaN (`time_dropout`)."""
        if not self.training or self.config.time_dropout == 0.0:
            return gaps
        dropped = torch.rand(len(gaps), 1, device=gaps.device) < self.config.time_dropout
        return gaps.masked_fill(dropped, torch.nan)

    def _embed_gaps(self, items: Tensor, gaps: Tensor) -> Tensor:
        """(B, T, gap_width) embeddings of the gap before each click."""
        rows = self.bins.rows(gaps)
        rows[:, 0] = START
        return self._embed_rows(items, rows)

    def _embed_dwell(self, items: Tensor, seconds: Tensor) -> Tensor:
        """(B, T, gap_width) embeddings of the dwell time of each click."""
        return self._embed_rows(items, self.bins.rows(seconds))

    def _embed_rows(self, items: Tensor, rows: Tensor) -> Tensor:
        """(B, T, gap_width) embeddings of (B, T) rows; padding where `items` is padding."""
        embeddings: Tensor = self.gaps(rows.masked_fill(items == 0, 0))
        return embeddings

    def _profile(self, users: Tensor, hidden: Tensor) -> Tensor:
        """(B, T, user_width) profile of the user at each click, e_u(t)."""
        users = torch.where(self.seen_users[users], users, 0)
        if self.training and self.config.user_dropout > 0.0:
            dropped = torch.rand(len(users), device=users.device) < self.config.user_dropout
            users = users.masked_fill(dropped, 0)
        profile: Tensor = self.users(users)[:, None].expand(-1, hidden.shape[1], -1)
        if self.config.drift:
            profile = profile + self.speed(users)[:, None] * self.evolution(hidden)
        return profile

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding and the bias."""
        return self.items.weight, self.bias


def triangle_softmax(energy: Tensor, own_energy: Tensor) -> Tensor:
    """(B, T, T) weights of all prefixes: row t is a softmax over clicks 0..t.

    Args:
        energy: (B, 1, T) energy of each click in the rows after its own, or (B, T, T) energy of
            each click in each of these rows.
        own_energy: (B, T) energy of each click in its own row.
    """
    T = own_energy.shape[1]
    diagonal = torch.eye(T, dtype=torch.bool, device=energy.device)
    return causal_softmax(torch.where(diagonal, own_energy[:, :, None], energy))


class ASARS(NeuralModel):
    """Session RNN with attention by dwell time and a user profile, in five variants."""

    name: ClassVar[str] = "asars"
    Config: ClassVar[type[ASARSConfig]] = ASARSConfig
    encoder_type: ClassVar[type[Encoder]] = ASARSEncoder
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "item_width": Choice(32, 64, 100),
        "gap_width": Choice(8, 16, 32),
        "hidden_width": Choice(64, 100, 150),
        "item_init": Choice("narrow", "unit"),
        "cell": Choice("lstm", "gru"),
        "readout": Choice("attended", "both"),
        "bins": Choice("scott", "log", "quantile"),
        "dropout": FloatRange(0.0, 0.7),
        "output_dropout": FloatRange(0.0, 0.7),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": SAMPLED_SOFTMAX | IMPROVED,
        "paper": ASARS_HINGE | {"attend": "user"},
    }

    @classmethod
    def requires(cls, config: ASARSConfig) -> frozenset[str]:
        """Times, users or both, by variant."""
        return config.required

    @classmethod
    def capabilities_of(cls, config: ASARSConfig) -> Capabilities:
        """Attention, if the variant has any, and the prediction moment that `gap` selects."""
        moments: dict[str, Moment] = {
            "causal": "at-click",
            "elapsed": "while-waiting",
            "oracle": "at-target",
        }
        moment = moments[config.gap] if "times" in config.required else "at-click"
        return replace(ATTENTIVE if config.has_attention else NEURAL, prediction_moment=moment)

    @classmethod
    def dataset_info(cls, config: ASARSConfig, sessions: Sessions) -> DatasetInfo:
        """See `NeuralModel.dataset_info`."""
        return DatasetInfo.from_sessions(sessions, cls.requires(config), bins=config.bins)
