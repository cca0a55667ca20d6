"""Base classes of the torch modules of a neural model: its encoder, and an auxiliary task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nextclick.core.types import AnyArray, Int64Array
    from nextclick.models.ops.earlier_sessions import HistoryInputs, ScoreAdditions
    from nextclick.models.ops.gru_step import GRUStack
    from nextclick.models.ops.prefix_inputs import TensorRecord
    from nextclick.models.sharding.item_shards import ItemShards


class Encoder(nn.Module, ABC):
    """A torch module that computes one query for every prefix of a session.

    `forward(items, **inputs)` returns (B, T, D) queries of (B, T) int64 items, right-padded with 0.
    It is causal: row t of its output depends on clicks 0..t alone, so one pass covers all prefixes.
    The item embedding is the attribute `items`. Queries at padded positions are finite and have no
    meaning. The encoder of a model that requires times, users or a
    history also takes, by name:

    - gaps (B, T) float32, seconds since the click before; 0 for the first click, NaN if unknown;
    - waited (B, T) float32, seconds from each click to the prediction after it;
    - users (B,) int64; 0 is an unknown visitor;
    - history, a `HistoryInputs`: the earlier sessions of the visitors.

    Where `prepare_prefixes` returns a record, `forward` also takes it as `prefixes`; without it
    the encoder builds the record for all prefixes.

    Attributes:
        candidate_rows: for an encoder that computes its table from other weights, a method that
            computes the (U, D) vectors of (U,) items, for steps with sampled negatives; else None.
        last_only: whether `forward` may compute the query of the last prefix only, and return
            (B, 1, D): in an exported graph of one session, which has no padding.
        exports_history: whether an exported graph of one session can read earlier sessions.
        mixes_rows: whether the queries of a row depend on other rows in training, as with a memory
            of sessions. Such an encoder cannot be trained by several processes.
        shards: the rows in this process, if they are split; `table` then has these rows only.
        step_items: (U,) the item of each row of the item tables, within `ItemShards.rows_of`; None
            outside, where row i is that of item i.
    """

    last_only: bool = False
    exports_history: bool = False
    mixes_rows: bool = False
    shards: ItemShards | None = None
    step_items: Tensor | None = None
    candidate_rows: Callable[[Tensor], Tensor] | None = None

    @abstractmethod
    def table(self) -> tuple[Tensor, Tensor | None]:
        """(N + 1, D) item vectors that queries are multiplied with, and (N + 1,) bias or None."""

    @property
    def width(self) -> int:
        """D."""
        if self.candidate_rows is None:
            return self.table()[0].shape[1]
        padding = torch.zeros(1, dtype=torch.int64, device=next(self.parameters()).device)
        return self.candidate_rows(padding).shape[1]

    @property
    def queried(self) -> slice:
        """The positions of the clicks whose queries are computed."""
        return slice(-1, None) if self.last_only else slice(None)

    def related_items(self, items: Tensor) -> Tensor:
        """The items whose rows the vectors of (U,) items are also computed from; most have none."""
        return items[:0]

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

    def last_prefixes(self, items: Tensor, last: Tensor) -> TensorRecord | None:
        """The record of `prepare_prefixes` for one prefix per row, for an exported graph.

        An encoder whose record can be computed by operations of PyTorch implements this method. One
        that implements only `prepare_prefixes`, such as LESSR, cannot be exported.

        Args:
            items: (B, T) int64.
            last: (B,) int64, the position of the last click of each row.
        """
        del items, last
        return None

    def additions(
        self, queries: Tensor, rows: Tensor, inputs: Mapping[str, Any]
    ) -> ScoreAdditions | None:
        """Values that are added to the products of the queries and the table; None for none.

        A model with additions declares `product_scores` false.

        Args:
            queries: (P, D), of prefixes.
            rows: (P,) int64, the row of `items` of each prefix.
            inputs: the further inputs of `forward`, by name.
        """
        del queries, rows, inputs
        return None

    def row_additions(self, query: Tensor, history: HistoryInputs) -> Tensor | None:
        """(K,) `additions` to the scores of `history.pair_items`; None for none.

        Args:
            query: (1, D), of one session.
            history: the earlier sessions of its visitor.
        """
        del query, history
        return None

    def begin_epoch(self) -> None:
        """Prepare for the first step of an epoch."""

    def decays(self, name: str) -> bool:
        """Whether weight decay applies to the parameter of that name."""
        del name
        return True

    def initial_state(self, n_lanes: int) -> Tensor:
        """(L, B, H) states before the first click; with `Capabilities.recurrent_step` only."""
        raise NotImplementedError(f"{type(self).__name__} has no recurrent step")

    def gru_stack(self) -> GRUStack | None:
        """The layers of `step`, if it is GRU layers above the rows of `items`; else None.

        The training computes the steps of such an encoder by compiled kernels.
        """
        return None

    def step(self, items: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (B, D) and states (L, B, H) after one more click (B,) of each session."""
        raise NotImplementedError(f"{type(self).__name__} has no recurrent step")


class Task(nn.Module, ABC):
    """An auxiliary training task, which runs before the prefixes of each epoch.

    Its parameters are all weights that it trains, shared weights of the encoder included.

    Attributes:
        label: the name of its steps in progress reports.
        rate: its learning rate as a multiple of the model's.
    """

    label: str
    rate: float

    @abstractmethod
    def steps(self, epoch: int) -> Iterator[dict[str, AnyArray]]:
        """Yield the arrays of each step of an epoch; the same epoch yields the same arrays."""

    @abstractmethod
    def loss(self, arrays: dict[str, Tensor]) -> Tensor:
        """() mean loss of a step."""
