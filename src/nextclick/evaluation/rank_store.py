"""Ranks of an evaluation on disk, from which metrics and comparisons are computed later."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from nextclick.core.array_checks import ArrayError, check_array, check_length
from nextclick.core.metrics import METRICS
from nextclick.core.storage import raising_output_errors
from nextclick.errors import ProtocolError
from nextclick.evaluation.ranking_metrics import session_sums

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.types import Float32Array, Float64Array, Int32Array, Int64Array
    from nextclick.evaluation.full_ranking import Evaluation


# raised by NumPy for a damaged .npz file
_UNREADABLE = (ValueError, EOFError, RuntimeError, SyntaxError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True, eq=False)
class RankStore:
    """Ranks of one evaluation.

    Attributes:
        ranks: (P,) float32, rank of each target; infinite if unseen in training. Ranks up to 16
            million are exact.
        session: (P,) int32, session of each prefix, ascending.
    """

    ranks: Float32Array
    session: Int32Array

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation) -> Self:
        """Create from an evaluation."""
        return cls(evaluation.ranks.astype(np.float32), evaluation.session.astype(np.int32))

    def sums(self, metric: str, k: float) -> tuple[Float64Array, Int64Array]:
        """(S,) sums of a metric at K by session, and (S,) prefixes; K may be infinite."""
        values = METRICS[metric](self.ranks.astype(np.float64), k)
        sums, prefixes = session_sums(self.session.astype(np.int64), {metric: values})
        return sums[:, 0], prefixes

    def mean(self, metric: str, k: float) -> float:
        """Mean of a metric at K over all prefixes; K may be infinite."""
        return float(METRICS[metric](self.ranks.astype(np.float64), k).mean())

    def write(self, path: Path) -> None:
        """Write a .npz file atomically.

        Raises:
            OutputError: the file cannot be written.
        """
        scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
        with raising_output_errors(path):
            try:
                with scratch.open("wb") as file:
                    np.savez_compressed(file, ranks=self.ranks, session=self.session)
                    file.flush()
                    os.fsync(file.fileno())
                scratch.replace(path)
            finally:
                scratch.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `write` wrote.

        Raises:
            ProtocolError: the file is missing or is not a file of ranks.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                ranks, session = arrays["ranks"], arrays["session"]
            check_array("ranks", ranks, np.float32)
            check_array("session", session, np.int32)
            check_length("session", session, len(ranks))
            if np.any(session[1:] < session[:-1]):
                raise ArrayError("session must ascend")
            return cls(ranks, session)
        except (*_UNREADABLE, OSError, KeyError) as error:
            raise ProtocolError(
                f"{path}: cannot read the ranks: {error}; evaluate again"
            ) from error
