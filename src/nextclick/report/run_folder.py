"""A trained and evaluated model in its folder, the input of a report.

FOLDER/
run.json      identity of the run: data, model, parameters, seed
result.json   metrics
ranks.npz     rank of every target
costs.json    training and response times, memory, size; digests of the result and the ranks
artifact/     the model
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from nextclick.core.file_digests import digest_files
from nextclick.core.manifests import ManifestError, check_files, read_with_digest, with_digest
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
class ModelCosts:
    """Costs of a model. Values that do not apply or are unknown are None.

    Attributes:
        conditions: how the costs were measured; under other conditions they are measured again.
        training_seconds: training time. For a neural model the time of all steps, over all
            processes that trained it, without validation.
        epochs: passes of a neural model over its sessions, in all trainings.
        iterations_per_second: training steps of a neural model.
        samples_per_second: training prefixes of a neural model.
        memory_bytes: largest resident set of the process during training.
        device_memory_bytes: peak memory allocated on an accelerator.
        device: cpu or cuda.
        threads: compute threads of a neural model.
        size_bytes: size of the artifact on disk.
        response_ms: response time in milliseconds for one query at a time: `median`, `p99` and the
            number of `queries`.
        machine: processor and number of cores.
        processor_seconds: processor time of the training and its validation, over all threads;
            unlike wall time it depends little on other programs. None if the training was resumed.
    """

    conditions: dict[str, Any]
    training_seconds: float
    epochs: float | None
    iterations_per_second: float | None
    samples_per_second: float | None
    memory_bytes: int | None
    device_memory_bytes: int | None
    device: str
    threads: int | None
    size_bytes: int
    response_ms: dict[str, float]
    machine: str
    processor_seconds: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ModelRun:
    """The result of one training, with the files next to it.

    Attributes:
        folder: folder of the run.
        result: metrics.
        ranks: rank of every target; None if they were not stored.
        costs: costs; None if they were not measured.
    """

    folder: Path
    result: Result
    ranks: RankStore | None
    costs: ModelCosts | None

    @classmethod
    def read(cls, result: Path) -> Self:
        """Read a result file, and the ranks and costs next to it if they exist.

        Raises:
            ProtocolError: a file is not a valid result, rank or cost file.
        """
        folder = result.parent
        in_run_folder = result.name == RESULT
        ranks, costs = folder / RANKS, folder / COSTS
        # first: they hold the digests of the other files
        stored_costs = _read_costs(costs) if in_run_folder and costs.exists() else None
        stored_ranks = RankStore.read(ranks) if in_run_folder and ranks.exists() else None
        return cls(folder, Result.read(result), stored_ranks, stored_costs)

    def write(self) -> None:
        """Write all files. The costs are written last and mark the folder as complete.

        Raises:
            OutputError: a file cannot be written.
        """
        assert self.ranks is not None and self.costs is not None
        (self.folder / COSTS).unlink(missing_ok=True)
        self.ranks.write(self.folder / RANKS)
        self.result.write(self.folder / RESULT)
        files = digest_files(self.folder, [RANKS, RESULT])
        write_json(self.folder / COSTS, with_digest({**asdict(self.costs), "files": files}))

    def measured_under(self, conditions: dict[str, Any]) -> bool:
        """Check whether the costs were measured under these conditions."""
        normalized = json.loads(json.dumps(conditions))
        return self.costs is not None and self.costs.conditions == normalized


def _read_costs(path: Path) -> ModelCosts:
    """Read the costs, and compare the other files with the digests that are stored with them."""
    try:
        values = read_with_digest(path)
        check_files(path.parent, values.pop("files"))
        del values["digest"]
        return ModelCosts(**values)
    except (OSError, ManifestError, KeyError, TypeError) as error:
        raise ProtocolError(
            f"{path}: cannot read the costs: {error}; delete the file and compare again"
        ) from error
