"""One progress bar over the trainings that select epochs and order, and the final training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextclick.core.types import Progress


@dataclass(slots=True)
class TrainingHalves:
    """The progress of all trainings as one that never goes backwards.

    The final training has at most the epochs of the first, on a larger log. The bar counts the
    prefixes of all of these, and moves faster in the final training if fewer were selected.

    Attributes:
        progress: receives the joint progress.
        ratio: prefixes of the second log divided by those of the first; 0 without a final training.
        both_orders: whether the first training is repeated in chronological order.
    """

    progress: Progress
    ratio: float
    both_orders: bool = False
    _first: int = 0  # prefixes of all epochs of the first training

    def selecting(self, stage: str, done: int, total: int | None) -> None:
        """Report the training that selects the number of epochs."""
        self._first = total or 0
        self._report("selecting epochs", stage, done)

    def ordering(self, stage: str, done: int, total: int | None) -> None:
        """Report the training in chronological order."""
        share = done / total if total else 0.0
        self._first = self._first or total or 0
        self._report("selecting the order", stage, self._first + int(share * self._first))

    def final(self, stage: str, done: int, total: int | None) -> None:
        """Report the final training."""
        share = done / total if total else 0.0
        # a resumed run may start here: without the first training, the second is all there is
        self._first = self._first or round((total or 0) / self.ratio)
        self._report("final training", stage, self._selection + int(share * self._second))

    @property
    def _selection(self) -> int:
        return self._first * (2 if self.both_orders else 1)

    @property
    def _second(self) -> int:
        return round(self._first * self.ratio)

    def _report(self, name: str, stage: str, done: int) -> None:
        kind, _, details = stage.partition(" · ")
        self.progress(f"{kind} · {name} · {details}", done, self._selection + self._second)
