"""Ctrl-C at a moment at which the weights are whole."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType


class Interrupt:
    """While entered, the first Ctrl-C only sets `asked`; the second interrupts at once.

    Where `waits` is False the first one interrupts at once, too. Outside the main thread, where
    no signal arrives, nothing changes.
    """

    def __init__(self) -> None:
        self.asked = False
        self.waits = True
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: object) -> None:
        del number, frame
        if self.asked or not self.waits:
            raise KeyboardInterrupt
        self.asked = True
