"""The number of threads PyTorch computes with.

A parallel operation ends when its slowest thread does. On a busy processor that is a time slice of
the scheduler, some milliseconds, even for an operation of microseconds. So small operations run on
one thread.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

PRODUCTS_PER_THREAD = 1 << 24  # multiplications that keep a thread busy for some milliseconds


@contextmanager
def use_torch_threads(threads: int) -> Iterator[None]:
    """Set the number of PyTorch threads within a block, then restore the previous number."""
    before = torch.get_num_threads()
    if before != threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if before != threads:
            torch.set_num_threads(before)


def threads_for(products: int) -> int:
    """The threads to use for that many multiplications: at most those of PyTorch, at least 1."""
    return max(min(torch.get_num_threads(), products // PRODUCTS_PER_THREAD), 1)
