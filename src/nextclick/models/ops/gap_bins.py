"""Bins of the seconds between clicks.

ASARS bins by Scott's rule (D. W. Scott, On Optimal and Data-based Histograms, Biometrika 66(3),
1979): with σ the standard deviation of n gaps, the width of a bin is

    w = 3.49 σ n^(-1/3)                          (8)

The paper's equation (9) uses the width as if it were the index of a bin; the index of a gap δ is
⌊δ / w⌋. The last bin is that of the 99.5th percentile and also holds all longer gaps; there are at
most 512 bins.

Most gaps are short, so that a few of these bins hold most of them: two bins hold 57 % of the gaps
of a week of Yoochoose. There are two other rules with 32 bins. In "log" the bounds grow by a
constant factor, from 1 s to the 99.5th percentile; in "quantile" all bins hold equally many gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch

from nextclick.core.array_checks import check_length, check_positive, named_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Float32Array, Float64Array, Int64Array

BinRule: TypeAlias = Literal["scott", "log", "quantile"]

START, UNKNOWN, FIRST_BIN = 1, 2, 3  # 0 is padding
MAX_BINS = 512
LAST_BIN_QUANTILE = 0.995  # longer gaps share the last bin
_SCOTT = 3.49
_N_BINS = 32  # of the rules "log" and "quantile"


@dataclass(frozen=True, slots=True)
class GapBins:
    """A mapping from gaps to rows of an embedding.

    Attributes:
        width: seconds per bin, above 0, for bins of equal width.
        n_bins: the number of bins; the last one also holds all longer gaps.
        bounds: the n_bins - 1 ascending bounds between bins, in seconds, as float32 numbers; empty
            for bins of equal width.
    """

    width: float
    n_bins: int
    bounds: tuple[float, ...] = ()

    @property
    def n_rows(self) -> int:
        """The number of rows of the embedding: the bins, padding, START and UNKNOWN."""
        return self.n_bins + FIRST_BIN

    @classmethod
    def from_sessions(cls, sessions: Sessions, rule: BinRule = "scott") -> GapBins:
        """Fit the bins to the gaps that a model reads: all but the one before the last click.

        The gap before the last click is the time to a target and never an input; in some logs it
        is artificial.
        """
        gaps = input_gaps(sessions)
        deviation = float(gaps.std(dtype=np.float64)) if len(gaps) else 0.0
        if deviation == 0.0:
            return cls(1.0, 1)
        if rule != "scott":
            bounds = tuple(float(bound) for bound in _bounds(gaps, rule))
            return cls(1.0, len(bounds) + 1, bounds)
        width = _SCOTT * deviation * len(gaps) ** (-1 / 3)
        last_bin_start = float(np.quantile(gaps, LAST_BIN_QUANTILE))
        return cls(width, min(int(last_bin_start / width) + 1, MAX_BINS))

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray]) -> GapBins:
        """The bins of an encoder, from its buffers (see `tensors`) and its table `gaps`."""
        n_bins = len(named_array(state, "gaps.weight")) - FIRST_BIN
        bounds: tuple[float, ...] = ()
        if "gap_bounds" in state:
            check_length("gap_bounds", state["gap_bounds"], n_bins - 1)
            bounds = tuple(state["gap_bounds"].astype(np.float32).tolist())
        check_positive("gap_width", state["gap_width"])
        return cls(float(state["gap_width"][0]), n_bins, bounds)

    def tensors(self) -> dict[str, Tensor]:
        """The buffers of an encoder that reads gaps, by name."""
        named = {"gap_width": torch.tensor([self.width], dtype=torch.float64)}
        if self.bounds:
            named["gap_bounds"] = torch.tensor(self.bounds)
        return named

    def rows(self, seconds: Tensor) -> Tensor:
        """The row of each gap, int64, same shape; NaN is UNKNOWN, negative gaps count as 0."""
        if self.bounds:
            bounds = torch.tensor(self.bounds, device=seconds.device)
            index = torch.bucketize(seconds, bounds, right=True)
        else:
            index = (seconds / self.width).clamp(0, self.n_bins - 1).nan_to_num().long()
        return torch.where(seconds.isnan(), UNKNOWN, index + FIRST_BIN)

    def rows_of_array(self, seconds: Float32Array) -> Int64Array:
        """Equal to `rows`, for an array."""
        if self.bounds:
            index = np.searchsorted(np.array(self.bounds, np.float32), seconds, side="right")
        else:
            scaled = np.clip(seconds / np.float32(self.width), 0, self.n_bins - 1)
            index = np.nan_to_num(scaled).astype(np.int64)
        return np.where(np.isnan(seconds), UNKNOWN, index + FIRST_BIN)


def _bounds(gaps: Float32Array, rule: BinRule) -> Float32Array:
    """The ascending bounds between at most `_N_BINS` bins, each above 0."""
    if rule == "quantile":
        exact: Float64Array = np.quantile(gaps, np.arange(1, _N_BINS) / _N_BINS)
    else:
        longest = max(float(np.quantile(gaps, LAST_BIN_QUANTILE)), 2.0)
        exact = np.geomspace(1.0, longest, _N_BINS - 1)
    return np.unique(exact[exact > 0.0].astype(np.float32))


def input_gaps(sessions: Sessions) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Seconds between successive clicks of each session, except the gap before its last click."""
    gaps = sessions.gaps()
    is_input = np.ones(len(gaps), dtype=np.bool_)
    nonempty = sessions.lengths() > 0
    is_input[sessions.offsets[:-1][nonempty] - sessions.offsets[0]] = False
    is_input[sessions.offsets[1:][nonempty] - 1 - sessions.offsets[0]] = False
    return gaps[is_input]
