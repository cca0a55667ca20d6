"""Runs of a comparison or a sweep, completed one after another with one progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.errors import InterruptedRunError
from nextclick.experiments.training_failures import TRAINING_FAILURES, failure_reason
from nextclick.report.report_data import FailedRun
from nextclick.training.interrupt import Interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.core.types import Progress
    from nextclick.experiments.cached_run import CachedRun
    from nextclick.experiments.run_cache import RunCache
    from nextclick.report.run_folder import ModelRun

_PROGRESS_PER_RUN = 100
_TRAINING_SHARE = 0.9  # of a run's progress; the rest is its measurement


class RunSeries:
    """Completes runs in order, until the last one or Ctrl-C.

    Attributes:
        completed: the runs that succeeded.
        failed: those that failed, with the reason.
        total: number of runs.
    """

    def __init__(self, command: str, runs: Sequence[CachedRun], progress: Progress):
        """Prepare a series.

        Args:
            command: shown in front of the progress.
            runs: in the order in which they are completed.
            progress: receives hundredths of runs.
        """
        self._command = command
        self._runs = runs
        self._progress = progress
        self.total = len(runs)
        self.completed: list[ModelRun] = []
        self.failed: list[FailedRun] = []

    @property
    def done(self) -> int:
        """Number of runs that succeeded or failed."""
        return len(self.completed) + len(self.failed)

    @property
    def waiting(self) -> list[str]:
        """Labels of the runs that are not done."""
        return list(dict.fromkeys(run.label for run in self._runs[self.done :]))

    def execute(
        self,
        cache: RunCache,
        *,
        skip_failures: bool,
        on_completed: Callable[[ModelRun], None] = lambda _: None,
    ) -> bool:
        """Complete all runs; return False if Ctrl-C stopped the series.

        Args:
            cache: where the runs are stored.
            skip_failures: record the failure of a training, and continue with the next run.
            on_completed: receives each run that succeeded, before the next one starts.

        Raises:
            NextclickError: a run failed, and `skip_failures` is false.
        """
        failures = TRAINING_FAILURES if skip_failures else ()
        with Interrupt() as self._interrupt:
            try:
                for run in self._runs:
                    self._current, self._share = run, 0.0
                    self._report("starting", 0, None)
                    try:
                        self.completed.append(run.complete(cache, self._report))
                    except failures as error:
                        self.failed.append(FailedRun(run.label, run.seed, failure_reason(error)))
                    else:
                        on_completed(self.completed[-1])
            except (InterruptedRunError, KeyboardInterrupt):
                return False
        return True

    def _report(self, stage: str, done: int, total: int | None) -> None:
        if self._interrupt.requested:
            raise KeyboardInterrupt
        # a training may have several stages: the bar must not move backwards
        self._share = max(self._share, _TRAINING_SHARE * done / total if total else 0.0)
        seed = f" seed {self._current.seed}" if self._current.seed else ""
        label = f"{self._current.label}{seed}"
        text = f"{self._command} · {self.done + 1} of {self.total}: {label} · {stage}"
        position = int(_PROGRESS_PER_RUN * (self.done + self._share))
        self._progress(text, position, _PROGRESS_PER_RUN * self.total)
