"""CSRM: NARM's encoder, and a memory of what the latest sessions were about.

Wang et al., A Collaborative Session-based Recommendation Approach with Parallel Memory Modules,
SIGIR 2019. For the prefix x_1..x_t, with two GRUs over the same embeddings:

    g    = last state of the first GRU
    e_tj = vᵀ σ(A1 h_t + A2 h_j),  α_t = softmax over j ≤ t      h: states of the second GRU
    l    = Σ_j α_tj h_j
    o    = Σ_m w_m m,  w = softmax of cos(l, m), m the `neighbors` nearest in memory
    f    = σ(a·l + b·o + c·g)                                     a number
    c    = drop(f [l ; g] + (1 - f) [o ; o])
    score = E B c

with l, o and g normalized to mean 0 and variance 1 each before they enter f and c. The memory is
the queue of the latest 10,000 vectors l of training; no gradient goes into it. While it is empty,
at the start of an epoch, o = l.

What is honest about the memory:
- It is written while training only: a step first reads it for all of its prefixes, then adds
  theirs. Sessions come in the order of time (`shuffle` is false in the presets) and each epoch
  begins with an empty memory, so that a prefix finds none but earlier sessions.
- What a prefix reads leaves out vectors of its own session, which could tell its target where a
  long session is in several batches, or where `shuffle` is true.
- After training it is frozen, as it was at the end of the epoch that is kept, and stored in the
  artifact: validation, test and visitors read the same memory and leave nothing in it. An answer
  depends on the session alone, whoever else is asking. The authors' code goes on writing in the
  validation and the test, where the vector of a longer prefix, which has read the target of a
  shorter one, can lie in memory when the shorter one is ranked.
- Of the sessions that it was trained with it remembers the ends of the latest. Rank others.

Where paper and code (github.com/wmeirui/CSRM_SIGIR2019) differ, or we differ from both:
- Softmax in e, a number f, the normalizations, and no strength of the similarity: the code's.
- The code resets the GRU's state before the product, `nn.GRU` after it.
- The code reads whole sessions, we the latest 19 clicks, as NARM.
- At the start of an epoch the code's second step reads the first's vectors, the same as here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from nextclick.core.search_space import Choice, FloatRange, Space, without
from nextclick.models.explanation import MAX_NEIGHBORS, Neighbor, active_recording, record_attention
from nextclick.models.neural_model import ATTENTIVE, Encoder, NeuralModel
from nextclick.models.ops.additive_attention import additive_energy
from nextclick.models.ops.layers import (
    Dropout,
    causal_softmax,
    clear_padding_,
    item_embedding,
    normal_,
    uniform_,
)
from nextclick.models.ops.nearest_rows import nearest, weighted_rows
from nextclick.models.ops.prefix_inputs import TensorRecord, given_or_built, scatter_to_batch
from nextclick.models.presets import SAMPLED_SOFTMAX_OF_GRAPHS, TRAINING_SPACE

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Int64Array
    from nextclick.models.base import Capabilities

_NOBODY = -1  # session of a place in memory that is empty
_SMALL = 1e-10  # added to variances, as in the code
_NEAR_ZERO = 1e-8  # smallest norm of a cosine


@dataclass(frozen=True, slots=True)
class CSRMConfig:
    """Parameters of CSRM."""

    embedding_width: Annotated[int, Field(ge=1, description="width of an item's embedding")] = 150
    hidden_width: Annotated[int, Field(ge=1, description="width of the GRUs' states")] = 150
    memory_size: Annotated[
        int, Field(ge=1, description="prefixes that the memory holds, the latest of training")
    ] = 10_000
    neighbors: Annotated[
        int, Field(ge=1, description="how many of them are read, the most similar")
    ] = 512
    embedding_dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout between embedding and GRUs")
    ] = 0.25
    output_dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout between session features and decoder")
    ] = 0.5
    max_length: Annotated[int, Field(ge=1, description="latest clicks that are read")] = 19


@dataclass(frozen=True, slots=True, eq=False)
class CSRMPrefixes(TensorRecord):
    """P prefixes of a batch.

    Attributes:
        cells: (P,) int64, the cell of the last click of each prefix, ascending.
        session: (P,) int64, the number of the training session; None outside training.
    """

    cells: Tensor
    session: Tensor | None


class CSRMEncoder(Encoder):
    """Two GRUs, attention, memory and gate."""

    def __init__(self, config: CSRMConfig, n_items: int):
        super().__init__()
        d, H = config.embedding_width, config.hidden_width
        self.config = config
        self.items = item_embedding(n_items, d)
        self.whole = nn.GRU(d, H, batch_first=True)
        self.purpose = nn.GRU(d, H, batch_first=True)
        self.attend_last = nn.Linear(H, H, bias=False)  # A1
        self.attend_each = nn.Linear(H, H, bias=False)  # A2
        self.attend = nn.Parameter(torch.empty(H))  # v
        self.memory = Memory(config)
        self.gate = nn.Linear(3 * H, 1, bias=False)  # a, b, c
        self.bilinear = nn.Linear(2 * H, d, bias=False)  # B
        self.embedding_dropout = Dropout(config.embedding_dropout)
        self.output_dropout = Dropout(config.output_dropout)
        self._draw(n_items)

    def _draw(self, n_items: int) -> None:
        """As the code: randn · √(2 / rows), and what its GRU cells begin with."""
        d, H = self.config.embedding_width, self.config.hidden_width
        normal_(self.items.weight, math.sqrt(2.0 / n_items))
        clear_padding_(self.items)
        for gru in (self.whole, self.purpose):
            _draw_gru_(gru)
        for layer in (self.attend_last, self.attend_each, self.gate):
            normal_(layer.weight, math.sqrt(2.0 / H))
        normal_(self.attend, math.sqrt(2.0))  # a matrix of one row
        normal_(self.bilinear.weight, math.sqrt(2.0 / d))

    def begin_epoch(self) -> None:
        """Forget: the epoch begins with the oldest sessions."""
        self.memory.clear()

    def prepare_prefixes(
        self, items: Int64Array, cells: Int64Array, session: Int64Array | None
    ) -> CSRMPrefixes:
        """The cells of the prefixes and their training sessions."""
        owner = None if session is None else torch.from_numpy(session[cells // items.shape[1]])
        return CSRMPrefixes(torch.from_numpy(cells), owner)

    def forward(self, items: Tensor, prefixes: CSRMPrefixes | None = None) -> Tensor:
        """(B, T, D) queries of (B, T) items."""
        prefixes = given_or_built(prefixes, self.prepare_prefixes, items)
        cells = prefixes.cells
        clicks = self.embedding_dropout(self.items(items))  # (B, T, d)
        states, _ = self.whole(clicks)  # (B, T, H)
        hidden, _ = self.purpose(clicks)
        alpha = self.attention(hidden)
        record_attention("read-out", alpha[:, -1])
        attended = alpha @ hidden
        whole = states.flatten(0, 1).index_select(0, cells)  # (P, H), g
        purpose = attended.flatten(0, 1).index_select(0, cells).float()  # (P, H), l
        others = self.memory.read(purpose, prefixes.session)  # (P, H), o
        if self.training:
            self.memory.write(purpose, prefixes.session)
        features = self.joined(whole, purpose, others)  # (P, 2H)
        return scatter_to_batch(self.bilinear(self.output_dropout(features)), cells, items)

    def attention(self, hidden: Tensor) -> Tensor:
        """(B, T, T) α, how much click j counts for the prefix that ends at t; 0 for j > t."""
        energy = additive_energy(self.attend_last(hidden), self.attend_each(hidden), self.attend)
        return causal_softmax(energy)

    def joined(self, whole: Tensor, purpose: Tensor, others: Tensor) -> Tensor:
        """(P, 2H) c, before dropout."""
        g, l, o = (_normalized(x) for x in (whole, purpose, others))  # noqa: E741, the paper's
        f = torch.sigmoid(self.gate(torch.cat([l, o, g], dim=-1)))  # (P, 1)
        return f * torch.cat([l, g], dim=-1) + (1 - f) * torch.cat([o, o], dim=-1)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding, without bias."""
        return self.items.weight, None


