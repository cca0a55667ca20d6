"""One model, trained and measured in a folder of a `RunCache`.

`nextclick.report.run_folder` lists the files of the folder. A completed step is not repeated: a
trained model is measured again if the measurement differs, and an interrupted training resumes.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nextclick.artifact import Artifact
from nextclick.artifact.artifact_manifest import local_artifact
from nextclick.artifact.registries import artifact_folder
from nextclick.core.hardware import machine
from nextclick.core.manifests import ManifestError, read_with_digest, with_digest
from nextclick.core.peak_memory import track_peak_memory
from nextclick.core.storage import write_json
from nextclick.errors import ArtifactError, ProtocolError
from nextclick.experiments.artifact_evaluation import evaluate_with_ranks
from nextclick.experiments.checkpoint_paths import find_damage, has_checkpoint, remove_checkpoints
from nextclick.experiments.model_training import train
from nextclick.experiments.response_time import measure_response_time
from nextclick.experiments.run_cache import digest
from nextclick.report.run_folder import ARTIFACT, COSTS, RESULT, ModelCosts, ModelRun
from nextclick.serving import Recommender
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.types import Progress
    from nextclick.data.store import Store
    from nextclick.evaluation import RankingProtocol
    from nextclick.experiments.model_specs import ModelSpec
    from nextclick.experiments.run_cache import RunCache

_CHECKPOINTS = "training"
_USAGE = "usage.json"  # memory and processor time of the training, written before the model


@dataclass(frozen=True, slots=True)
class Measurement:
    """How models are trained and measured.

    Attributes:
        part: part that is ranked, test or valid.
        train_part: part that models learn from, train or train_inner.
        ks: the cut-offs K.
        protocol: how ranks are counted.
        by: names of segmentations that are measured as well.
        prequential: models with a temporal item graph observe each block of time before the next
            one is ranked.
        device: auto, cpu or cuda.
        queries: number of queries whose latency is measured.
        keep_artifact: keep the model after it is measured.
    """

    part: str
    train_part: str
    ks: tuple[int, ...]
    protocol: RankingProtocol
    by: tuple[str, ...] = ()
    prequential: bool = False
    device: str = "auto"
    queries: int = 1000
    keep_artifact: bool = True


class CachedRun:
    """A model and a seed, with the folder of their training and measurement.

    Attributes:
        label: of the model, in tables.
        seed: of the training.
    """

    def __init__(self, store: Store, model_spec: ModelSpec, seed: int, measurement: Measurement):
        self.label = model_spec.label
        self.seed = seed
        self._store = store
        self._model_spec = model_spec
        self._measurement = measurement
        self._trained_folder: Path | None = None
        if model_spec.trained is not None:
            self._trained_folder = local_artifact(artifact_folder(model_spec.trained))

    def complete(self, cache: RunCache, progress: Progress) -> ModelRun:
        """Return the run from the cache; train and measure the model if it is missing there.

        Raises:
            NextclickError: as `train` and `evaluate`.
        """
        name = f"{self.label}-{self.seed}" if self.seed else self.label
        folder = cache.run_folder(name, self._inputs())
        run = self._stored(folder, progress) or self._measure(folder, progress)
        if not self._measurement.keep_artifact:
            shutil.rmtree(folder / ARTIFACT, ignore_errors=True)
        return run

    def _inputs(self) -> dict[str, Any]:
        candidate = self._model_spec.candidate
        inputs: dict[str, Any] = {
            "data_fingerprint": self._store.fingerprint,
            "model": candidate.name,
        }
        if self._trained_folder is not None:
            # the manifest holds the seconds of each epoch: it differs between any two trainings
            manifest = (self._trained_folder / "manifest.json").read_bytes()
            return inputs | {"artifact": digest(manifest)}
        inputs |= {
            "parameters": candidate.parameters({}),
            "seed": self.seed,
            "part": self._measurement.train_part,
        }
        trains = candidate.neural or candidate.composite
        return inputs | ({"device": self._measurement.device} if trains else {})

    def _stored(self, folder: Path, progress: Progress) -> ModelRun | None:
        """The run in a folder, if it is intact and was measured under the same conditions."""
        if not (folder / COSTS).exists():
            return None
        try:
            run = ModelRun.read(folder / RESULT)
        except ProtocolError as error:
            progress(f"measuring again: {error}", 0, None)
            return None
        return run if run.measured_under(self._conditions()) else None

    def _conditions(self) -> dict[str, Any]:
        measurement = self._measurement
        return {
            "label": self.label,
            "part": measurement.part,
            "ks": list(measurement.ks),
            "protocol": measurement.protocol.to_json(),
            "by": list(measurement.by),
            "prequential": self._prequential,
            "queries": measurement.queries,
        }

    @cached_property
    def _prequential(self) -> bool:
        """Whether the measurement is prequential and the model has a temporal item graph."""
        if not self._measurement.prequential:
            return False
        if self._trained_folder is not None:
            model = Artifact.load(self._trained_folder).model
            return model.capabilities.update == "by-block"
        candidate = self._model_spec.candidate
        return candidate.capabilities().update == "by-block"

    def _measure(self, folder: Path, progress: Progress) -> ModelRun:
        artifact_path = self._trained_folder or folder / ARTIFACT
        artifact = self._artifact(artifact_path, folder, progress)
        measurement = self._measurement
        result, ranks = evaluate_with_ranks(
            artifact,
            self._store,
            part=measurement.part,
            ks=measurement.ks,
            protocol=measurement.protocol,
            by=measurement.by,
            prequential=self._prequential,
            label=self.label,
            progress=progress,
        )
        if measurement.keep_artifact and artifact_path != self._trained_folder:
            # the card of the model gets its metrics
            artifact.save(artifact_path, overwrite=True, evaluation=result.to_json())
        run = ModelRun(folder, result, ranks, self._costs(artifact, artifact_path, folder))
        run.write()
        return run

    def _artifact(self, path: Path, folder: Path, progress: Progress) -> Artifact:
        """The model of the run: loaded or, if it is missing or damaged, trained."""
        if path.exists():
            try:
                return Artifact.load(path)
            except ArtifactError as error:
                if path == self._trained_folder:
                    raise
                progress(f"training again: {error}", 0, None)
        artifact = self._train(folder, progress)
        shutil.rmtree(path, ignore_errors=True)
        artifact.save(path)
        shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)
        return artifact

    def _train(self, folder: Path, progress: Progress) -> Artifact:
        candidate, checkpoints = self._model_spec.candidate, folder / _CHECKPOINTS
        neural, resume = None, False
        if candidate.neural or candidate.composite:
            resume = has_checkpoint(checkpoints)
            if resume and (damage := find_damage(checkpoints)) is not None:
                progress(f"starting the training again: {damage}", 0, None)
                remove_checkpoints(checkpoints)
                resume = False
            device = self._measurement.device
            neural = NeuralOptions(candidate.preset, device, checkpoints, resume)
            _reset_device_peak()
        start = time.process_time()
        with track_peak_memory() as peak:
            artifact = train(
                self._store,
                candidate.name,
                config=candidate.fixed,
                train_on="inner" if self._measurement.train_part == "train_inner" else "all",
                seed=self.seed,
                neural=neural,
                progress=progress,
            )
        device_peak = _device_peak() if artifact.trained.get("device") == "cuda" else None
        usage = {
            "memory_bytes": max(peak, default=None),
            "device_memory_bytes": device_peak,
            "processor_seconds": None if resume else time.process_time() - start,
        }
        write_json(folder / _USAGE, with_digest(usage))
        return artifact

    def _costs(self, artifact: Artifact, artifact_path: Path, folder: Path) -> ModelCosts:
        trained, measurement = artifact.trained, self._measurement
        intervals, seconds = _intervals(trained), step_seconds(trained)
        rates: dict[str, Any] = dict.fromkeys(("iterations_per_second", "samples_per_second"))
        if intervals and seconds:
            for rate, counter in zip(rates, ("steps", "samples"), strict=True):
                rates[rate] = sum(interval[counter] for interval in intervals) / seconds
        latency = measure_response_time(
            Recommender.load(artifact_path),
            self._store.part(measurement.part),
            max(measurement.ks),
            queries=measurement.queries,
        )
        files = [file for file in artifact_path.rglob("*") if file.is_file()]
        return ModelCosts(
            conditions=self._conditions(),
            training_seconds=seconds,
            epochs=_epochs(trained),
            **rates,
            **self._usage(folder),
            device=trained.get("device", "cpu"),
            threads=trained.get("threads"),
            size_bytes=sum(file.stat().st_size for file in files),
            response_ms=asdict(latency),
            machine=machine(),
        )

    def _usage(self, folder: Path) -> dict[str, Any]:
        """Memory and processor time of the training; None if unknown or the file is damaged."""
        names = ("memory_bytes", "device_memory_bytes", "processor_seconds")
        if self._trained_folder is not None:
            return dict.fromkeys(names)
        try:
            usage = read_with_digest(folder / _USAGE)
        except (ManifestError, OSError):
            return dict.fromkeys(names)
        return {name: usage[name] for name in names}


def step_seconds(trained: dict[str, Any]) -> float:
    """Training time; of a neural model that of its steps, without imports and validation."""
    seconds = [interval["seconds"] for interval in _intervals(trained)]
    return sum(seconds) if seconds else float(trained["seconds"])


def _histories(trained: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Of the trainings that select the number of epochs and the order, and of the final one."""
    other_order = (trained.get("order") or {}).get("other_history")
    return [h for h in (trained.get("selection_history"), other_order, trained.get("history")) if h]


def _intervals(trained: dict[str, Any]) -> list[dict[str, Any]]:
    return [interval for history in _histories(trained) for interval in history]


def _epochs(trained: dict[str, Any]) -> float | None:
    """Passes of all trainings over their sessions; None for a counting model."""
    return sum(history[-1]["epoch"] for history in _histories(trained)) or None


def _reset_device_peak() -> None:
    import torch  # called before the training of a neural model only

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _device_peak() -> int:
    import torch

    return int(torch.cuda.max_memory_allocated())
