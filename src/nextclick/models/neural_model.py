"""What neural models share: an encoder that gives one query for every prefix, and its items.

Whatever the encoder, a score is a product: query (P, D) against a table (N + 1, D), plus a bias.
Bi-linear, tied, separate and fully connected decoders differ only in which table that is, so that
losses, negatives and ranking are written once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from nextclick.models.base import Capabilities, Model
from nextclick.models.explanation import recording
from nextclick.models.ops.gap_bins import FIRST_BIN, GapBins
from nextclick.models.ops.torch_threads import computing_on, threads_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nextclick.core.session_batch import SessionBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray, Float32Array, Int32Array, Int64Array
    from nextclick.models.explanation import Evidence
    from nextclick.models.ops.prefix_inputs import TensorRecord

NEURAL = Capabilities(neural=True, update="fine-tune", product_scores=True)
"""The capabilities of a neural model without attention."""

ATTENTIVE = replace(NEURAL, explains=True, attention=True)
"""Those of one whose encoder records the attention it pays to clicks."""

_FACTS = frozenset({"times", "users"})  # what an encoder reads that has to know `DatasetInfo`


class Encoder(nn.Module, ABC):
    """A torch module that gives one query for every prefix of a session.

    `forward(items, **context)` gives (B, T, D) queries of (B, T) int64 items, right-padded with 0.
    It is causal: row t of its output depends on clicks 0..t alone, so one pass covers every prefix.
    The embedding of the items is called `items`. Queries at padded positions mean nothing, and are
    finite. An encoder of a model that requires times or users is also given, by name:

    - gaps (B, T) float32, seconds since the click before, 0 for a first one, NaN if unknown;
    - waited (B, T) float32, seconds from each click until the prediction after it; 0 at once;
    - users (B,) int64, 0 for an unknown visitor;

    Where `prepare_prefixes` returns a record, `forward` also takes it as `prefixes`; without it
    the encoder builds the record for all prefixes.
    """

    @abstractmethod
    def table(self) -> tuple[Tensor, Tensor | None]:
        """(N + 1, D) items to multiply queries with, and (N + 1,) bias or None."""

    def prepare_prefixes(
        self, items: Int64Array, cells: Int64Array, session: Int64Array | None
    ) -> TensorRecord | None:
        """Inputs of `forward` that are derived from the clicks, such as graphs; None for none.

        The loader thread computes them during the training step before.

        Args:
            items: (B, T) int64.
            cells: (P,) int64, the cells b * T + t whose queries are used, ascending.
            session: (B,) int64, the number of each row's training session; None outside training.
        """
        del items, cells, session
        return None

    def begin_epoch(self) -> None:
        """Prepare for the first step of an epoch."""

    def decays(self, name: str) -> bool:
        """Whether weight decay applies to the parameter of that name."""
        del name
        return True

    def initial_state(self, n_lanes: int) -> Tensor:
        """(L, B, H) states before the first click; see `Capabilities.recurrent_step`."""
        raise NotImplementedError(f"{type(self).__name__} has no recurrent step")

    def step(self, items: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) queries and (L, B, H) states after one more click (B,) of each session."""
        raise NotImplementedError(f"{type(self).__name__} has no recurrent step")


class Task(nn.Module, ABC):
    """Something else that trains the weights of an encoder, epoch by epoch.

    Its parameters are all that it trains, those of the encoder among them.

    Attributes:
        label: the name of its steps in progress reports.
        rate: its learning rate, as a share of that of the prefixes.
    """

    label: str
    rate: float

    @abstractmethod
    def works(self, epoch: int) -> Iterator[dict[str, AnyArray]]:
        """Arrays for each step before the prefixes of an epoch; the same for the same epoch."""

    @abstractmethod
    def loss(self, work: dict[str, Tensor]) -> Tensor:
        """() mean loss of a step."""


