"""Sums the gradients of a step over the processes of a run.

Every process has the gradients of its share of the prefixes. Their sum is the gradient of the whole
step, and all processes have the same bits of it, so their weights stay equal. Dense gradients are
summed in one buffer. Of a table with sparse gradients only the rows of the step are exchanged; if
the table is split over the processes, each receives the gradients of its own rows.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from nextclick.training.gradient_rows import RowSums, distinct_rows

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.processes import Processes
    from nextclick.models.sharding.item_shards import ItemShards
    from nextclick.training.optim import Optimizers


@dataclass(frozen=True, slots=True)
class Requests:
    """What a process asks of all processes after a step.

    Attributes:
        interrupt: stop with a checkpoint, after Ctrl-C.
        save: write a checkpoint.
        stop: end the training, because its time is over.
    """

    interrupt: bool = False
    save: bool = False
    stop: bool = False


class GradientExchange:
    """Sums gradients, losses and requests over the processes."""

    def __init__(self, optimizers: Optimizers, processes: Processes):
        self._processes = processes
        tables, shards = optimizers.tables, optimizers.shards
        split = set() if shards is None else set(map(id, shards.parameters))
        self._dense = [p for _, p in optimizers.named if id(p) not in tables]
        self._tables = [p for _, p in optimizers.named if id(p) in tables - split]
        self._shards = shards
        self._row_sums = RowSums()

    def sum(self, loss: Tensor, requests: Requests) -> tuple[Tensor, Requests]:
        """Replace each gradient by its sum; return the sum of the losses, and all requests.

        Args:
            loss: () share of the loss of the step.
            requests: of this process.
        """
        for table in self._tables:
            if table.grad is not None and not table.grad.is_sparse:
                raise TypeError(f"a table of {tuple(table.shape)} has a dense gradient")
        self._sum_rows()
        if self._shards is not None:
            self._return_rows(self._shards)
        return self._sum_dense(loss, requests)

    def _sum_dense(self, loss: Tensor, requests: Requests) -> tuple[Tensor, Requests]:
        request_flags = [float(value) for value in astuple(requests)]
        has_grad = [float(p.grad is not None) for p in self._dense]
        buffer = torch.cat(
            [
                *(
                    (torch.zeros_like(p) if p.grad is None else p.grad).flatten()
                    for p in self._dense
                ),
                loss.detach().float()[None],
                torch.tensor(has_grad + request_flags, device=loss.device),
            ]
        )
        with self._processes.exchange():
            dist.all_reduce(buffer)
        n_flags = len(has_grad) + len(request_flags)
        flags = (buffer[-n_flags:] > 0).tolist()
        begin = 0
        for parameter, is_used in zip(self._dense, flags, strict=False):
            end = begin + parameter.numel()
            parameter.grad = buffer[begin:end].view_as(parameter) if is_used else None
            begin = end
        return buffer[begin].clone(), Requests(*flags[len(has_grad) :])

    def _sum_rows(self) -> None:
        """Gather the rows of all tables in one message of floats; indices travel as their bits."""
        if not self._tables:
            return
        rows = [distinct_rows(table, self._row_sums) for table in self._tables]
        counts = torch.tensor([len(index) for index, _ in rows], device=self._tables[0].device)
        every_count = self._gather(counts)
        widths = [1 + table[0].numel() for table in self._tables]
        sizes = (every_count * torch.tensor(widths, device=counts.device)).sum(1)
        message = torch.empty(int(sizes.max()), device=counts.device)
        torch.cat(
            [
                part
                for index, values in rows
                for part in (index.int().view(torch.float32), values.flatten())
            ],
            out=message[: int(sizes[self._processes.rank])],
        )
        self._unpack(self._gather(message), every_count.tolist())

    def _return_rows(self, shards: ItemShards) -> None:
        """Give each process the gradients of its rows of the split tables, in one message.

        Each row of the message has, for each table, whether there is a gradient, and its values.
        """
        exchange, tables = shards.step.exchange, shards.step.tables
        widths = [1 + table[0].numel() for table in tables]
        message = torch.zeros(len(tables[0]), sum(widths), device=tables[0].device)
        for table, part in zip(tables, message.split_with_sizes(widths, dim=1), strict=True):
            index, values = distinct_rows(table, self._row_sums)
            part[index] = torch.cat([values.new_ones(len(index), 1), values], dim=1)
        received = exchange.to_holders(message).split_with_sizes(widths, dim=1)
        for table, part in zip(shards.parameters, received, strict=True):
            with_gradient = part[:, 0] > 0
            table.grad = torch.sparse_coo_tensor(
                exchange.requested[with_gradient][None],
                part[with_gradient, 1:].reshape(-1, *table.shape[1:]),
                table.shape,
                check_invariants=False,
            )

    def _gather(self, tensor: Tensor) -> Tensor:
        """(processes, n) the (n,) tensors of all processes."""
        gathered = tensor.new_empty(self._processes.size * len(tensor))
        with self._processes.exchange():
            # the first name is that of PyTorch from 2.13 on
            gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
            gather(gathered, tensor)
        return gathered.view(self._processes.size, -1)

    def _unpack(self, messages: Tensor, counts: list[list[int]]) -> None:
        begins = [0] * len(counts)
        for number, table in enumerate(self._tables):
            indices, values = [], []
            for rank, message in enumerate(messages):
                n, begin = counts[rank][number], begins[rank]
                end = begin + n * (1 + table[0].numel())
                indices.append(message[begin : begin + n].view(torch.int32).long())
                values.append(message[begin + n : end].view(n, *table.shape[1:]))
                begins[rank] = end
            index = torch.cat(indices)
            table.grad = (
                torch.sparse_coo_tensor(
                    index[None], torch.cat(values), table.shape, check_invariants=False
                )
                if len(index)
                else None
            )
