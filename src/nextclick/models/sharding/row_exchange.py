"""Exchanges rows of split tables between the processes that read them and those that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.processes import Processes


def row_bounds(n_rows: int, n_processes: int) -> list[int]:
    """The first row of each process, and `n_rows`; the parts differ by at most one row.

    >>> row_bounds(7, 3)
    [0, 2, 4, 7]
    """
    return [rank * n_rows // n_processes for rank in range(n_processes + 1)]


class RowExchange:
    """The rows that each process reads of each other process in one step.

    All processes create it together, and call its methods together.

    Attributes:
        requested: (R,) int64, rows that this process holds and some process reads, counted from its
            first row, in the order of the processes; a row that k processes read occurs k times.
    """

    def __init__(self, items: Tensor, bounds: Tensor, processes: Processes):
        """Tell each process which of its rows this one reads.

        Args:
            items: (U,) int64, the rows that this process reads, ascending and distinct.
            bounds: (processes + 1,) int64, see `row_bounds`.
            processes: all processes.
        """
        self._processes = processes
        counts = torch.searchsorted(items, bounds).diff()  # (processes,)
        self._read = counts.tolist()
        self._sent = self._exchange(counts, None, None).tolist()
        requested = self._exchange(items, self._sent, self._read)
        self.requested = requested - bounds[processes.rank]

    def to_readers(self, rows: Tensor) -> Tensor:
        """(U, W) the rows that this process reads, from the (R, W) requested ones of each."""
        return self._exchange(rows, self._read, self._sent)

    def to_holders(self, rows: Tensor) -> Tensor:
        """(R, W) values for the requested rows, from the (U, W) values for the read ones."""
        return self._exchange(rows, self._sent, self._read)

    def _exchange(
        self, tensor: Tensor, received: list[int] | None, sent: list[int] | None
    ) -> Tensor:
        n = len(tensor) if received is None else sum(received)
        result = tensor.new_empty(n, *tensor.shape[1:])
        with self._processes.exchange():
            dist.all_to_all_single(result, tensor.contiguous(), received, sent)
        return result
