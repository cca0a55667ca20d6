"""A model in a few lines: fit on a log, recommend, evaluate.

from nextclick import Estimator

model = Estimator("session-knn").fit(clicks)
model.recommend(["A", "B"], k=5)
model.evaluate()
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nextclick.core.display import Display, Displayed
from nextclick.core.types import silent
from nextclick.data.prepare_store import prepare
from nextclick.errors import ConfigError
from nextclick.experiments.artifact_evaluation import DEFAULT_KS, evaluate
from nextclick.experiments.batch_recommendation import recommend_frame
from nextclick.experiments.model_training import train
from nextclick.serving.recommender import Recommender

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.core.types import Progress
    from nextclick.data.options import PrepareOptions
    from nextclick.data.store import Store
    from nextclick.evaluation import Result
    from nextclick.training.training_config import NeuralOptions


class Estimator(Displayed):
    """Prepares a log, trains a model on it, recommends and evaluates.

    The steps are those of `nextclick.prepare`, `train`, `evaluate` and `load`. The log is split by
    time: the model is trained on the clicks before the test, which is the last day of the log, or
    the part that `prepare` chooses instead of it. `evaluate` measures the model on the test, so no
    measured click was seen in training. To recommend from a model of the whole log, update the
    artifact with `nextclick.refresh`, or train with `nextclick.train` on a store with a later test.

    Args:
        model: a name that `nextclick models` lists.
        config: parameters that differ from their defaults.
        options: how the log is read, filtered and split.
        neural: preset, device and checkpoints of a neural model.
        seed: seed of the training.
        folder: where the store and the artifact are kept, as `store` and `model`; existing ones are
            replaced. None keeps them in a temporary folder as long as the object exists.

    Attributes:
        store: the prepared log; None before `fit`.
        artifact: the trained model; None before `fit`.
    """

    def __init__(
        self,
        model: str = "session-knn",
        *,
        config: Mapping[str, Any] | None = None,
        options: PrepareOptions | None = None,
        neural: NeuralOptions | None = None,
        seed: int = 0,
        folder: str | Path | None = None,
    ):
        self.model = model
        self.config = config
        self.options = options
        self.neural = neural
        self.seed = seed
        self.folder = folder
        self.store: Store | None = None
        self.artifact: Artifact | None = None
        self._recommender: Recommender | None = None
        self._remove: Callable[[], object] = _keep  # removes the temporary folder

    def fit(self, log: Any, *, progress: Progress = silent) -> Self:
        """Prepare a log and train the model on its part before the test.

        Args:
            log: a frame of Polars or pandas with a session or user, an item and a time per row; or
                any source of `nextclick.prepare`.
            progress: receives the progress of both steps.

        Raises:
            SourceError: the log cannot be read.
            EmptyLogError: the filters leave no session.
            ConfigError: an unknown model or parameter, or a value out of range.
            TrainingError: a loss, gradient or weight is not finite.
        """
        folder, remove = self._new_folder()
        try:
            store = prepare(
                log, folder / "store", options=self.options, overwrite=True, progress=progress
            ).store
            artifact = train(
                store,
                self.model,
                folder / "model",
                config=self.config,
                seed=self.seed,
                neural=self.neural,
                overwrite=True,
                progress=progress,
            )
        except BaseException:
            remove()
            raise
        self._remove()
        self.store, self.artifact, self._remove = store, artifact, remove
        self._recommender = Recommender(artifact)
        return self

    def _new_folder(self) -> tuple[Path, Callable[[], object]]:
        """The folder of the store and the artifact, and what removes it if it is temporary."""
        if self.folder is not None:
            return Path(self.folder), _keep
        folder = Path(tempfile.mkdtemp(prefix="nextclick-"))
        return folder, weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def recommend(self, sessions: Any, k: int = 20, **conditions: Any) -> Any:
        """Recommend the k most likely next clicks.

        Args:
            sessions: the item ids of one session in click order, or a frame of sessions.
            k: number of items.
            conditions: for one session, the other arguments of `Recommender.recommend`, such as
                `exclude_seen`; for a frame, those of `recommend_frame`.

        Returns:
            A `Recommendation` for one session; for a frame, a frame of the same library with a row
            for each session and rank.

        Raises:
            ConfigError: `fit` was not called, or an argument is out of range.
        """
        recommender = self._fitted()
        if isinstance(sessions, Sequence) and not isinstance(sessions, str):
            return recommender.recommend([sessions], k, **conditions)[0]
        return recommend_frame(recommender, sessions, k, **conditions)

    def evaluate(self, ks: Sequence[int] = DEFAULT_KS, **conditions: Any) -> Result:
        """Measure the model on the test, which is later than all clicks of its training.

        Args:
            ks: cut-offs.
            conditions: the other arguments of `nextclick.evaluate`.

        Raises:
            ConfigError: `fit` was not called, or an argument is out of range.
        """
        self._fitted()
        assert self.artifact is not None and self.store is not None
        return evaluate(self.artifact, self.store, ks=ks, **conditions)

    def display(self) -> Display:
        """What is shown of the estimator: its artifact, once there is one."""
        if self.artifact is None:
            return Display(f"Estimator of {self.model}", {"fitted": "no; call fit(log)"})
        shown = self.artifact.display()
        return Display(f"Estimator of {self.model}", shown.facts, shown.columns, shown.rows)

    def _fitted(self) -> Recommender:
        if self._recommender is None:
            raise ConfigError(f"the {self.model} estimator is not fitted; call fit(log) first")
        return self._recommender


def _keep() -> None:
    """A folder that the caller named is not removed."""
