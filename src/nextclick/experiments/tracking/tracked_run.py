"""A run in the experiment trackers that `--track` names.

A command opens one run, with a run below it for each model, seed or trial. The steps of a neural
training are logged by `training.trackers`, as a run of their own below that of the model.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self

from nextclick.errors import ConfigError, nearest
from nextclick.experiments.tracking.mlflow_run import MLflowRun
from nextclick.experiments.tracking.wandb_run import WandbRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

STEPS_ONLY = ("tensorboard",)  # it logs the steps of neural trainings, and has no runs


class TrackerRun(Protocol):
    """A run in one tracker."""

    def log_parameters(self, values: Mapping[str, Any]) -> None:
        """Record parameters."""
        ...

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics, of a step or of the whole run."""
        ...

    def log_folder(self, folder: Path, name: str) -> None:
        """Store the files of a folder under a name."""
        ...

    def log_model(self, artifact: Path) -> None:
        """Store an artifact as a model of the tracker."""
        ...

    def child(self, name: str) -> Self:
        """Open a run below this one."""
        ...

    def close(self, *, failed: bool) -> None:
        """End the run."""
        ...


RUN_TRACKERS: dict[str, Callable[[str], TrackerRun]] = {"mlflow": MLflowRun, "wandb": WandbRun}


class TrackedRun:
    """The same run in several trackers; without one, nothing is logged."""

    def __init__(self, runs: Sequence[TrackerRun] = ()):
        self._runs = runs

    @property
    def is_open(self) -> bool:
        """Whether there is a tracker."""
        return bool(self._runs)

    def log_parameters(self, values: Mapping[str, Any]) -> None:
        """See `TrackerRun`."""
        for run in self._runs:
            run.log_parameters(values)

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """See `TrackerRun`."""
        for run in self._runs:
            run.log_metrics(values, step)

    def log_folder(self, folder: Path, name: str) -> None:
        """See `TrackerRun`."""
        for run in self._runs:
            run.log_folder(folder, name)

    def log_model(self, artifact: Path) -> None:
        """See `TrackerRun`."""
        for run in self._runs:
            run.log_model(artifact)

    def child(self, name: str) -> AbstractContextManager[TrackedRun]:
        """A run below this one, which ends with the context."""
        return _opened([_child_of(run, name) for run in self._runs])


def tracked_run(trackers: Sequence[str], name: str) -> AbstractContextManager[TrackedRun]:
    """A run in each tracker, which ends with the context; as failed if it raises.

    Args:
        trackers: keys of `RUN_TRACKERS`, or of `STEPS_ONLY`, which open no run.
        name: of the run.

    Raises:
        ConfigError: a tracker does not exist, is not installed, or cannot open a run.
    """
    for tracker in trackers:
        if tracker not in (*RUN_TRACKERS, *STEPS_ONLY):
            known = nearest(tracker, [*RUN_TRACKERS, *STEPS_ONLY])
            raise ConfigError(f"there is no tracker {tracker!r}: {known}")
    runs = [tracker for tracker in trackers if tracker in RUN_TRACKERS]
    return _opened([_opener(RUN_TRACKERS[tracker], name) for tracker in runs])


@contextmanager
def _opened(openers: Sequence[Callable[[], TrackerRun]]) -> Iterator[TrackedRun]:
    with ExitStack() as stack:
        yield TrackedRun([stack.enter_context(_closing(opener())) for opener in openers])


@contextmanager
def _closing(run: TrackerRun) -> Iterator[TrackerRun]:
    try:
        yield run
    except BaseException:
        run.close(failed=True)
        raise
    run.close(failed=False)


def _opener(kind: Callable[[str], TrackerRun], name: str) -> Callable[[], TrackerRun]:
    return lambda: kind(name)


def _child_of(run: TrackerRun, name: str) -> Callable[[], TrackerRun]:
    return lambda: run.child(name)
