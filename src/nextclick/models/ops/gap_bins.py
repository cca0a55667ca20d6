"""Bins of the seconds between clicks.

ASARS bins by Scott's rule (D. W. Scott, On Optimal and Data-based Histograms, Biometrika 66(3),
1979): with σ the standard deviation of n gaps, the width of a bin is

    w = 3.49 σ n^(-1/3)                          (8)

The paper's equation (9) uses the width as if it were the index of a bin; the index of a gap δ is
⌊δ / w⌋. The last bin is that of the 99.5th percentile and also holds all longer gaps; there are at
most 512 bins.
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
MAX_BINS = 512
LAST_BIN_QUANTILE = 0.995  # longer gaps share the last bin
_SCOTT = 3.49


@dataclass(frozen=True, slots=True)
class GapBins:
    """A mapping from gaps to rows of an embedding.

    Attributes:
        width: seconds per bin, above 0.
        n_bins: the number of bins; the last one also holds all longer gaps.
    """

    width: float
    n_bins: int

    @property
    def n_rows(self) -> int:
        """The number of rows of the embedding: the bins, padding, START and UNKNOWN."""
        return self.n_bins + FIRST_BIN

    @classmethod
    def from_sessions(cls, sessions: Sessions) -> GapBins:
        """Fit the bins to the gaps that a model reads: all but the one before the last click.

        The gap before the last click is the time to a target and never an input; in some logs it
        is artificial.
        """
        gaps = input_gaps(sessions)
        deviation = float(gaps.std(dtype=np.float64)) if len(gaps) else 0.0
        if deviation == 0.0:
            return cls(1.0, 1)
        width = _SCOTT * deviation * len(gaps) ** (-1 / 3)
        last_bin_start = float(np.quantile(gaps, LAST_BIN_QUANTILE))
        return cls(width, min(int(last_bin_start / width) + 1, MAX_BINS))

    def rows(self, seconds: Tensor) -> Tensor:
        """The row of each gap, int64, same shape; NaN is UNKNOWN, negative gaps count as 0."""
        index = (seconds / self.width).clamp(0, self.n_bins - 1)
        return torch.where(seconds.isnan(), UNKNOWN, index.nan_to_num().long() + FIRST_BIN)


def input_gaps(sessions: Sessions) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Seconds between successive clicks of each session, except the gap before its last click."""
    gaps = sessions.gaps()
    is_input = np.ones(len(gaps), dtype=np.bool_)
    nonempty = sessions.lengths() > 0
    is_input[sessions.offsets[:-1][nonempty] - sessions.offsets[0]] = False
    is_input[sessions.offsets[1:][nonempty] - 1 - sessions.offsets[0]] = False
    return gaps[is_input]
