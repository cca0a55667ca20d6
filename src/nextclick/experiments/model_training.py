"""Train a model on a part of a store and save it as an artifact."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nextclick.artifact import Artifact
from nextclick.artifact.artifact_manifest import read_manifest
from nextclick.artifact.model_card import log_facts
from nextclick.core.config import build_config
from nextclick.core.hardware import machine
from nextclick.core.locations import resolve_location
from nextclick.core.peak_memory import peak_memory_bytes
from nextclick.core.processes import current, joined_processes
from nextclick.core.types import silent
from nextclick.data.default_boundary import last_trusted_end
from nextclick.data.store import Store
from nextclick.errors import ArtifactError, ConfigError
from nextclick.experiments.checkpoint_paths import has_checkpoint, remove_checkpoints
from nextclick.experiments.comparison_options import training_part
from nextclick.experiments.requirements import check_store
from nextclick.experiments.tracking.logged_results import log_training
from nextclick.experiments.tracking.tracked_run import STEPS_ONLY, tracked_run
from nextclick.models.model_registry import model_class
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.models.base import Model


def train(
    store: Store | str | Path,
    model: str,
    output: str | Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    train_on: str = "all",
    seed: int = 0,
    neural: NeuralOptions | None = None,
    refreshable: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Artifact:
    """Train a model.

    Started by torchrun, all processes call this function with the same arguments, and process 0
    writes the artifact.

    Args:
        store: a store or its folder.
        model: a name that `nextclick models` lists.
        output: folder of the artifact, or its address, such as `s3://bucket/model`; None keeps the
            artifact in memory only.
        config: parameters that differ from their defaults; for a neural model, of the model and of
            its training.
        train_on: `all` trains on everything before the test, `inner` on everything before the
            validation, to choose between models on it. A neural model is trained twice with `all`:
            the validation selects the number of epochs; see `train_neural`.
        seed: seed of all random numbers.
        neural: preset, device and checkpoints of a neural model, or of the neural members of a
            blend, which has no preset; and the trackers of any model. Without a checkpoint folder,
            checkpoints are written to `OUTPUT.training`, in the current folder if the output is an
            address.
        refreshable: store in the artifact what `refresh` otherwise reads from the store: the
            sessions, four bytes per click, for item-knn, markov and rules; nothing for others.
        overwrite: replace `output`, and delete the checkpoint of an interrupted training.
        progress: receives the progress of the training.

    Raises:
        ConfigError: an unknown model, parameter, value or part, or insufficient memory.
        StoreError: the store cannot be read.
        OutputError: the artifact or a checkpoint cannot be written.
        ArtifactError: the checkpoint is of another training.
        TrainingError: a loss, gradient or weight is not finite.
        InterruptedRunError: Ctrl-C; the message says how to resume.
        ProcessError: another process failed, ended or does not answer.
    """
    options = neural or NeuralOptions()
    with joined_processes(options.device) as processes, ExitStack() as stack:
        progress = progress if processes.is_first else silent
        request = processes.agree(
            lambda: _TrainingRequest.create(
                store, model, output, config or {}, options, train_on, seed, overwrite, progress
            )
        )
        run = processes.agree(
            lambda: stack.enter_context(
                tracked_run(options.track if processes.is_first else (), model)
            )
        )
        artifact = request.train(refreshable=refreshable)
        if output is not None:
            first = artifact.model.shards or processes
            first.on_first(lambda: request.save(artifact, output))
        log_training(run, artifact, output)
        return artifact


@dataclass(frozen=True, slots=True)
class _TrainingRequest:
    """The validated arguments of `train`."""

    model_type: type[Model]
    store: Store
    values: Mapping[str, Any]
    options: NeuralOptions
    part: str
    seed: int
    overwrite: bool
    replaces_output: bool
    progress: Progress

    @classmethod
    def create(
        cls,
        store: Store | str | Path,
        model: str,
        output: str | Path | None,
        values: Mapping[str, Any],
        options: NeuralOptions,
        train_on: str,
        seed: int,
        overwrite: bool,
        progress: Progress,
    ) -> Self:
        """Check the arguments, and open the store."""
        store = store if isinstance(store, Store) else Store.open(store, progress)
        part, processes = training_part(train_on), current()
        model_type = model_class(model)
        capabilities = model_type.default_capabilities
        if processes.are_several and not capabilities.neural:
            raise ConfigError(
                f"{model} is trained by one process, got {processes.size}; run the same command "
                "without torchrun"
            )
        if options.shard_items:
            processes.check_several("--shard-items")
        takes_options = capabilities.neural or capabilities.composite
        folder, replaces_output = options.checkpoints, overwrite
        default = None if output is None or not takes_options else _checkpoint_folder(output)
        if folder is None and default is not None:
            folder = default
            options = replace(options, checkpoints=folder)
        if processes.restarts and folder is not None and processes.is_first:
            # torchrun repeats the command as it was first given
            options = replace(options, resume=options.resume or has_checkpoint(folder))
        if options.resume and output is not None and folder == default:
            identity = {"part": part, "seed": seed, "data_fingerprint": store.fingerprint}
            replaces_output |= _was_killed_after_saving(output, model, identity)
        if output is not None and processes.is_first:
            Artifact.check_output(output, overwrite=replaces_output)  # not after the training
        return cls(
            model_type, store, values, options, part, seed, overwrite, replaces_output, progress
        )

    def train(self, *, refreshable: bool) -> Artifact:
        """Train the model."""
        model_type, store = self.model_type, self.store
        if model_type.default_capabilities.composite:
            fitted, seconds, record = self.train_composite()
        elif model_type.default_capabilities.neural:
            fitted, seconds, record = self.train_neural()
        else:
            fitted, seconds, record = self.fit()
        sessions = store.part(self.part)
        trained = {
            "part": self.part,
            "seed": self.seed,
            "seconds": seconds,
            "counts": store.manifest["counts"][self.part],
            "data_fingerprint": store.fingerprint,
            "protocol": store.protocol,
            "prepared": store.prepared,
            "log": log_facts(store.manifest.get("report") or {}),
            "first_ms": None if sessions.times is None else int(sessions.times.min()),
            "last_ms": _last_ms(sessions),
            **({"catalog": "all"} if store.lists_unclicked else {}),
            "cost": {"processor": machine(), "memory_bytes": peak_memory_bytes()},
            **record,
        }
        users = store.users if "users" in model_type.requires(fitted.config) else None
        log = sessions if refreshable and fitted.capabilities.needs_sessions else None
        return Artifact(
            fitted, store.items, sessions.support(), trained, users, log, store.item_table
        )

    def save(self, artifact: Artifact, output: str | Path) -> None:
        """Write the artifact, and remove the checkpoint."""
        artifact.save(output, overwrite=self.replaces_output)
        if self.options.checkpoints is not None:
            remove_checkpoints(self.options.checkpoints)

    def fit(self) -> tuple[Model, float, dict[str, Any]]:
        """Train a counting model; return it, the seconds, and an empty training record."""
        name = self.model_type.name
        if replace(self.options, track=()) != NeuralOptions():
            raise ConfigError(
                f"{name} is not a neural model: omit preset, device, checkpoints, resume and "
                "shard_items"
            )
        if set(self.options.track) & set(STEPS_ONLY):
            raise ConfigError(
                f"{name} is not a neural model, and tensorboard logs the steps of one: track it "
                "with mlflow or wandb"
            )
        config = build_config(self.model_type.Config, self.values, name)
        check_store(self.model_type, config, self.store)
        sessions = self.store.part(self.part)
        start = time.perf_counter()
        model = self.model_type.fit(sessions, config, seed=self.seed, progress=self.progress)
        return model, time.perf_counter() - start, {}

    def train_neural(self) -> tuple[Model, float, dict[str, Any]]:
        """Train a neural model; return it, the seconds with validation, and its training record."""
        # imported here: a counting model needs no neural library
        from nextclick.experiments.neural_training import neural_class, train_neural

        start = time.perf_counter()
        result = train_neural(
            neural_class(self.model_type),
            self.store,
            self.values,
            self.options,
            part=self.part,
            seed=self.seed,
            overwrite=self.overwrite,
            progress=self.progress,
        )
        return result.model, time.perf_counter() - start, result.record

    def train_composite(self) -> tuple[Model, float, dict[str, Any]]:
        """Train a blend; return it, the seconds of all trainings, and its training record."""
        # imported here: it compiles kernels
        from nextclick.experiments.blend_training import train_blend

        start = time.perf_counter()
        result = train_blend(
            self.store,
            self.values,
            self.options,
            part=self.part,
            seed=self.seed,
            overwrite=self.overwrite,
            progress=self.progress,
        )
        return result.model, time.perf_counter() - start, result.record


def _was_killed_after_saving(output: str | Path, model: str, identity: Mapping[str, Any]) -> bool:
    """Whether a training was killed between writing its artifact and deleting its checkpoints.

    Resumed, it writes the same artifact again.
    """
    location = resolve_location(output)
    if not isinstance(location, Path) or not has_checkpoint(_checkpoint_folder(output)):
        return False
    try:
        manifest = read_manifest(location)
    except ArtifactError:
        return False
    trained = manifest.get("trained")
    return (
        manifest.get("model") == model
        and isinstance(trained, dict)
        and all(trained.get(name) == value for name, value in identity.items())
    )


def _checkpoint_folder(output: str | Path) -> Path:
    """`OUTPUT.training`; in the current folder if the output is an address."""
    location = resolve_location(output)
    return Path(f"{location if isinstance(location, Path) else Path(location).name}.training")


def _last_ms(sessions: Sessions) -> int | None:
    """Return the time of the last click in milliseconds, None without times.

    A click in the future or long after the others does not say where the log ends.
    """
    if sessions.times is None:
        return None
    ends = sessions.times[sessions.offsets[1:] - 1]
    return last_trusted_end(ends, round(time.time() * 1000))
