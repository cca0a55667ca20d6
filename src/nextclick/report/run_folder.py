"""One trained and measured model, as a report reads it from its folder.

FOLDER/
run.json      whose it is
result.json   what it gave
ranks.npz     the rank of every target
costs.json    what it cost
artifact/     the model
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from nextclick.core.storage import write_json
from nextclick.errors import ProtocolError
from nextclick.evaluation.rank_store import RankStore
from nextclick.evaluation.results import Result

if TYPE_CHECKING:
    from pathlib import Path

RUN, RESULT, RANKS, COSTS, ARTIFACT = (
    "run.json", "result.json", "ranks.npz", "costs.json", "artifact"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Costs:
    """What a model cost. What does not apply, or is not known, is None.

    Attributes:
        asked: how it was measured; another question is measured anew.
        training_seconds: of learning. Of a neural model all steps, in every process that had a
            part in it, and no validation.
        epochs: of a neural model.
        iterations_per_second: steps of a neural model.
        samples_per_second: prefixes of a neural model.
        memory_bytes: the largest resident set of the process while it trained.
        device_memory_bytes: the most that was held on an accelerator.
        device: cpu or cuda.
        threads: of arithmetic, of a neural model.
        size_bytes: the artifact on disk.
        answer_ms: milliseconds of an answer to one query at a time: `median`, `p99`, and the
            number of `queries`.
        machine: processor and cores.
    """

    asked: dict[str, Any]
    training_seconds: float
    epochs: int | None
    iterations_per_second: float | None
    samples_per_second: float | None
    memory_bytes: int | None
    device_memory_bytes: int | None
    device: str
    threads: int | None
    size_bytes: int
    answer_ms: dict[str, float]
    machine: str


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A result with what was kept beside it.

    Attributes:
        folder: where it is.
        result: what it gave.
        ranks: of every target; None if they were not kept.
        costs: what it cost; None if nobody measured that.
    """

    folder: Path
    result: Result
    ranks: RankStore | None
    costs: Costs | None

    @classmethod
    def read(cls, result: Path) -> Self:
        """Read a result file, and ranks and costs where they lie beside it.

        Raises:
            ProtocolError: a file is no result, or broken.
        """
        folder = result.parent
        beside = result.name == RESULT
        ranks, costs = folder / RANKS, folder / COSTS
        return cls(
            folder,
            Result.read(result),
            RankStore.read(ranks) if beside and ranks.exists() else None,
            _read_costs(costs) if beside and costs.exists() else None,
        )

    def write(self) -> None:
        """Write all files; the costs come last, and say that the others are whole.

        Raises:
            OutputError: one cannot be written.
        """
        assert self.ranks is not None and self.costs is not None
        (self.folder / COSTS).unlink(missing_ok=True)
        self.ranks.write(self.folder / RANKS)
        self.result.write(self.folder / RESULT)
        write_json(self.folder / COSTS, asdict(self.costs))

    def answers(self, asked: dict[str, Any]) -> bool:
        """Whether it was measured in that way."""
        return self.costs is not None and self.costs.asked == json.loads(json.dumps(asked))


def _read_costs(path: Path) -> Costs:
    try:
        return Costs(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ProtocolError(f"{path}: cannot read the costs: {error}; compare again") from error
