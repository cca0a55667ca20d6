"""One progress bar over the training that selects the number of epochs and the final training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextclick.core.types import Progress


@dataclass(slots=True)
class TrainingHalves:
    """The progress of both trainings as one that never goes backwards.

    The second training has at most the epochs of the first, on a larger log. The bar counts the
    prefixes of all of these, and moves faster in the second training if fewer were selected.

    Attributes:
        progress: receives the joint progress.
        ratio: prefixes of the second log divided by those of the first.
    """

    progress: Progress
    ratio: float
    _first: int = 0  # prefixes of all epochs of the first training

    def selecting(self, stage: str, done: int, total: int | None) -> None:
        """Report the training that selects the number of epochs."""
        self._first = total or 0
        self._report("selecting epochs", stage, done)

    def final(self, stage: str, done: int, total: int | None) -> None:
        """Report the final training."""
        share = done / total if total else 0.0
        # a resumed run may start here: without the first training, the second is all there is
        self._first = self._first or round((total or 0) / self.ratio)
        self._report("final training", stage, self._first + int(share * self._second))

    @property
    def _second(self) -> int:
        return round(self._first * self.ratio)

    def _report(self, name: str, stage: str, done: int) -> None:
        kind, _, details = stage.partition(" · ")
        self.progress(f"{kind} · {name} · {details}", done, self._first + self._second)
