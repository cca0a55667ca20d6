"""Prefetching of an iterable in a background thread."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

T = TypeVar("T")

_STOP_CHECK_SECONDS = 0.1  # how often a thread with a full queue checks whether to stop
_END = object()


def prefetch(source: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield the elements of `source` in order; a background thread computes the next ones.

    An error of `source` is raised after the elements before it. The thread ends when the generator
    is closed, also by an error in the caller's loop.

    Args:
        source: the iterable; only the background thread iterates over it.
        depth: maximum number of queued elements.
    """
    ready: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()
    errors: list[BaseException] = []

    def put(value: Any) -> bool:
        while not stopped.is_set():
            try:
                ready.put(value, timeout=_STOP_CHECK_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for value in source:
                if not put(value):
                    return
        except BaseException as error:  # raised in the caller's thread
            errors.append(error)
        put(_END)

    thread = threading.Thread(target=work, name="nextclick-loader", daemon=True)
    thread.start()
    try:
        while (value := ready.get()) is not _END:
            yield value
    finally:
        stopped.set()
        thread.join()
    if errors:
        raise errors[0]
