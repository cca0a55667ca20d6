"""How many threads PyTorch computes with.

An operation that is shared by threads ends when the last of them does. Where a processor is busy
with something else that is a time slice of the scheduler, some milliseconds, for an operation of
some microseconds. So small work stays on one thread.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

PRODUCTS_PER_THREAD = 1 << 24  # multiplications that keep a thread busy for some milliseconds


@contextmanager
def computing_on(threads: int) -> Iterator[None]:
    """Let PyTorch use that many threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    if before != threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if before != threads:
            torch.set_num_threads(before)


def threads_for(products: int) -> int:
    """As many as PyTorch would take, but no more than that many multiplications keep busy."""
    return max(min(torch.get_num_threads(), products // PRODUCTS_PER_THREAD), 1)
