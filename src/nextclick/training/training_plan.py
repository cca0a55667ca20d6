"""How long a run trains, and when it is validated.

A plan counts in passes over the training sessions: 2.5 is the middle of the third pass. The config
limits passes and steps, and a step is about `batch_size` prefixes, so a plan follows from the
config and the number of prefixes. A plan that is selected on a part of a log also holds on the
whole log: each click is seen as often, and at the same learning rates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.training.training_config import TrainingConfig


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Length of a run, its schedule and its validations.

    Attributes:
        passes: passes that the learning rate schedule covers.
        steps_per_pass: approximate number of steps of a pass, without those of an auxiliary task.
        ends: ascending numbers of passes after which the run is validated; it stops at the last.
        recent: share of the sessions to train on, the most recent ones.
        shuffle: whether the sessions are shuffled in each pass.
    """

    passes: float
    steps_per_pass: int
    ends: tuple[float, ...]
    recent: float = 1.0
    shuffle: bool = True

    @classmethod
    def create(cls, config: TrainingConfig, sessions: Sessions) -> TrainingPlan:
        """The plan of a config for training sessions.

        Without shuffling, a log that is too long for a single pass within `max_steps` is trained on
        its most recent part, and other logs for whole passes: a pass that ends early would leave
        out the latest sessions.
        """
        n_prefixes = most_recent(sessions, config.recent).n_prefixes
        steps = max(ceil(n_prefixes / config.batch_for(n_prefixes)), 1)
        passes: float = config.epochs
        if not config.pretrain_epochs:  # which are a number of passes, so the others are, too
            passes = max(passes, ceil(config.min_steps / steps))
            passes = min(passes, config.max_steps / steps if config.max_steps else passes)
        recent = config.recent
        if not config.shuffle:
            recent *= min(passes, 1.0)
            passes = max(floor(passes), 1)
        return cls(passes, steps, _ends(passes, config.validations), recent, config.shuffle)

    def until(self, n_intervals: int) -> TrainingPlan:
        """The plan that stops after its first intervals; the schedule stays the same."""
        return replace(self, ends=self.ends[:n_intervals])


def most_recent(sessions: Sessions, share: float) -> Sessions:
    """The most recent share of the sessions, at least one session."""
    n = max(int(len(sessions) * share), 1)
    return sessions.slice(len(sessions) - n, len(sessions))


def _ends(passes: float, validations: int) -> tuple[float, ...]:
    """The ends of the passes, or of equal parts of the run.

    >>> _ends(3, 0), _ends(2.5, 0)
    ((1.0, 2.0, 3.0), (1.0, 2.0, 2.5))
    >>> _ends(20, 4), _ends(0.5, 2)
    ((5.0, 10.0, 15.0, 20.0), (0.25, 0.5))
    """
    if validations == 0:
        return (*map(float, range(1, ceil(passes))), float(passes))
    ends = [passes * k / validations for k in range(1, validations + 1)]
    if passes >= validations:  # the end of a pass, as the sessions may be in order of time
        ends = [*map(round, ends[:-1]), passes]
    return tuple(map(float, ends))
