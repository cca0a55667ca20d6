"""Errors of one training that are no reason to end the work on others."""

from __future__ import annotations

from nextclick.errors import ConfigError, ScoringError, TrainingError

FAILURES = (ConfigError, TrainingError, ScoringError, MemoryError, RuntimeError)


def reason_of(error: Exception) -> str:
    """What people are told of one of `FAILURES`.

    Raises:
        RuntimeError: the same, if it speaks of no memory: that is a fault of the program.
    """
    if isinstance(error, RuntimeError):
        if "memory" not in str(error):
            raise error
        return f"out of memory: {error}"
    return f"{type(error).__name__}: {error}"