@dataclass(frozen=True, slots=True, eq=False)
class DatasetInfo:
    """What an encoder has to know of the log besides the number of items.

    Attributes:
        seen_users: (U + 1,) bool, who has a training session; entry 0 is everyone else. None for
            a model that reads no users.
        bins: how gaps become bins, None for a model that reads no times.
    """

    seen_users: BoolArray | None = None
    bins: GapBins | None = None

    @classmethod
    def of(cls, sessions: Sessions, reads: frozenset[str]) -> DatasetInfo:
        """What a model that reads "times" or "users" has to know of its training sessions."""
        seen = bins = None
        if "users" in reads:
            assert sessions.users is not None
            seen = np.bincount(sessions.users, minlength=sessions.n_users + 1) > 0
            seen[0] = False
        if "times" in reads:
            bins = GapBins.of(sessions)
        return cls(seen, bins)

    @classmethod
    def of_state(cls, state: Mapping[str, AnyArray]) -> DatasetInfo:
        """Those of the encoder that has these weights."""
        bins = None
        if "gap_width" in state:
            bins = GapBins(float(state["gap_width"][0]), len(state["gaps.weight"]) - FIRST_BIN)
        return cls(state.get("seen_users"), bins)


NO_DATASET_INFO = DatasetInfo()


class NeuralModel(Model):
    """A trained encoder as a scorer; a subclass names its config and its encoder.

    Its config has a field `max_length`: how many of the latest clicks the encoder reads.

    Attributes:
        encoder_type: builds the encoder from (config, n_items), and the facts of the log if the
            model requires times or users, with fresh weights from torch's global generator.
    """

    default_capabilities: ClassVar[Capabilities] = NEURAL
    encoder_type: ClassVar[Callable[..., Encoder]]
    encoder: Encoder

    def __init__(self, config: Any, n_items: int, facts: DatasetInfo = NO_DATASET_INFO):
        self.config = config
        self._n_items = n_items
        further = (facts,) if self.requires(config) & _FACTS else ()
        self.encoder = type(self).encoder_type(config, n_items, *further)

    @property
    def n_items(self) -> int:
        """N."""
        return self._n_items

    @property
    def max_length(self) -> int | None:
        """How many of the latest clicks the encoder reads; None for all."""
        length: int | None = self.config.max_length
        return length

    @torch.inference_mode()
    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32; an empty session scores 0 throughout."""
        scores = np.zeros((len(batch), self.n_items + 1), dtype=np.float32)
        known = np.flatnonzero(batch.lengths > 0)
        if len(known):
            self.encoder.eval()  # before its table, too
            table, bias = self.encoder.table()
            with computing_on(threads_for(len(known) * table.numel())):
                queries = self._queries(batch, known)
                logits = queries @ table.T if bias is None else torch.addmm(bias, queries, table.T)
                scores[known] = logits.float().cpu().numpy()
        return scores

    @torch.inference_mode()
    def queries(self, batch: SessionBatch) -> Tensor:
        """(B, D) float32 on the CPU, what scores are the products of with the table.

        For who holds the table and wants the best of a row only. Every session has a click.
        """
        return self._queries(batch, np.arange(len(batch))).float().cpu()

    def _queries(self, batch: SessionBatch, known: AnyArray) -> Tensor:
        """(B, D) queries of the rows `known`."""
        self.encoder.eval()
        items, last, context = self._latest(batch, known)
        queries: Tensor = self.encoder(items, **context)
        return queries[torch.arange(len(known)), last]

    @torch.inference_mode()
    def explained(self, batch: SessionBatch, items: Int32Array) -> Evidence:
        """The attention that the encoder pays to the clicks of one session."""
        del items
        with recording() as evidence:
            self._queries(batch, np.arange(1))
        first = 0
        if self.max_length is not None:
            first = max(int(batch.lengths[0]) - self.max_length, 0)
        evidence.attention = [replace(one, clicks=one.clicks + first) for one in evidence.attention]
        return evidence

    def _latest(
        self, batch: SessionBatch, known: AnyArray
    ) -> tuple[Tensor, Tensor, dict[str, Tensor | TensorRecord]]:
        """(B, T) items of the latest clicks, (B,) where the last one stands, and the context."""
        device = next(self.encoder.parameters()).device
        lengths = batch.lengths[known].astype(np.int64)
        width = int(lengths.max())
        if self.max_length is not None:
            width = min(width, self.max_length)
        kept = np.minimum(lengths, width)
        at = (lengths - kept)[:, None] + np.arange(width)  # (B, T)
        inside = np.arange(width) < kept[:, None]
        at = np.minimum(at, batch.items.shape[1] - 1)
        items = np.where(inside, np.take_along_axis(batch.items[known], at, 1), 0)
        context: dict[str, AnyArray] = {}
        reads = self.requires(self.config)
        if "times" in reads:
            gaps = np.full(items.shape, np.nan, dtype=np.float32)
            if batch.gaps is not None:
                gaps = np.where(inside, np.take_along_axis(batch.gaps[known], at, 1), np.nan)
            gaps[:, 0] = 0.0
            context["gaps"] = gaps
            context["waited"] = _waited(gaps, kept, batch, known)
        if "users" in reads:
            users = batch.users
            context["users"] = np.zeros(len(known), np.int64) if users is None else users[known]
        items = items.astype(np.int64)
        prefixes = self.prepare_prefixes(items, np.arange(len(known)) * width + kept - 1, None)
        inputs: dict[str, Tensor | TensorRecord] = {
            name: _tensor(array).to(device) for name, array in context.items()
        }
        if prefixes is not None:
            inputs["prefixes"] = prefixes.to(device)
        return torch.from_numpy(items).to(device), torch.from_numpy(kept - 1).to(device), inputs

    def setup(self, sessions: Sessions) -> None:
        """Prepare for training on sessions: compute what is needed of them besides weights."""

    def teardown(self) -> None:
        """Free what only the training needed."""

    def prepare_prefixes(
        self,
        items: Int64Array,
        cells: Int64Array,
        session: Int64Array | None,
        block: int | None = None,
    ) -> TensorRecord | None:
        """Inputs of the encoder that are derived from the clicks.

        Args:
            items: (B, T), see `Encoder.prepare_prefixes`.
            cells: (P,), see there.
            session: (B,) or None, see there.
            block: the block of time of these training sessions; None outside training and for a
                model that requires no blocks.
        """
        del block
        return self.encoder.prepare_prefixes(items, cells, session)

    @property
    def item_arrays(self) -> tuple[str, ...]:
        """Which arrays of `state` have a row for each item: those that grow with the catalog."""
        facts = DatasetInfo.of_state(self.state())
        with torch.random.fork_rng([]):  # fresh weights are drawn, and thrown away
            few, more = (type(self)(self.config, n, facts).encoder.state_dict() for n in (3, 4))
        return tuple(name for name, array in few.items() if array.shape != more[name].shape)

    def task(self, sessions: Sessions, seed: int) -> Task | None:
        """What else the sessions train it on, in turns with their prefixes."""
        del sessions, seed
        return None

    @classmethod
    def task_weights(cls, config: Any, n_items: int) -> tuple[int, int]:
        """How many weights belong to its task alone, and how many the task trains in all."""
        del config, n_items
        return 0, 0

    def state(self) -> dict[str, AnyArray]:
        """The weights by name."""
        weights = self.encoder.state_dict()
        return {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> Self:
        """Build the model that gave `state`; its table of items says how many there are."""
        model = cls(config, len(state["items.weight"]) - 1, DatasetInfo.of_state(state))
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        model.encoder.load_state_dict(tensors)
        return model


def _waited(
    gaps: AnyArray, lengths: AnyArray, batch: SessionBatch, known: AnyArray
) -> Float32Array:
    """(B, T) seconds from each click to the next, from the last one to the moment of asking."""
    waited = np.zeros(gaps.shape, dtype=np.float32)
    waited[:, :-1] = gaps[:, 1:]
    since = 0.0 if batch.waited is None else batch.waited[known]
    waited[np.arange(len(known)), lengths - 1] = since
    return waited


def _tensor(array: AnyArray) -> Tensor:
    kind = np.int64 if array.dtype.kind == "i" else np.float32
    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind))
