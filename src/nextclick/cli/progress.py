"""Progress on standard error: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nextclick.cli.output import console, is_first_process, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import TaskID

    from nextclick.core.types import Progress

_EVERY_SECONDS = 10.0


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yield a progress callback that shows the remaining time of each stage."""
    if not (sys.stderr.isatty() and is_first_process()):
        yield ProgressLines()  # which prints nothing in other processes
        return
    from rich import progress as bars

    bar = bars.Progress(
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TextColumn("{task.completed:,.0f}"),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
        console=console(),
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int | None) -> None:
        name, _, _ = stage.partition(" · ")  # what follows changes within a stage
        if name not in tasks:
            for task in tasks.values():
                bar.stop_task(task)
            tasks[name] = bar.add_task(stage, total=total)
        bar.update(tasks[name], description=stage, completed=done, total=total)

    with bar:
        yield report


@dataclass(slots=True)
class ProgressLines:
    """A progress callback that prints a plain line every ten seconds.

    Work of less than ten seconds prints nothing.

    Attributes:
        write: prints a line.
        clock: seconds on a clock that never goes back.
    """

    write: Callable[[str], None] = say
    clock: Callable[[], float] = time.monotonic
    _stage: str = ""
    _started: float = 0.0
    _done_at_start: int = 0
    _done: int = 0
    _printed: float = field(init=False)

    def __post_init__(self) -> None:
        self._printed = self.clock()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Print the stage, the amount of work done and the time left, if it is time for a line."""
        now = self.clock()
        name, _, _ = stage.partition(" · ")
        if name != self._stage or done < self._done:  # a new stage, or its next pass
            self._stage, self._started, self._done_at_start = name, now, done
        self._done = done
        if now - self._printed < _EVERY_SECONDS:
            return
        self._printed = now
        self.write(f"{stage}: {self._amount(done, total)}{self._time_left(now, done, total)}")

    def _amount(self, done: int, total: int | None) -> str:
        return f"{done:,}" if not total else f"{done:,} of {total:,} ({100 * done // total} %)"

    def _time_left(self, now: float, done: int, total: int | None) -> str:
        since_start = done - self._done_at_start
        if not total or since_start <= 0:
            return ""
        left = (now - self._started) / since_start * (total - done)
        return f", {_duration(left)} left"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> [_duration(n) for n in (4.6, 75, 7384)]
    ['0:05', '1:15', '2:03:04']
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
