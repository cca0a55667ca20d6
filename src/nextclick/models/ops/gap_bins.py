"""Seconds between clicks as a few bins.

ASARS bins by Scott's rule (D. W. Scott, On Optimal and Data-based Histograms, Biometrika 66(3),
1979): with σ the standard deviation of n gaps, the width of a bin is

    w = 3.49 σ n^(-1/3)                          (8)

The paper's equation (9) uses the width as if it were the index of a bin; the index of a gap δ is
⌊δ / w⌋. Rare long gaps share the last bin, that of the 99.5th percentile; there are at most 512.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.sessions import Sessions

START, UNKNOWN, FIRST_BIN = 1, 2, 3  # 0 is padding
MOST_BINS = 512
LONGEST = 0.995  # quantile of the gaps that get bins of their own
_SCOTT = 3.49


@dataclass(frozen=True, slots=True)
class GapBins:
    """How gaps become rows of an embedding.

    Attributes:
        width: of a bin, in seconds, above 0.
        n_bins: how many; the last one also holds all longer gaps.
    """

    width: float
    n_bins: int

    @property
    def n_rows(self) -> int:
        """Rows of an embedding: the bins, padding, START and UNKNOWN."""
        return self.n_bins + FIRST_BIN

    @classmethod
    def of(cls, sessions: Sessions) -> GapBins:
        """Fit to the gaps that a model is shown: all but the one before the last click.

        That one is the time to a target and never an input; in some logs it is even invented.
        """
        gaps = shown_gaps(sessions)
        deviation = float(gaps.std(dtype=np.float64)) if len(gaps) else 0.0
        if deviation == 0.0:
            return cls(1.0, 1)
        width = _SCOTT * deviation * len(gaps) ** (-1 / 3)
        longest = float(np.quantile(gaps, LONGEST))
        return cls(width, min(int(longest / width) + 1, MOST_BINS))

    def rows(self, seconds: Tensor) -> Tensor:
        """The row of each gap, int64 of the same shape; NaN is UNKNOWN, below 0 counts as 0."""
        index = (seconds / self.width).clamp(0, self.n_bins - 1)
        return torch.where(seconds.isnan(), UNKNOWN, index.nan_to_num().long() + FIRST_BIN)


def shown_gaps(sessions: Sessions) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Seconds between two clicks of a session, but for the gap before its last click."""
    gaps = sessions.gaps()
    counts = np.ones(len(gaps), dtype=np.bool_)
    filled = sessions.lengths() > 0
    counts[sessions.offsets[:-1][filled] - sessions.offsets[0]] = False
    counts[sessions.offsets[1:][filled] - 1 - sessions.offsets[0]] = False
    return gaps[counts]
