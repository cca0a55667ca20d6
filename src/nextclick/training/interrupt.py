"""Ctrl-C handling that lets the current step finish before a run stops."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType


class Interrupt:
    """Context manager that turns the first Ctrl-C into a request; the second one interrupts.

    Outside the main thread, where Python delivers no signals, it does nothing.

    Attributes:
        requested: whether the user pressed Ctrl-C.
        deferred: whether the first Ctrl-C only sets `requested`. If False, it raises
            KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self.deferred = True
        self._previous_handler: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._previous_handler = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGINT, self._previous_handler)

    def _handle(self, number: int, frame: object) -> None:
        del number, frame
        if self.requested or not self.deferred:
            raise KeyboardInterrupt
        self.requested = True
