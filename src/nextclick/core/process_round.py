"""The store through which the processes of one start find each other.

torchrun keeps one key-value store over all restarts. A process that was started again could read
there the addresses of processes that have ended, and wait for them. So each start has keys of its
own, below a token that process 0 draws:

1. Every process writes a number that only it knows, its nonce, below its rank.
2. Process 0 answers each nonce with the token. An answer to a process that has ended is not read.
3. Every process confirms the token. Process 0 answers new nonces until all have confirmed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from datetime import timedelta

    from torch._C._distributed_c10d import Store

_POLL_SECONDS = 0.02


def store_of_this_start(rank: int, size: int, timeout: timedelta) -> Store:
    """The part of the store of torchrun that belongs to this start of the processes.

    Raises:
        RuntimeError: the processes did not find each other within the time.
    """
    import torch.distributed as dist
    from torch._C._distributed_c10d import PrefixStore

    join = dist.rendezvous  # type: ignore[attr-defined]
    store, *_ = next(join("env://", rank, size, timeout=timeout))
    store.set_timeout(timeout)
    nonce = uuid4().hex
    store.set(f"nextclick/nonce/{rank}", nonce)
    if rank == 0:
        token = uuid4().hex
        _answer(store, token, size, time.monotonic() + timeout.total_seconds())
    else:
        token = store.get(f"nextclick/answer/{nonce}").decode()  # waits
        store.set(f"nextclick/{token}/{rank}", "")
    return PrefixStore(f"nextclick/{token}", store)


def _answer(store: Store, token: str, size: int, deadline: float) -> None:
    """Answer the nonces of the other processes until each has confirmed the token."""
    missing, answered = set(range(1, size)), set()
    while missing:
        for rank in sorted(missing):
            if store.check([f"nextclick/nonce/{rank}"]):
                nonce = store.get(f"nextclick/nonce/{rank}").decode()
                if nonce not in answered:
                    store.set(f"nextclick/answer/{nonce}", token)
                    answered.add(nonce)
            if store.check([f"nextclick/{token}/{rank}"]):
                missing.discard(rank)
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {sorted(missing)} did not arrive")
        time.sleep(_POLL_SECONDS)
