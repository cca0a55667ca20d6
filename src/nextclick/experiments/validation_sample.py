"""The validation sessions that a neural training ranks: all, or a sample of a large validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions

MAX_SESSIONS = 50_000


def validation_sample(valid: Sessions) -> Sessions:
    """At most `MAX_SESSIONS` sessions, in the order of time.

    A larger validation is sampled, so that its ranking does not take longer than the training. The
    sample depends on the number of sessions only: all trainings on a store rank the same sessions.
    """
    if len(valid) <= MAX_SESSIONS:
        return valid
    rng = np.random.default_rng([MAX_SESSIONS, len(valid)])
    return valid.take(np.sort(rng.choice(len(valid), MAX_SESSIONS, replace=False)))
