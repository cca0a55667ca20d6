"""Check that a store has the fields a model reads, and that matplotlib is installed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextclick.errors import ConfigError
from nextclick.models.features.item_features import feature_columns

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.sessions import Sessions
    from nextclick.data.store import Store
    from nextclick.models.base import Model

_FIELDS = {"history": ("users", "times")}  # the other requirements are fields themselves
_PREPARE_OPTIONS = {
    "blocks": "--time-column, and --block-days for the length of a block",
    "times": "--time-column",
    "users": "--user-column",
}


def check_store(model_type: type[Model], config: Any, store: Store) -> None:
    """Check that a store has the fields a model reads.

    Raises:
        ConfigError: times, users or blocks of time are missing, or columns of the item table.
    """
    if "features" in model_type.requires(config):
        feature_columns(config, store.item_table)
    check_sessions(model_type, config, store.part("train"), store.path)


def check_sessions(model_type: type[Model], config: Any, sessions: Sessions, source: Path) -> None:
    """Check that sessions have the fields a model reads; the message names their `source`.

    Raises:
        ConfigError: times, users or blocks of time are missing.
    """
    arrays = {"times": sessions.times, "users": sessions.users, "blocks": sessions.blocks}
    names = model_type.requires(config) - {"features"}
    required = [_FIELDS.get(name, (name,)) for name in names]
    for name in sorted({name for names in required for name in names}):
        if arrays[name] is None:
            field = "blocks of time" if name == "blocks" else name
            raise ConfigError(
                f"{model_type.name} with these parameters reads {field}, and {source} has none: "
                f"prepare the log with {_PREPARE_OPTIONS[name]}, or choose a variant that reads "
                "none"
            )


def require_matplotlib(command: str) -> None:
    """Check that matplotlib is installed, before a command computes what it plots.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import_module("matplotlib")
    except ImportError as error:
        raise ConfigError(
            f"{command} requires matplotlib, which is not installed ({error}); "
            "`pip install 'nextclick[report]'`"
        ) from error
