"""Train a model on a part of a store and keep it as an artifact."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact import Artifact
from nextclick.core.config import build_config
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ConfigError, OutputError
from nextclick.experiments.checkpoint_paths import remove_checkpoints
from nextclick.experiments.comparison_options import TRAIN_ON
from nextclick.experiments.requirements import check_needs
from nextclick.models.model_registry import model_class
from nextclick.training.training_config import NeuralOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.types import Progress
    from nextclick.models.base import Model


def train(
    store: Store | str | Path,
    model: str,
    output: str | Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    train_on: str | None = None,
    seed: int = 0,
    neural: NeuralOptions | None = None,
    refreshable: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Artifact:
    """Train a model.

    Args:
        store: open, or its folder.
        model: name, as `nextclick models` lists them.
        output: folder for the artifact; None keeps it in memory only.
        config: parameters that differ from their defaults, for a neural model those of training
            among them.
        train_on: `all` trains on everything before the test, `inner` on everything before the
            validation. None is `all` for a model that counts, and `inner` for a neural one, which
            selects its epoch on the validation; see `train_neural` for the cost of `all`.
        seed: of everything random.
        neural: preset, device, checkpoints and trackers of a neural model. Without a folder for
            checkpoints they go beside `output`, to `OUTPUT.training`.
        refreshable: keep in the artifact what `refresh` needs without the store: for item-knn,
            markov and rules the sessions, four bytes a click; for others nothing is missing.
        overwrite: replace `output`, and begin anew where a run was stopped.
        progress: told how far it has come.

    Raises:
        ConfigError: no such model, parameter, value or part, or too little memory.
        StoreError: the store cannot be read.
        OutputError: the artifact or a checkpoint cannot be written.
        ArtifactError: a checkpoint of another run.
        TrainingError: a loss, gradient or weight that is not finite.
        StoppedError: Ctrl-C; the message says how to go on.
    """
    opened = store if isinstance(store, Store) else Store.open(store)
    if train_on is not None and train_on not in TRAIN_ON:
        raise ConfigError(f"train_on must be inner or all, got {train_on!r}")
    if output is not None and Path(output).exists() and not overwrite:
        raise OutputError(f"{output} exists already; choose another place or say --overwrite")
    model_type = model_class(model)
    counts = not model_type.default_capabilities.neural
    learned_from = TRAIN_ON[train_on or ("all" if counts else "inner")]
    options = neural or NeuralOptions()
    if not counts and options.checkpoints is None and output is not None:
        options = replace(options, checkpoints=Path(f"{output}.training"))
    work = _Work(model_type, opened, config or {}, options, learned_from, seed, overwrite, progress)
    fitted, seconds, figures = work.count() if counts else work.learn()
    sessions = opened.part(learned_from)
    trained = {
        "part": learned_from,
        "seed": seed,
        "seconds": seconds,
        "counts": opened.manifest["counts"][learned_from],
        "data_fingerprint": opened.fingerprint,
        "protocol": opened.protocol,
        "prepared": opened.prepared,
        "last_ms": None if sessions.times is None else int(sessions.times.max()),
        **figures,
    }
    users = opened.users if "users" in model_type.requires(fitted.config) else None
    log = sessions if refreshable and fitted.capabilities.needs_sessions else None
    artifact = Artifact(fitted, opened.items, sessions.support(), trained, users, log)
    if output is not None:
        artifact.save(output, overwrite=overwrite)
        if options.checkpoints is not None:
            remove_checkpoints(options.checkpoints)
    return artifact


@dataclass(frozen=True, slots=True)
class _Work:
    """What `train` was asked for, checked; the two kinds of models do it in their ways."""

    model_type: type[Model]
    store: Store
    values: Mapping[str, Any]
    options: NeuralOptions
    part: str
    seed: int
    overwrite: bool
    progress: Progress

    def count(self) -> tuple[Model, float, dict[str, Any]]:
        """A model that counts, the seconds it took, and nothing else."""
        name = self.model_type.name
        if self.options != NeuralOptions():
            raise ConfigError(
                f"{name} is no neural model: leave out preset, device, checkpoints, resume and "
                "track"
            )
        settings = build_config(self.model_type.Config, self.values, name)
        check_needs(self.model_type, settings, self.store)
        sessions = self.store.part(self.part)
        started = time.perf_counter()
        model = self.model_type.fit(sessions, settings, seed=self.seed, progress=self.progress)
        return model, time.perf_counter() - started, {}

    def learn(self) -> tuple[Model, float, dict[str, Any]]:
        """A neural model, the seconds it took with all validation, and how its training went."""
        # imported here: a model that counts needs no neural library
        from nextclick.experiments.neural_training import neural_class, train_neural

        started = time.perf_counter()
        done = train_neural(
            neural_class(self.model_type),
            self.store,
            self.values,
            self.options,
            part=self.part,
            seed=self.seed,
            overwrite=self.overwrite,
            progress=self.progress,
        )
        return done.model, time.perf_counter() - started, done.figures
