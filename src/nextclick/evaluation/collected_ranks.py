"""The ranks of an evaluation as they are collected block by block, in one process or several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from nextclick.errors import EmptyLogError
from nextclick.evaluation.segments import RankedPrefixes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.batches.prefixes import PrefixBlock
    from nextclick.core.types import Float64Array, Int32Array, Int64Array
    from nextclick.evaluation.beyond_accuracy import Exposure
    from nextclick.evaluation.full_ranking import RankingProtocol
    from nextclick.evaluation.ranker import Ranked


@dataclass(slots=True, eq=False)
class CollectedRanks:
    """Ranks and counts of the blocks so far."""

    exposure: Exposure
    ranks: list[Float64Array] = field(default_factory=list)
    session: list[Int64Array] = field(default_factory=list)
    position: list[Int32Array] = field(default_factory=list)
    targets: list[Int32Array] = field(default_factory=list)
    unseen_targets: int = 0
    empty_prefixes: int = 0

    def add(self, block: PrefixBlock, ranked: Ranked) -> None:
        """Add a block with its ranks and lists."""
        self.exposure.add(ranked.lists, ranked.diversity)
        self.ranks.append(ranked.ranks)
        self.session.append(block.session)
        self.position.append(block.position)
        self.targets.append(block.targets)
        self.empty_prefixes += int(np.count_nonzero(block.batch.lengths == 0))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The ranks of several processes, in the order of the prefixes."""
        if len(parts) == 1:
            return parts[0]
        joined = cls(parts[0].exposure)
        session, position = (
            np.concatenate([a for part in parts for a in getattr(part, name)] or [np.zeros(0)])
            for name in ("session", "position")
        )
        order = np.lexsort((position, session))
        for name in ("ranks", "session", "position", "targets"):
            arrays = [array for part in parts for array in getattr(part, name)]
            setattr(joined, name, [np.concatenate(arrays)[order]] if arrays else [])
        for part in parts:
            if part is not parts[0]:
                joined.exposure.add_counts(part.exposure)
            joined.unseen_targets += part.unseen_targets
            joined.empty_prefixes += part.empty_prefixes
        return joined

    def arrays(self, protocol: RankingProtocol) -> tuple[Float64Array, RankedPrefixes]:
        """(P,) ranks and the prefixes of all blocks."""
        if not self.ranks:
            raise EmptyLogError(
                "no prefix to evaluate: no session has a target to rank after "
                f"{_least_input(protocol)} "
                f"({self.unseen_targets} targets are unseen in training, unseen is "
                f"{protocol.unseen}); give longer sessions, lower min_prefix, or set unseen to miss"
            )
        return np.concatenate(self.ranks), RankedPrefixes(
            np.concatenate(self.session),
            np.concatenate(self.position),
            np.concatenate(self.targets),
        )


def _least_input(protocol: RankingProtocol) -> str:
    if protocol.mode == "first":
        return "an earlier session of its user"
    return f"{protocol.min_prefix} clicks or more"
