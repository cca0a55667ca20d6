"""The registry of installed models, read from the entry points of packages.

A package adds a model to all commands with one entry point:

    [project.entry-points."nextclick.models"]
    my-model = "my_package.my_model:MyModel"

Listing names imports no model. A class is imported on first use, so a counting model does not
import PyTorch.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from nextclick.errors import ConfigError, nearest
from nextclick.models.base import Model

if TYPE_CHECKING:
    from nextclick.models.base import Capabilities

GROUP = "nextclick.models"
BASELINES = (
    "pop", "s-pop", "item-knn", "markov", "rules", "session-knn", "bpr-mf", "fpmc",
)  # fmt: skip
"""The default models of `compare` and `run`; they train in seconds and do not need PyTorch."""

_LISTING_ORDER = (
    *BASELINES,
    "gru4rec", "improved-gru4rec", "narm", "stamp", "sasrec", "asars", "youtube-dnn", "wavenet",
    "sr-gnn", "lessr", "csrm", "lgsr", "tasrec", "cosine-gru", "blend",
)  # fmt: skip
"""The order of models in listings; all other models follow, sorted by name."""


def model_names() -> tuple[str, ...]:
    """Names of all installed models."""
    return tuple(installed_models())


@cache
def installed_models() -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points of each model name, in the order of listings.

    Raises:
        ConfigError: no installed package declares a model.
    """
    declared: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        declared[entry.name] = (*declared.get(entry.name, ()), entry)
    if not declared:
        raise ConfigError(
            f"no installed package declares a model in the entry-point group {GROUP!r}; reinstall "
            "nextclick: `pip install --force-reinstall --no-deps nextclick`, or `pip install -e .` "
            "in a checkout"
        )
    order = {name: index for index, name in enumerate(_LISTING_ORDER)}
    names = sorted(declared, key=lambda name: (order.get(name, len(order)), name))
    return {name: declared[name] for name in names}


def model_class(name: str) -> type[Model]:
    """The class of a model.

    Raises:
        ConfigError: no installed model has this name, several packages declare it, a required
            library is not installed, or the entry point cannot be imported or is not a complete
            `Model` subclass.
    """
    entries = installed_models()
    if name not in entries:
        raise ConfigError(f"there is no model {name!r}: {nearest(name, entries)}")
    entry, *others = entries[name]
    if others:
        owners = " and ".join(f"{_distribution(e)} ({e.value})" for e in entries[name])
        raise ConfigError(
            f"model {name!r} is declared by {owners}; uninstall one of them, or rename "
            "its entry point"
        )
    model_type = _load(entry)
    if not (isinstance(model_type, type) and issubclass(model_type, Model)):
        raise ConfigError(
            f"model {name!r} of {_distribution(entry)} is not a model: {entry.value} must be a "
            f"subclass of nextclick.models.base.Model, got {model_type!r}; fix the class, or "
            "uninstall the package"
        )
    if model_type.__abstractmethods__:
        missing = ", ".join(sorted(model_type.__abstractmethods__))
        raise ConfigError(
            f"model {name!r} of {_distribution(entry)} is incomplete: {entry.value} must implement "
            f"{missing}; upgrade or uninstall {_distribution(entry)}"
        )
    if vars(model_type).get("name") != name:
        raise ConfigError(
            f"model {name!r} of {_distribution(entry)}: {entry.value} must set name = {name!r}, "
            f"got {vars(model_type).get('name')!r}; give both the same name"
        )
    return model_type


def find_capabilities(name: str) -> Capabilities | None:
    """The default capabilities of a model; None if it cannot be loaded."""
    try:
        return model_class(name).default_capabilities
    except ConfigError:
        return None


def _load(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            raise ConfigError(
                f"model {entry.name} needs PyTorch, which is not installed; "
                "pip install 'nextclick[neural]'"
            ) from None
        raise ConfigError(
            f"model {entry.name!r} of {_distribution(entry)} cannot be imported from "
            f"{entry.value}: {type(error).__name__}: {error}; upgrade or uninstall "
            f"{_distribution(entry)}"
        ) from error


def _distribution(entry: EntryPoint) -> str:
    """Name of the distribution that declares an entry point."""
    return "an unknown package" if entry.dist is None else entry.dist.name
