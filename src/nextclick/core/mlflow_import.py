"""The import of MLflow."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from nextclick.errors import ConfigError


def import_mlflow(option: str) -> Any:
    """Import MLflow, with its usage statistics off unless the environment turns them on.

    Args:
        option: what needs it, for the message.

    Raises:
        ConfigError: it is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        return import_module("mlflow")
    except ImportError as error:
        raise ConfigError(
            f"{option} needs the package mlflow-skinny, which is not installed ({error}); run "
            "`pip install 'nextclick[mlflow]'`"
        ) from error
