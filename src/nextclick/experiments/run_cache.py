"""One training of an entrant, kept in a folder and done only where it is not done yet.

A folder is known by the fingerprint of what it was given: data, model, parameters, seed, part and
version, or the manifest of a model that was trained before. Its name is for people: NAME,
NAME-SEED, and NAME.2 where that was taken by others. `nextclick.report.run_folder` lists the files.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact import Artifact
from nextclick.artifact.version_registry import artifact_folder
from nextclick.core.hardware import cpus
from nextclick.core.peak_memory import track_peak_memory
from nextclick.core.storage import write_json
from nextclick.experiments.artifact_evaluation import evaluate_each
from nextclick.experiments.checkpoint_paths import has_checkpoint
from nextclick.experiments.model_training import train
from nextclick.experiments.response_time import answer_time
from nextclick.report.run_folder import ARTIFACT, COSTS, RESULT, RUN, Costs, Run
from nextclick.training.training_config import NeuralOptions
from nextclick.version import __version__

if TYPE_CHECKING:
    from nextclick.core.types import Progress
    from nextclick.data.store import Store
    from nextclick.evaluation import RankingProtocol
    from nextclick.experiments.model_specs import ModelSpec

_TRAINING = "training"  # checkpoints
_PEAK = "peak.json"  # memory of the training, written before the model
_QUERIES = 1000
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Question:
    """How a model is trained and measured.

    Attributes:
        part: test or valid.
        learned: the part that models learn from, train or fit.
        ks: the cut-offs K.
        protocol: how ranks are counted.
        prequential: models that keep a graph of days take in each block before the next.
        device: auto, cpu or cuda.
    """

    part: str
    learned: str
    ks: tuple[int, ...]
    protocol: RankingProtocol
    prequential: bool
    device: str


class KeptRun:
    """An entrant with a seed, and its folder."""

    def __init__(
        self, store: Store, entrant: ModelSpec, seed: int, question: Question, place: Path
    ):
        """Find its folder among those in `place`, or name a new one."""
        self.store = store
        self.entrant = entrant
        self.seed = seed
        self.question = question
        self.given = entrant.trained and artifact_folder(entrant.trained)
        self.identity = self._identity()
        self.folder = self._folder(place)

    def done(self) -> Run | None:
        """What was measured, if it was; None if something is left to do."""
        if not (self.folder / COSTS).exists():
            return None
        run = Run.read(self.folder / RESULT)
        return run if run.answers(self._asked()) else None

    def do(self, progress: Progress) -> Run:
        """Train where no model is kept, and measure.

        Raises:
            NextclickError: as `train` and `evaluate`.
        """
        artifact = self._trained(progress)
        question = self.question
        result, ranks = evaluate_each(
            artifact,
            self.store,
            part=question.part,
            ks=question.ks,
            protocol=question.protocol,
            prequential=self._prequential,
            label=self.entrant.label,
            progress=progress,
        )
        run = Run(self.folder, result, ranks, self._costs(artifact))
        run.write()
        return run

    def _trained(self, progress: Progress) -> Artifact:
        place = self._place
        if self.given is not None or not place.exists():
            write_json(self.folder / RUN, self.identity)
        if place.exists():
            return Artifact.load(place)
        contender, checkpoints = self.entrant.contender, self.folder / _TRAINING
        neural = None
        if contender.neural:
            resume = has_checkpoint(checkpoints)
            neural = NeuralOptions(contender.preset, self.question.device, checkpoints, resume)
            _forget_device_peak()
        with track_peak_memory() as peak:
            artifact = train(
                self.store,
                contender.name,
                config=contender.fixed,
                part=self.question.learned,
                seed=self.seed,
                neural=neural,
                progress=progress,
            )
        device_peak = _device_peak() if artifact.trained.get("device") == "cuda" else None
        write_json(
            self.folder / _PEAK,
            {"memory_bytes": max(peak, default=None), "device_memory_bytes": device_peak},
        )
        artifact.save(place)
        shutil.rmtree(checkpoints, ignore_errors=True)
        return artifact

    def _costs(self, artifact: Artifact) -> Costs:
        trained = artifact.trained
        epochs, seconds = _epochs(trained), step_seconds(trained)
        rates: dict[str, Any] = dict.fromkeys(("iterations_per_second", "samples_per_second"))
        if epochs and seconds:
            for rate, counted in zip(rates, ("steps", "samples"), strict=True):
                rates[rate] = sum(epoch[counted] for epoch in epochs) / seconds
        sessions = self.store.part(self.question.part)
        time = answer_time(artifact, sessions, max(self.question.ks), queries=_QUERIES)
        files = self._place.rglob("*")
        return Costs(
            asked=self._asked(),
            training_seconds=seconds,
            epochs=len(epochs) or None,
            **rates,
            **self._peaks(),
            device=trained.get("device", "cpu"),
            threads=trained.get("threads"),
            size_bytes=sum(file.stat().st_size for file in files if file.is_file()),
            answer_ms=asdict(time),
            machine=machine(),
        )

    @property
    def _place(self) -> Path:
        """Of the model."""
        return self.given or self.folder / ARTIFACT

    def _peaks(self) -> dict[str, int | None]:
        if self.given is not None:
            return dict.fromkeys(("memory_bytes", "device_memory_bytes"))
        found: dict[str, int | None] = json.loads((self.folder / _PEAK).read_text(encoding="utf-8"))
        return found

    @cached_property
    def _prequential(self) -> bool:
        """Asked for, and of a model with a graph of days: tasrec's base variant has none."""
        if not self.question.prequential:
            return False
        if self.given is not None:
            return Artifact.load(self.given).model.capabilities.update == "by-block"
        return self.entrant.contender.capabilities().update == "by-block"

    def _asked(self) -> dict[str, Any]:
        question = self.question
        return {
            "label": self.entrant.label,
            "part": question.part,
            "ks": list(question.ks),
            "protocol": asdict(question.protocol),
            "prequential": self._prequential,
        }

    def _identity(self) -> dict[str, Any]:
        contender = self.entrant.contender
        told: dict[str, Any] = {
            "data_fingerprint": self.store.fingerprint,
            "model": contender.name,
        }
        if self.given is not None:
            # with the seconds of each epoch in it, no two trainings have the same
            manifest = (self.given / "manifest.json").read_bytes()
            told["artifact"] = _digest(manifest)
        else:
            told |= {
                "parameters": contender.parameters({}),
                "seed": self.seed,
                "part": self.question.learned,
                "nextclick": __version__,
            }
        return {"fingerprint": _digest(json.dumps(told, sort_keys=True).encode()), **told}

    def _folder(self, place: Path) -> Path:
        name = re.sub(r"[^\w.@+=-]", "_", self.entrant.label).lstrip(".") or "_"
        if self.seed:
            name += f"-{self.seed}"
        number = 1
        while True:
            folder = place / (name if number == 1 else f"{name}.{number}")
            kept = _fingerprint(folder)
            if kept in (None, self.identity["fingerprint"]):
                return folder
            number += 1


def step_seconds(trained: dict[str, Any]) -> float:
    """Of all steps of a neural model, without imports and validation; of another, all it took."""
    epochs = _epochs(trained)
    return sum(epoch["seconds"] for epoch in epochs) if epochs else float(trained["seconds"])


def _epochs(trained: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that chose the number of epochs, and those of the model."""
    return [*(trained.get("chosen_on") or []), *trained.get("history", [])]


def _digest(told: bytes) -> str:
    return hashlib.blake2b(told, digest_size=16).hexdigest()


def _fingerprint(folder: Path) -> str | None:
    """Of the training that a folder is for; None for a free place."""
    try:
        told: str = json.loads((folder / RUN).read_text(encoding="utf-8"))["fingerprint"]
    except FileNotFoundError:
        return None
    return told


def machine() -> str:
    """Processor, and how many of its cores may be used."""
    try:
        told = re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        told = None
    name = told[1] if told else platform.processor() or platform.machine()
    return f"{name}, {cpus()} core{'s' if cpus() > 1 else ''}"


def _forget_device_peak() -> None:
    import torch  # a neural model is trained next

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _device_peak() -> int:
    import torch

    return int(torch.cuda.max_memory_allocated())
