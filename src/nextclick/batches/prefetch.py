"""Work one batch ahead of whoever takes them, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

T = TypeVar("T")

_LOOK_UP_SECONDS = 0.1  # how often a thread that waits looks whether it is still wanted
_END = object()


def prefetched(source: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield what `source` yields, in its order, while a thread takes the next ones from it.

    An error of `source` is raised here, after what came before it. Closing the generator, or an
    error in the caller's loop, ends the thread.

    Args:
        source: taken from by one thread alone.
        depth: how many may lie ready.
    """
    ready: queue.Queue[Any] = queue.Queue(depth)
    unwanted = threading.Event()
    failed: list[BaseException] = []

    def put(value: Any) -> bool:
        while not unwanted.is_set():
            try:
                ready.put(value, timeout=_LOOK_UP_SECONDS)
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
            failed.append(error)
        put(_END)

    thread = threading.Thread(target=work, name="nextclick-loader", daemon=True)
    thread.start()
    try:
        while (value := ready.get()) is not _END:
            yield value
    finally:
        unwanted.set()
        thread.join()
    if failed:
        raise failed[0]
