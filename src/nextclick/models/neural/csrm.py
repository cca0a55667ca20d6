"""CSRM: NARM's encoder with a memory of the latest sessions.

Wang et al., A Collaborative Session-based Recommendation Approach with Parallel Memory Modules,
SIGIR 2019. For the prefix x_1..x_t, with two GRUs over the same embeddings:

    g    = last state of the first GRU
    e_tj = vᵀ σ(A1 h_t + A2 h_j),  α_t = softmax over j ≤ t      h: states of the second GRU
    l    = Σ_j α_tj h_j
    o    = Σ_m w_m m,  w = softmax of cos(l, m), m the `neighbors` nearest in memory
    f    = σ(a·l + b·o + c·g)                                     a number
    c    = drop(f [l ; g] + (1 - f) [o ; o])
    score = E B c

with l, o and g each normalized to mean 0 and variance 1 before they enter f and c. The memory is a
queue of the latest 10,000 training vectors l; it receives no gradient. While it is empty, at the
start of an epoch, o = l.

The memory leaks no targets:
- Only training writes it: a step reads it for all of its prefixes, then adds their vectors.
  Sessions are in the order of time (`shuffle` is false in the presets) and each epoch starts with
  an empty memory, so a prefix reads vectors of earlier sessions only.
- A prefix never reads vectors of its own session. They could reveal its target if a long session
  is in several batches, or if `shuffle` is true.
- After training the memory is frozen in its state at the end of the selected epoch and stored in
  the artifact. Validation, test and serving read it and never write it, so a recommendation depends
  on the session alone. The authors' code also writes during validation and test: when it ranks a
  prefix, the memory may hold the vector of a longer prefix of the session, which has read the
  target.
- It holds vectors of the latest training sessions. Evaluate the model on other sessions.

Differences between the paper, the authors' code (github.com/wmeirui/CSRM_SIGIR2019) and ours:
- From the code: the softmax over e, the scalar f, the normalizations, and no strength factor of the
  similarity.
- The code resets the state of a GRU before the product; `nn.GRU` resets it after.
- The code reads whole sessions; we read the latest 19 clicks, as NARM.
- As in the code, the second step of an epoch reads the vectors of the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from nextclick.core.array_checks import check_range, named_array
from nextclick.core.search_space import Choice, FloatRange, Space, drop_fixed
from nextclick.models.encoder import Encoder
from nextclick.models.model_explanation import record_attention, record_neighbors
from nextclick.models.neural_model import ATTENTIVE, NeuralModel
from nextclick.models.ops.additive_attention import additive_energy
from nextclick.models.ops.gru import GRU, row_lengths
from nextclick.models.ops.layers import (
    Dropout,
    causal_softmax,
    clear_padding_,
    item_embedding,
    normal_,
    uniform_,
)
from nextclick.models.ops.nearest_rows import EMPTY, nearest, weighted_rows
from nextclick.models.ops.prefix_inputs import (
    TensorRecord,
    built_for_all,
    last_cells,
    scatter_to_batch,
)
from nextclick.models.presets import SAMPLED_SOFTMAX_OF_GRAPHS, TRAINING_SPACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nextclick.core.types import AnyArray, Int64Array
    from nextclick.models.base import Capabilities

_NO_SESSION = EMPTY  # session of an empty slot of the memory
_VARIANCE_EPS = 1e-10  # added to variances, as in the code
_MIN_NORM = 1e-8  # smallest norm in a cosine


@dataclass(frozen=True, slots=True)
class CSRMConfig:
    """Parameters of CSRM."""

    embedding_width: Annotated[int, Field(ge=1, description="width of an item's embedding")] = 150
    hidden_width: Annotated[int, Field(ge=1, description="width of the GRUs' states")] = 150
    memory_size: Annotated[
        int, Field(ge=1, description="number of prefixes in the memory, the latest of training")
    ] = 10_000
    neighbors: Annotated[
        int, Field(ge=1, description="number of most similar prefixes read from the memory")
    ] = 512
    embedding_dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout between embedding and GRUs")
    ] = 0.25
    output_dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout between session features and decoder")
    ] = 0.5
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 19


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
    """Two GRUs, attention, memory and fusion gate."""

    mixes_rows = True  # by the memory

    def __init__(self, config: CSRMConfig, n_items: int):
        super().__init__()
        d, H = config.embedding_width, config.hidden_width
        self.config = config
        self.items = item_embedding(n_items, d)
        self.whole = GRU(d, H)
        self.purpose = GRU(d, H)
        self.attend_last = nn.Linear(H, H, bias=False)  # A1
        self.attend_each = nn.Linear(H, H, bias=False)  # A2
        self.attend = nn.Parameter(torch.empty(H))  # v
        self.memory = Memory(config)
        self.gate = nn.Linear(3 * H, 1, bias=False)  # a, b, c
        self.bilinear = nn.Linear(2 * H, d, bias=False)  # B
        self.embedding_dropout = Dropout(config.embedding_dropout)
        self.output_dropout = Dropout(config.output_dropout)
        self._init_weights(n_items)

    def _init_weights(self, n_items: int) -> None:
        """Draw weights as the code: randn · √(2 / rows), GRUs as TensorFlow's cells."""
        d, H = self.config.embedding_width, self.config.hidden_width
        normal_(self.items.weight, math.sqrt(2.0 / n_items))
        clear_padding_(self.items)
        for gru in (self.whole, self.purpose):
            _init_like_tensorflow_(gru)
        for layer in (self.attend_last, self.attend_each, self.gate):
            normal_(layer.weight, math.sqrt(2.0 / H))
        normal_(self.attend, math.sqrt(2.0))  # a matrix of one row
        normal_(self.bilinear.weight, math.sqrt(2.0 / d))

    def begin_epoch(self) -> None:
        """Clear the memory: the epoch starts with the oldest sessions."""
        self.memory.clear()

    def prepare_prefixes(
        self, items: Int64Array, cells: Int64Array, session: Int64Array | None
    ) -> CSRMPrefixes:
        """The cells of the prefixes and their training sessions."""
        owner = None if session is None else torch.from_numpy(session[cells // items.shape[1]])
        return CSRMPrefixes(torch.from_numpy(cells), owner)

    def last_prefixes(self, items: Tensor, last: Tensor) -> CSRMPrefixes:
        """See `Encoder.last_prefixes`."""
        return CSRMPrefixes(last_cells(items, last), None)

    def forward(self, items: Tensor, prefixes: CSRMPrefixes | None = None) -> Tensor:
        """(B, T, D) queries of (B, T) items."""
        prefixes = prefixes or built_for_all(self.prepare_prefixes, items)
        cells = prefixes.cells
        clicks = self.embedding_dropout(self.items(items))  # (B, T, d)
        lengths = row_lengths(items)  # batches in the order of time are mostly padding
        states, _ = self.whole(clicks, lengths=lengths)  # (B, T, H)
        hidden, _ = self.purpose(clicks, lengths=lengths)  # (B, T, H), h
        alpha = self.attention(hidden)  # (B, T, T)
        record_attention("attention-pooling", alpha[:, -1])
        attended = alpha @ hidden  # (B, T, H)
        whole = states.flatten(0, 1).index_select(0, cells)  # (P, H), g
        purpose = attended.flatten(0, 1).index_select(0, cells).float()  # (P, H), l
        neighbors = self.memory.read(purpose, prefixes.session)  # (P, H), o
        if self.training:
            self.memory.write(purpose, prefixes.session)
        features = self.fuse(whole, purpose, neighbors)  # (P, 2H), c
        return scatter_to_batch(self.bilinear(self.output_dropout(features)), cells, items)

    def attention(self, hidden: Tensor) -> Tensor:
        """(B, T, T) α, the weight of click j in the prefix that ends at t; 0 for j > t."""
        query, key = self.attend_last(hidden), self.attend_each(hidden)  # (B, T, H) each
        energy = additive_energy(query, key, self.attend)  # (B, T, T)
        return causal_softmax(energy)

    def fuse(self, whole: Tensor, purpose: Tensor, neighbors: Tensor) -> Tensor:
        """(P, 2H) c before dropout, of (P, H) g, l and o."""
        g, l, o = (_normalized(x) for x in (whole, purpose, neighbors))  # noqa: E741, paper's names
        f = torch.sigmoid(self.gate(torch.cat([l, o, g], dim=-1)))  # (P, 1)
        return f * torch.cat([l, g], dim=-1) + (1 - f) * torch.cat([o, o], dim=-1)

    def table(self) -> tuple[Tensor, Tensor | None]:
        """The shared embedding, without bias."""
        return self.items.weight, None


class Memory(nn.Module):
    """A queue of M vectors with their sessions. It has buffers and no trainable weights."""

    held: Tensor
    session: Tensor
    written: Tensor

    def __init__(self, config: CSRMConfig):
        super().__init__()
        size = config.memory_size
        self.neighbors = config.neighbors
        self.register_buffer("held", torch.zeros(size, config.hidden_width))
        self.register_buffer("session", torch.full((size,), _NO_SESSION))
        self.register_buffer("written", torch.zeros(1, dtype=torch.int64))  # total count

    def clear(self) -> None:
        """Empty the queue."""
        self.held.zero_()
        self.session.fill_(_NO_SESSION)
        self.written.zero_()

    def read(self, query: Tensor, session: Tensor | None) -> Tensor:
        """(P, H) weighted sums of the nearest vectors; the query itself if there is none.

        Args:
            query: (P, H).
            session: (P,) int64, the session whose vectors a query must not read, or None.
        """
        with torch.autocast(query.device.type, enabled=False):  # bf16 is too coarse for ranking
            k = min(self.neighbors, len(self.held))
            cosine, slots = nearest(
                _unit(query), _unit(self.held), self.session, session, k
            )  # (P, K) each
        no_neighbor = (cosine == -torch.inf).all(dim=1, keepdim=True)  # (P, 1)
        weight = cosine.masked_fill(no_neighbor, 0.0).softmax(dim=1)  # (P, K)
        record_neighbors(cosine[0], weight[0], self.session[slots[0]])
        return torch.where(no_neighbor, query, weighted_rows(self.held, slots, weight))

    @torch.no_grad()
    def write(self, vectors: Tensor, session: Tensor | None) -> None:
        """Append (P, H) vectors; the oldest are overwritten."""
        size = len(self.held)
        if session is None:
            session = torch.full((len(vectors),), _NO_SESSION - 1, device=vectors.device)
        vectors, session = vectors.detach()[-size:], session[-size:]
        slots = (self.written + torch.arange(len(vectors), device=vectors.device)) % size
        # not in place: the backward pass of this step still needs the vectors that were read
        self.held = self.held.index_copy(0, slots, vectors)
        self.session = self.session.index_copy(0, slots, session)
        self.written = self.written + len(vectors)


def _init_like_tensorflow_(gru: nn.GRU) -> None:
    """Draw Glorot weights over inputs and state together; biases of both gates are 1."""
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
    """Rows (…, H) scaled to norm 1; rows of zeros stay zero."""
    return nn.functional.normalize(rows, dim=-1, eps=_MIN_NORM)


def _normalized(rows: Tensor) -> Tensor:
    """Rows (P, H) normalized to mean 0 and variance 1."""
    return nn.functional.layer_norm(rows.float(), rows.shape[-1:], eps=_VARIANCE_EPS)


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
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    # without shuffle: a shuffled epoch would put later sessions into the memory
    search_space: ClassVar[Space] = drop_fixed(TRAINING_SPACE, ["shuffle"]) | {
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

    @classmethod
    def check_state(cls, state: Mapping[str, AnyArray], config: Any, n_items: int) -> None:
        """Check the weights, and the counters that select the slots of the memory."""
        super().check_state(state, config, n_items)
        written, session = (named_array(state, f"memory.{n}") for n in ("written", "session"))
        check_range("memory.written", written, 0, 2**62)
        check_range("memory.session", session, _NO_SESSION - 1, 2**62)
