"""What a model reads and whether a store has it; what a command draws with."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.sessions import Sessions
    from nextclick.data.store import Store
    from nextclick.models.base import Model

_PREPARE = {
    "blocks": "--time-column, and --block-days for how long a block of time is",
    "times": "--time-column",
    "users": "--user-column",
}


def check_needs(model_type: type[Model], config: Any, store: Store) -> None:
    """Refuse a store without what a model requires.

    Raises:
        ConfigError: with what is missing, and how to prepare it.
    """
    check_sessions(model_type, config, store.part("train"), store.path)


def check_sessions(model_type: type[Model], config: Any, sessions: Sessions, source: Path) -> None:
    """Refuse sessions without what a model requires; `source` is where they are from.

    Raises:
        ConfigError: with what is missing, and how to prepare it.
    """
    arrays = {"times": sessions.times, "users": sessions.users, "blocks": sessions.blocks}
    for name in sorted(model_type.requires(config)):
        if arrays[name] is None:
            shown = "blocks of time" if name == "blocks" else name
            raise ConfigError(
                f"{model_type.name} with these parameters reads {shown}, and {source} has none: "
                f"prepare the log with {_PREPARE[name]}, or choose a variant that reads none"
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
