"""One progress bar over consecutive pieces of work of different size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Progress

_UNITS = 1000  # of a piece of size 1


@dataclass(slots=True)
class JointProgress:
    """The progress of several pieces as one that never goes backwards.

    Attributes:
        progress: receives the joint progress.
        sizes: relative size of each piece, at least 1.
    """

    progress: Progress
    sizes: Sequence[int]
    _done: int = 0

    def piece(self, index: int, label: str = "") -> Progress:
        """The progress of one piece; its stages are named after `label`."""
        before = _UNITS * sum(self.sizes[:index])

        def report(stage: str, done: int, total: int | None) -> None:
            share = min(done / total, 1.0) if total else 0.0
            self._done = max(self._done, before + int(_UNITS * self.sizes[index] * share))
            name = f"{label}, {stage}" if label else stage
            self.progress(name, self._done, _UNITS * sum(self.sizes))

        return report
