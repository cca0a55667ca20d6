"""What a model reads and whether a store has it; what a command draws with."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextclick.errors import ConfigError
from nextclick.models.base import reads

if TYPE_CHECKING:
    from nextclick.data.store import Store

_PREPARE = {
    "blocks": "--time-column, and --block-days for how long a block of time is",
    "times": "--time-column",
    "users": "--user-column",
}


def check_needs(model_type: type[Any], config: Any, store: Store) -> None:
    """Refuse a store without what a model reads.

    Raises:
        ConfigError: with what is missing, and how to prepare it.
    """
    sessions = store.part("train")
    for what in sorted(reads(model_type, config)):
        if getattr(sessions, what) is None:
            told = "blocks of time" if what == "blocks" else what
            raise ConfigError(
                f"{model_type.name} with these parameters reads {told}, and {store.path} has none: "
                f"prepare the log with {_PREPARE[what]}, or choose a variant that reads none"
            )


def need_matplotlib(command: str) -> None:
    """Refuse to begin what could not be drawn.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import_module("matplotlib")
    except ImportError as error:
        raise ConfigError(
            f"{command} draws with matplotlib, which is not installed ({error}); "
            "`pip install 'nextclick[report]'`"
        ) from error
