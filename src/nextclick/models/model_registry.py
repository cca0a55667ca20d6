"""The models that are installed: names and classes out of the entry points of packages.

A package adds a model to every command by one line of its packaging:

    [project.entry-points."nextclick.models"]
    my-model = "my_package.my_model:MyModel"

Names are read without importing anything; a class is imported when it is used, so that a counting
model never imports PyTorch.
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
"""What `compare` and `run` train when no model is named: quick, and without PyTorch."""

_FIRST = (
    *BASELINES,
    "gru4rec", "improved-gru4rec", "narm", "stamp", "sasrec", "asars", "youtube-dnn", "wavenet",
    "sr-gnn", "lessr", "csrm", "lgsr", "tasrec",
)  # fmt: skip
"""The order of listings; models that are not named here follow, sorted by name."""


def model_names() -> tuple[str, ...]:
    """The names of all installed models."""
    return tuple(installed_models())


@cache
def installed_models() -> dict[str, tuple[EntryPoint, ...]]:
    """Name to the entry points that declare it, in the order of listings.

    Raises:
        ConfigError: no model is declared.
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
    order = {name: place for place, name in enumerate(_FIRST)}
    names = sorted(declared, key=lambda name: (order.get(name, len(order)), name))
    return {name: declared[name] for name in names}


def model_class(name: str) -> type[Model]:
    """The class behind a name.

    Raises:
        ConfigError: no installed model has that name, several packages declare it, it needs a
            library that is not installed, or its entry point names something that cannot be
            imported or is no model.
    """
    entries = installed_models()
    if name not in entries:
        raise ConfigError(f"there is no model {name!r}: {nearest(name, entries)}")
    entry, *others = entries[name]
    if others:
        owners = " and ".join(f"{_owner(each)} ({each.value})" for each in entries[name])
        raise ConfigError(
            f"model {name!r} is declared by {owners}; uninstall one of them, or rename "
            "its entry point"
        )
    model_type = _imported(entry)
    if not (isinstance(model_type, type) and issubclass(model_type, Model)):
        raise ConfigError(
            f"model {name!r} of {_owner(entry)} is no model: {entry.value} must be a subclass of "
            f"nextclick.models.base.Model, got {model_type!r}; correct the class, or uninstall it"
        )
    if model_type.__abstractmethods__:
        missing = ", ".join(sorted(model_type.__abstractmethods__))
        raise ConfigError(
            f"model {name!r} of {_owner(entry)} is incomplete: {entry.value} must implement "
            f"{missing}; upgrade or uninstall {_owner(entry)}"
        )
    if vars(model_type).get("name") != name:
        raise ConfigError(
            f"model {name!r} of {_owner(entry)}: {entry.value} must set name = {name!r}, "
            f"got {vars(model_type).get('name')!r}; give both the same name"
        )
    return model_type


def known_capabilities(name: str) -> Capabilities | None:
    """The default capabilities of a model, None where its package is not installed here."""
    try:
        return model_class(name).default_capabilities
    except ConfigError:
        return None


def _imported(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            raise ConfigError(
                f"model {entry.name} needs PyTorch, which is not installed; "
                "pip install 'nextclick[neural]'"
            ) from None
        raise ConfigError(
            f"model {entry.name!r} of {_owner(entry)} cannot be imported from {entry.value}: "
            f"{type(error).__name__}: {error}; upgrade or uninstall {_owner(entry)}"
        ) from error


def _owner(entry: EntryPoint) -> str:
    """The distribution that declares an entry point."""
    return "an unknown package" if entry.dist is None else entry.dist.name
