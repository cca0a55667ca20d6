"""The one table of names: what `--model NAME` may say, and where the class is.

A class is imported when it is asked for, so that a counting model never imports a neural library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nextclick.errors import ConfigError, nearest

if TYPE_CHECKING:
    from nextclick.models.base import Model

MODELS: dict[str, str] = {
    "pop": "nextclick.models.popularity:Pop",
    "s-pop": "nextclick.models.popularity:SessionPop",
    "item-knn": "nextclick.models.item_knn:ItemKNN",
    "markov": "nextclick.models.markov:Markov",
    "rules": "nextclick.models.rules:SequentialRules",
    "session-knn": "nextclick.models.session_knn:SessionKNN",
}


def model_class(name: str) -> type[Model]:
    """Return the class behind a name.

    Raises:
        ConfigError: no model has that name.
    """
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}: {nearest(name, MODELS)}")
    module, _, attribute = MODELS[name].partition(":")
    found: type[Model] = getattr(import_module(module), attribute)
    return found
