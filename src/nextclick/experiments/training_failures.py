"""Errors of one training after which a comparison or a search continues with the next one."""

from __future__ import annotations

from nextclick.errors import ConfigError, ScoringError, TrainingError

TRAINING_FAILURES = (ConfigError, TrainingError, ScoringError, MemoryError, RuntimeError)


def failure_reason(error: Exception) -> str:
    """The text that a report gives for one of `TRAINING_FAILURES`.

    Raises:
        RuntimeError: the same error, unless its message is about memory: it is then an internal
            error.
    """
    if isinstance(error, RuntimeError):
        if "memory" not in str(error):
            raise error
        return f"out of memory: {error}"
    return f"{type(error).__name__}: {error}"
