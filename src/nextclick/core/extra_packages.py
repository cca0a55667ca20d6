"""Imports the packages that only some sources need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nextclick.errors import SourceError


def import_extra(package: str, extra: str, label: str) -> Any:
    """Import a package of an extra of nextclick.

    Raises:
        SourceError: the package is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise SourceError(
            f"{label}: the package {package} is missing; install it with "
            f"pip install 'nextclick[{extra}]'"
        ) from error