class Memory(nn.Module):
    """A queue of vectors, with the session that each is of. No weights: it is not learned."""

    held: Tensor
    session: Tensor
    written: Tensor

    def __init__(self, config: CSRMConfig):
        super().__init__()
        size = config.memory_size
        self.neighbors = config.neighbors
        self.register_buffer("held", torch.zeros(size, config.hidden_width))
        self.register_buffer("session", torch.full((size,), _NOBODY))
        self.register_buffer("written", torch.zeros(1, dtype=torch.int64))  # so far

    def clear(self) -> None:
        """Hold nothing."""
        self.held.zero_()
        self.session.fill_(_NOBODY)
        self.written.zero_()

    def read(self, asked: Tensor, session: Tensor | None) -> Tensor:
        """(P, H) what the nearest of the (P, H) vectors come to; themselves where there are none.

        Args:
            asked: (P, H).
            session: (P,) int64, whose vectors each leaves out, or None.
        """
        hidden = (self.session == _NOBODY)[None]
        if session is not None:
            hidden = hidden | (self.session == session[:, None])  # (P, M)
        with torch.autocast(asked.device.type, enabled=False):  # bf16 cannot tell the nearest
            k = min(self.neighbors, len(self.held))
            cosine, at = nearest(_unit(asked), _unit(self.held), hidden, k)  # (P, K) each
        alone = (cosine == -torch.inf).all(dim=1, keepdim=True)  # (P, 1)
        share = cosine.masked_fill(alone, 0.0).softmax(dim=1)  # (P, K)
        heard = active_recording()
        if heard is not None and not alone[0]:
            heard.neighbors = _remembered(cosine[0], share[0], self.session[at[0]])
        return torch.where(alone, asked, weighted_rows(self.held, at, share))

    @torch.no_grad()
    def write(self, vectors: Tensor, session: Tensor | None) -> None:
        """Take (P, H) vectors in; the oldest fall out."""
        size = len(self.held)
        if session is None:
            session = torch.full((len(vectors),), _NOBODY - 1, device=vectors.device)
        vectors, session = vectors.detach()[-size:], session[-size:]
        at = (self.written + torch.arange(len(vectors), device=vectors.device)) % size
        # not in place: the gradient of this step still has to go through what was read
        self.held = self.held.index_copy(0, at, vectors)
        self.session = self.session.index_copy(0, at, session)
        self.written = self.written + len(vectors)


