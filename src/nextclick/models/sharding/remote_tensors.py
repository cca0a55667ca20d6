"""Lets process 0 read and write tensors of all processes, block by block.

Process 0 writes the files of a run. While it does, the others wait for its orders and send or
receive the blocks that it names, so an error of process 0 ends their wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    from torch import Tensor

    from nextclick.core.processes import Processes
    from nextclick.core.types import AnyArray

T = TypeVar("T")

_BLOCK_BYTES = 16 << 20
_READ, _WRITE = "read", "write"


class RemoteTensors:
    """Named tensors of which each process has its own.

    All processes create it together.

    Attributes:
        shapes: of each process: name of a tensor to its shape and type.
    """

    def __init__(self, tensors: Mapping[str, Tensor], processes: Processes):
        self._tensors = {name: tensor.detach() for name, tensor in tensors.items()}
        self._processes = processes
        own = {name: (tuple(t.shape), t.dtype) for name, t in self._tensors.items()}
        self.shapes: list[dict[str, tuple[tuple[int, ...], torch.dtype]]] = processes.gather(own)

    def on_first(self, work: Callable[[], T]) -> T:
        """As `Processes.on_first`; the function may call `read` and `write`."""

        def work_and_end() -> T:
            try:
                return work()
            finally:
                self._processes.from_first(None)

        if not self._processes.is_first:
            while (order := self._processes.from_first(None)) is not None:
                self._obey(*order)
        return self._processes.on_first(work_and_end)

    def read(self, rank: int, name: str) -> Iterator[Tensor]:
        """Yield blocks of rows of a tensor of a process, on the CPU; in process 0."""
        shape, dtype = self.shapes[rank][name]
        for begin, end in _ranges(shape, dtype):
            if rank == 0:
                yield self._tensors[name][begin:end].cpu()
                continue
            self._processes.from_first((_READ, rank, name, begin, end))
            block = torch.empty(end - begin, *shape[1:], dtype=dtype)
            with self._processes.exchange():
                dist.recv(_bytes(block), rank)
            yield block

    def write(self, rank: int, name: str, rows: Callable[[int, int], Tensor]) -> None:
        """Replace a tensor of a process; in process 0.

        Args:
            rank: the process.
            name: of the tensor.
            rows: returns the new rows of a range, on the CPU.
        """
        for begin, end in _ranges(*self.shapes[rank][name]):
            block = rows(begin, end).contiguous()
            if rank == 0:
                self._tensors[name][begin:end] = block
                continue
            self._processes.from_first((_WRITE, rank, name, begin, end))
            with self._processes.exchange():
                dist.send(_bytes(block), rank)

    def _obey(self, order: str, rank: int, name: str, begin: int, end: int) -> None:
        if rank != self._processes.rank:
            return
        rows = self._tensors[name][begin:end]
        block = rows.cpu().contiguous()
        with self._processes.exchange():
            if order == _READ:
                dist.send(_bytes(block), 0)
            else:
                dist.recv(_bytes(block), 0)
        if order == _WRITE:
            rows.copy_(block)


class RemoteRows:
    """The rows of a tensor of some processes, which process 0 reads; see `RowBlocks`."""

    def __init__(self, tensors: RemoteTensors, ranks: Iterable[int], name: str):
        self._tensors, self._ranks, self._name = tensors, list(ranks), name
        shapes = [tensors.shapes[rank][name] for rank in self._ranks]
        (first, dtype), n_rows = shapes[0], sum(shape[0] for shape, _ in shapes)
        self.shape = (n_rows, *first[1:])
        self.dtype: np.dtype[Any] = torch.empty(0, dtype=dtype).numpy().dtype

    def blocks(self) -> Iterator[AnyArray]:
        """Yield the rows in order."""
        for rank in self._ranks:
            for block in self._tensors.read(rank, self._name):
                yield block.numpy()


def _ranges(shape: tuple[int, ...], dtype: torch.dtype) -> Iterable[tuple[int, int]]:
    """Ranges of rows of at most `_BLOCK_BYTES`, at least one row each."""
    width = torch.Size(shape[1:]).numel() * dtype.itemsize
    n = max(_BLOCK_BYTES // max(width, 1), 1)
    return [(begin, min(begin + n, shape[0])) for begin in range(0, shape[0], n)]


def _bytes(block: Tensor) -> Tensor:
    """The bytes of a contiguous tensor, which Gloo sends for any type."""
    return block.view(-1).view(torch.uint8)
