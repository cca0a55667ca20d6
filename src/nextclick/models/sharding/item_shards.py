"""Item tables whose rows are split over the processes.

Each process holds consecutive rows of every item table, and the state of the optimizer for them. An
encoder with split tables works on the items of one step at a time: `ItemShards.rows_of` collects
their rows from the processes and numbers the items accordingly, so the encoder sees small tables.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import nn

from nextclick.errors import ConfigError
from nextclick.models.sharding.remote_tensors import RemoteRows, RemoteTensors
from nextclick.models.sharding.row_exchange import RowExchange, row_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from nextclick.core.processes import Processes
    from nextclick.models.encoder import Encoder

T = TypeVar("T")

_COMPUTED_ROWS = 1 << 15  # at a time


@dataclass(frozen=True, slots=True, eq=False)
class StepRows:
    """The rows of a step.

    Attributes:
        exchange: which process reads which rows.
        tables: of each item table the (U, …) rows that this process reads, with their gradients
            after the backward pass.
    """

    exchange: RowExchange
    tables: list[nn.Parameter]


class ItemShards:
    """The item tables of an encoder, of which this process holds the rows start..stop - 1.

    Attributes:
        names: parameters of the encoder with a row for each item and for padding.
        parameters: the rows of each in this process.
        n_rows: N + 1.
        start: first row in this process.
        stop: the row after the last.
        processes: all processes.
        step: the rows of the latest step.
        digest: of the file that the weights are from; "" for weights from a training.
    """

    step: StepRows
    digest: str = ""

    def __init__(
        self, encoder: Encoder, names: Sequence[str], n_rows: int, processes: Processes
    ) -> None:
        self._encoder = encoder
        self.names = tuple(names)
        self.parameters = [encoder.get_parameter(name) for name in names]
        self.n_rows = n_rows
        self.processes = processes
        self._tensors: RemoteTensors | None = None
        self._bounds = row_bounds(n_rows, processes.size)
        self.start, self.stop = self._bounds[processes.rank : processes.rank + 2]

    @property
    def largest(self) -> int:
        """The largest number of rows of a process."""
        return int(np.diff(self._bounds).max())

    @contextmanager
    def rows_of(
        self, inputs: Mapping[str, Any], *items: Tensor | None
    ) -> Iterator[tuple[dict[str, Any], tuple[Any, ...]]]:
        """Within this block, the item tables of the encoder consist of the rows of some items.

        All processes enter it together.

        Args:
            inputs: further inputs of the encoder, of which `history` names items.
            items: int64 tensors of items of any shape, or None.

        Yields:
            The inputs and the tensors, with each item numbered by its row; padding stays 0.
        """
        history = inputs.get("history")
        named = (*items, *(() if history is None else (history.items, history.pair_items)))
        given = [tensor.flatten() for tensor in named if tensor is not None]
        device = self.parameters[0].device
        read = torch.unique(torch.cat([torch.zeros(1, dtype=torch.int64, device=device), *given]))
        read = torch.unique(torch.cat([read, self._encoder.related_items(read)]))  # (U,)
        numbers = [None if one is None else torch.searchsorted(read, one) for one in named]
        numbered = dict(inputs)
        if history is not None:
            numbered["history"] = replace(history, items=numbers[-2], pair_items=numbers[-1])
        exchange = RowExchange(read, torch.tensor(self._bounds, device=device), self.processes)
        self.step = StepRows(exchange, self._fetch(exchange))
        self._replace(self.step.tables)
        self._encoder.step_items = read
        try:
            yield numbered, tuple(numbers[: len(items)])
        finally:
            self._replace(self.parameters)
            self._encoder.step_items = None

    @torch.no_grad()
    def _fetch(self, exchange: RowExchange) -> list[nn.Parameter]:
        """The rows of the step of each table, exchanged in one message."""
        wanted = [table[exchange.requested].flatten(1, -1) if table.ndim > 1
                  else table[exchange.requested, None] for table in self.parameters]  # fmt: skip
        rows = exchange.to_readers(torch.cat(wanted, dim=1))
        parts = rows.split_with_sizes([part.shape[1] for part in wanted], dim=1)
        return [
            nn.Parameter(part.reshape(len(rows), *table.shape[1:]))
            for part, table in zip(parts, self.parameters, strict=True)
        ]

    def _replace(self, tables: Sequence[nn.Parameter]) -> None:
        for name, table in zip(self.names, tables, strict=True):
            module, _, attribute = name.rpartition(".")
            setattr(self._encoder.get_submodule(module), attribute, table)

    @torch.no_grad()
    def computed(self, rows_of: Callable[[Tensor], Tensor]) -> Tensor:
        """(n, D) vectors of the items of this process, for an encoder that computes its table.

        Args:
            rows_of: computes the vectors of items, as `Encoder.candidate_rows`.
        """
        device = self.parameters[0].device
        parts = []
        for begin in range(0, self.largest, _COMPUTED_ROWS):
            first = min(self.start + begin, self.stop)
            last = min(first + _COMPUTED_ROWS, self.stop)
            with self.rows_of({}, torch.arange(first, last, device=device)) as (_, (items,)):
                parts.append(rows_of(items))
        return torch.cat(parts)

    def on_first(self, work: Callable[[], T]) -> T:
        """As `Processes.on_first`; the function may read the rows of all processes with `whole`."""
        rows = dict(zip(self.names, self.parameters, strict=True))
        self._tensors = RemoteTensors(rows, self.processes)
        try:
            return self._tensors.on_first(work)
        finally:
            self._tensors = None

    def whole(self, name: str) -> RemoteRows:
        """An item table with the rows of all processes, for process 0 within `on_first`.

        Raises:
            ConfigError: it is called outside.
        """
        if self._tensors is None:
            raise self.needs_all_rows()
        return RemoteRows(self._tensors, range(self.processes.size), name)

    def needs_all_rows(self) -> ConfigError:
        """The error of a use of the model that needs all rows in one process."""
        return ConfigError(
            f"the item table of this model is split over {self.processes.size} processes; name an "
            "output of the training, and load the artifact in one process"
        )