def _remembered(cosine: Tensor, share: Tensor, session: Tensor) -> list[Neighbor]:
    """The places in memory that are read most, of (K,) that are read."""
    order = share.argsort(descending=True, stable=True)[:MAX_NEIGHBORS].tolist()
    return [
        Neighbor(None, float(cosine[k]), float(share[k]), int(session[k]))
        for k in order
        if session[k] != _NOBODY
    ]


def _draw_gru_(gru: nn.GRU) -> None:
    """Glorot over inputs and state together, biases of both gates 1, as TensorFlow's cell."""
    H, fan_in = gru.hidden_size, gru.input_size + gru.hidden_size
    for name, weight in gru.named_parameters():
        if name.startswith("weight"):
            uniform_(weight[: 2 * H], fan_in, 2 * H)
            uniform_(weight[2 * H :], fan_in, H)
        else:
            nn.init.zeros_(weight)
            if name.startswith("bias_ih"):
                nn.init.ones_(weight[: 2 * H])


def _unit(rows: Tensor) -> Tensor:
    """Each row (…, H) with norm 1; one of zeros stays."""
    return nn.functional.normalize(rows, dim=-1, eps=_NEAR_ZERO)


def _normalized(rows: Tensor) -> Tensor:
    """Each row (P, H) with mean 0 and variance 1."""
    return nn.functional.layer_norm(rows.float(), rows.shape[-1:], eps=_SMALL)


_PAPER: dict[str, Any] = {
    "loss": "ce",
    "optimizer": "adam",
    "learning_rate": 0.0005,
    "batch_size": 512,
    "order": "sessions",
    "shuffle": False,
    "epochs": 50,
    "patience": 10,
}


class CSRM(NeuralModel):
    """Collaborative session-based recommendation machine."""

    name: ClassVar[str] = "csrm"
    Config: ClassVar[type[CSRMConfig]] = CSRMConfig
    encoder_type: ClassVar[type[Encoder]] = CSRMEncoder
    # shuffled, the memory would hold later sessions
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    search_space: ClassVar[Space] = without(TRAINING_SPACE, ["shuffle"]) | {
        "embedding_width": Choice(50, 100, 150),
        "hidden_width": Choice(50, 100, 150),
        "neighbors": Choice(128, 256, 512, 1024),
        "embedding_dropout": FloatRange(0.0, 0.6),
        "output_dropout": FloatRange(0.0, 0.8),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": SAMPLED_SOFTMAX_OF_GRAPHS | {"shuffle": False},
        "paper": _PAPER,
    }
