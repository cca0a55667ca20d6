"""ASARS: a session RNN, attention by how long items were looked at, and a profile of the user.

Wang, Li & Yan, Time-weighted Attentional Session-Aware Recommender System (numbers are the
paper's equations). With h the states of an RNN over the clicks, k those of another one over how
long each was looked at, δ, and e_u the user's embedding:

    h_j = LSTM(drop(E x_j)),  k_j = LSTM(drop(G bin(δ_j)))    (3), (10)
    p_j = tanh(W_s k_j + b_s),  s_j = p_j · h_j               (15)
    q_t = Σ_{j ≤ t} α_tj h_j,  α_t = softmax over j ≤ t of s  (16), (17)
    score = o_t · E x + b                                     (20)

    user_att   o = W q,  with p_j = tanh(W_u h_j + b_u) and s_j = p_j · e_u    (19)
    user_cat   o = W [h ; e_u]
    time_att   o = W q
    time_cat   o = W h,  the RNN reads [E x_j ; G bin(gap)]
    time_user  o = W [q ; e_u]

All prefixes are one pass: the energies of a session are a triangle (T, T) of which row t ends at
column t (18).

When is δ_t known? It is the time from click t to the click that is to be predicted, so nobody has
it when the recommendation is asked for. `gap` says what a row gets instead:

- causal (default): row t knows δ_j of the clicks before t. Its own click stands with
  p̃_t = tanh(W_s k_{t-1} + b_own), k_0 = 0. time_cat reads the gap before each click.
- elapsed: the same, and how long the visitor has been on the last click so far, which a server
  knows while it waits: A G bin(waited_t) is added within p̃_t, for time_cat to o_t. See
  `training.context` for how it is trained without a word of the target's time.
- oracle: the paper's, δ_t included. It leaks, and is labeled so wherever it is reported.

Where we differ from the paper:
- It fills the triangle's upper part with 0, whose softmax is not 0: q_t would contain states that
  have read the target. We fill with -∞.
- Equations 5 to 14 add terms (μ, b_u, dev_u) that are the same for all items and change no ranking;
  b_{i,tbin} needs the time that a visitor will spend on the candidate. They are left out. The drift
  of tastes (11) is the option `drift`, e_u(t) = e_u + α_u D h_t, with a number α_u for each user.
- Equations 16 and 17 have h without an index, which would make q = h; the b_u of equation 18 may be
  the state, the user or a vector that is learned: `attend` says h_j (default) or a learned vector.
- Equation 3 says GRU and section 3.3 LSTM: `cell`.
- Bins are those of Scott's rule; see `gap_bins`.
- Loss: the paper's hinge is BPR with a sign turned around in its equation 21; ours are the usual
  ones. Sessions begin with a state of zero each; the paper's parallel batches hand it on.

An unknown user is a row of its own, trained by `user_dropout`; a session without times is read as
trained by `time_dropout`. So every variant answers an anonymous visitor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, FloatRange, Space
from nextclick.models.explanation import record_attention
from nextclick.models.neural_model import ATTENTIVE, NEURAL, Encoder, NeuralModel
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

    from nextclick.models.base import Capabilities, Moment
    from nextclick.models.neural_model import DatasetInfo

_READS = {
    "user_att": {"users"},
    "user_cat": {"users"},
    "time_att": {"times"},
    "time_cat": {"times"},
    "time_user": {"times", "users"},
}


@dataclass(frozen=True, slots=True)
class ASARSConfig:
    """Parameters of ASARS."""

    variant: Annotated[
        Literal["user_att", "user_cat", "time_att", "time_cat", "time_user"],
        Field(description="what the RNN is joined with: the user, the time on each item, or both"),
    ] = "time_user"
    gap: Annotated[
        Literal["causal", "elapsed", "oracle"],
        Field(
            description="what is known of the time on the last item: nothing; what has passed so "
            "far; oracle, all of it, as the paper has it: a leak"
        ),
    ] = "causal"
    cell: Annotated[Literal["lstm", "gru"], Field(description="cell of the RNNs")] = "lstm"
    attend: Annotated[
        Literal["state", "context"],
        Field(
            description="time_att, time_user: a key meets its click's state, or a learned vector"
        ),
    ] = "state"
    drift: Annotated[
        bool, Field(description="variants with a user: tastes move with the session (11)")
    ] = False
    item_width: Annotated[int, Field(ge=1, description="width of an item's embedding")] = 64
    gap_width: Annotated[int, Field(ge=1, description="width of a gap's embedding")] = 16
    user_width: Annotated[int, Field(ge=1, description="width of a user's embedding")] = 32
    hidden_width: Annotated[int, Field(ge=1, description="width of the RNNs' states")] = 100
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout between embeddings and RNNs")
    ] = 0.5
    user_dropout: Annotated[
        float, Field(ge=0, le=1, description="share of the rows that train the unknown user")
    ] = 0.1
    time_dropout: Annotated[
        float, Field(ge=0, le=1, description="share of the rows that are trained without times")
    ] = 0.05
    max_length: Annotated[int, Field(ge=1, description="latest clicks that are read")] = 200


def _attends(config: ASARSConfig) -> bool:
    return config.variant in ("user_att", "time_att", "time_user")


class ASARSEncoder(Encoder):
    """Any of the five variants."""

    seen_users: Tensor

    def __init__(self, config: ASARSConfig, n_items: int, facts: DatasetInfo):
        super().__init__()
        self.config = config
        self.by_time = config.variant in ("time_att", "time_user")
        self.attends = _attends(config)
        d, H = config.item_width, config.hidden_width
        self.dropout = Dropout(config.dropout)
        self.items = item_embedding(n_items, d)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        normal_(self.items.weight, 1.0 / d)
        clear_padding_(self.items)
        rnn = nn.LSTM if config.cell == "lstm" else nn.GRU
        timed = config.gap_width if config.variant == "time_cat" else 0
        self.rnn = rnn(d + timed, H, batch_first=True)
        if "times" in _READS[config.variant]:
            self._make_gaps(facts)
        if self.by_time:
            self.time_rnn = rnn(config.gap_width, H, batch_first=True)
            self.key = nn.Linear(H, H)  # W_s, b_s
            self.own = nn.Parameter(torch.zeros(H))
            if config.attend == "context":
                self.context = nn.Parameter(torch.randn(H) / H**0.5)
        joined = H
        if "users" in _READS[config.variant]:
            self._make_users(facts)
            joined += 0 if config.variant == "user_att" else config.user_width
        self.output = nn.Linear(joined, d, bias=False)  # W

    def _make_gaps(self, facts: DatasetInfo) -> None:
        assert facts.bins is not None
        config, self.bins = self.config, facts.bins
        self.register_buffer("gap_width", torch.tensor([facts.bins.width], dtype=torch.float64))
        self.gaps = item_embedding(facts.bins.n_rows - 1, config.gap_width)
        normal_(self.gaps.weight, 1.0 / config.gap_width)
        clear_padding_(self.gaps)
        if config.gap == "elapsed":
            width = config.hidden_width if self.by_time else config.item_width
            self.waiting = nn.Linear(config.gap_width, width, bias=False)  # A

    def _make_users(self, facts: DatasetInfo) -> None:
        assert facts.seen_users is not None
        config, seen = self.config, torch.from_numpy(facts.seen_users.copy())
        self.register_buffer("seen_users", seen)
        self.users = nn.Embedding(len(seen), config.user_width)
        normal_(self.users.weight, 1.0 / config.user_width)
        if config.variant == "user_att":
            self.key = nn.Linear(config.hidden_width, config.user_width)  # W_u, b_u
        if config.drift:
            self.evolution = nn.Linear(config.hidden_width, config.user_width, bias=False)  # D
            self.speed = nn.Embedding(len(seen), 1)  # α_u
            nn.init.zeros_(self.speed.weight)

    def forward(
        self,
        items: Tensor,
        gaps: Tensor | None = None,
        waited: Tensor | None = None,
        users: Tensor | None = None,
    ) -> Tensor:
        """(B, T, D) queries of (B, T) items; see `neural.Encoder`."""
        config = self.config
        x = self.dropout(self.items(items))  # (B, T, d)
        if gaps is not None and waited is not None:
            gaps = self._hidden_times(gaps)
        if config.variant == "time_cat":
            assert gaps is not None and waited is not None
            seen = self._dwell(items, waited) if config.gap == "oracle" else self._gaps(items, gaps)
            x = torch.cat([x, self.dropout(seen)], dim=-1)
        hidden, _ = self.rnn(x)  # (B, T, H)
        user = None if users is None else self._user(users, hidden)  # (B, T, 32)
        features = hidden
        if self.attends:
            alpha = self.attention(items, hidden, gaps, waited, user)
            record_attention("read-out", alpha[:, -1])
            features = alpha @ hidden
        if user is not None and config.variant != "user_att":
            features = torch.cat([features, user], dim=-1)
        queries: Tensor = self.output(features)
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
        """(B, T, T) α, how much click j counts for the prefix that ends at t; 0 for j > t."""
        if not self.by_time:
            assert user is not None
            keys = torch.tanh(self.key(hidden))  # (B, T, 32)
            return causal_softmax(user @ keys.transpose(1, 2))
        assert gaps is not None and waited is not None
        if self.config.gap == "oracle":
            dwell, _ = self.time_rnn(self.dropout(self._dwell(items, waited)))
            energy = self._energy(torch.tanh(self.key(dwell)), hidden)  # (B, T)
            return causal_softmax(energy[:, None].expand(-1, energy.shape[1], -1))
        known = self._dwell(items, torch.cat([gaps[:, 1:], torch.zeros_like(gaps[:, :1])], 1))
        dwell, _ = self.time_rnn(self.dropout(known))  # (B, T, H), the last of no use to any row
        each = self._energy(torch.tanh(self.key(dwell)), hidden)  # (B, T)
        before = nn.functional.pad(dwell[:, :-1], (0, 0, 1, 0))  # (B, T, H), k_{t-1}
        own = nn.functional.linear(before, self.key.weight, self.own)
        if self.config.gap == "elapsed":
            own = own + self.waiting(self.gaps(self.bins.rows(waited)))
        return triangle(each, self._energy(torch.tanh(own), hidden))

    def _energy(self, keys: Tensor, hidden: Tensor) -> Tensor:
        """(B, T) how a key meets its click."""
        met = self.context if self.config.attend == "context" else hidden
        return (keys * met).sum(-1)

    def _hidden_times(self, gaps: Tensor) -> Tensor:
        """While training, some rows without their times."""
        if not self.training or self.config.time_dropout == 0.0:
            return gaps
        hides = torch.rand(len(gaps), 1, device=gaps.device) < self.config.time_dropout
        return gaps.masked_fill(hides, torch.nan)

    def _gaps(self, items: Tensor, gaps: Tensor) -> Tensor:
        """(B, T, 16) embeddings of the gaps before the clicks."""
        rows = self.bins.rows(gaps)
        rows[:, 0] = START
        return self._embedded(items, rows)

    def _dwell(self, items: Tensor, seconds: Tensor) -> Tensor:
        """(B, T, 16) embeddings of the times to the next click."""
        return self._embedded(items, self.bins.rows(seconds))

    def _embedded(self, items: Tensor, rows: Tensor) -> Tensor:
        embedded: Tensor = self.gaps(rows.masked_fill(items == 0, 0))
        return embedded

    def _user(self, users: Tensor, hidden: Tensor) -> Tensor:
        """(B, T, 32) profile at each click."""
        users = torch.where(self.seen_users[users], users, 0)
        if self.training and self.config.user_dropout > 0.0:
            forgets = torch.rand(len(users), device=users.device) < self.config.user_dropout
            users = users.masked_fill(forgets, 0)
        profile: Tensor = self.users(users)[:, None].expand(-1, hidden.shape[1], -1)
        if self.config.drift:
            profile = profile + self.speed(users)[:, None] * self.evolution(hidden)
        return profile

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The items as they are read, and their bias."""
        return self.items.weight, self.bias


def triangle(each: Tensor, own: Tensor) -> Tensor:
    """(B, T, T) weights of all prefixes in one pass: row t is a softmax over clicks 0..t.

    Args:
        each: (B, T) energy of a click for the rows after it.
        own: (B, T) energy of a click for its own row.
    """
    T = each.shape[1]
    diagonal = torch.eye(T, dtype=torch.bool, device=each.device)
    return causal_softmax(torch.where(diagonal, own[:, :, None], each[:, None, :]))


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
        "dropout": FloatRange(0.0, 0.7),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": SAMPLED_SOFTMAX,
        "paper": ASARS_HINGE,
    }

    @classmethod
    def requires(cls, config: ASARSConfig) -> frozenset[str]:
        """Times, users or both."""
        return frozenset(_READS[config.variant])

    @classmethod
    def capabilities_of(cls, config: ASARSConfig) -> Capabilities:
        """Attention, where the variant has any; the moment of prediction that `gap` names."""
        moments: dict[str, Moment] = {
            "causal": "at-click",
            "elapsed": "while-waiting",
            "oracle": "at-target",
        }
        moment = moments[config.gap] if "times" in cls.requires(config) else "at-click"
        return replace(ATTENTIVE if _attends(config) else NEURAL, prediction_moment=moment)
