"""A page for every model of the table, out of its file, its config and its presets."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from docstrings import markdown

from nextclick.core.config import describe
from nextclick.models.model_registry import installed_models, model_class, model_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nextclick.models.base import Model

_OF_MODELS = {entry.module for entries in installed_models().values() for entry in entries}


def described(text: str) -> set[str]:
    """The models that have a section in docs/models.md."""
    return set(re.findall(r"^## ([a-z][\w-]+)$", text, re.MULTILINE)) & set(model_names())


def pointed(text: str) -> str:
    """docs/models.md with a link to its page below the heading of each model."""
    for name in described(text):
        text = text.replace(f"\n## {name}\n", f"\n## {name}\n\n[Its page](models/{name}.md)\n", 1)
    return text


def pages(told: set[str], recipes_of: Callable[[str], list[str]]) -> dict[str, str]:
    """Path to text, for every model.

    Args:
        told: those with a section in docs/models.md.
        recipes_of: names of the recipes of a model.
    """
    return {f"models/{n}.md": page(n, told=n in told, recipes=recipes_of(n)) for n in model_names()}


def page(name: str, *, told: bool, recipes: list[str]) -> str:
    """The page of a model."""
    found = model_class(name)
    module = import_module(found.__module__)
    parts = [f"# {name}", markdown(module.__doc__)]
    parts += [_also(other) for other in _named_modules(module.__doc__ or "")]
    parts += ["## Parameters", _parameters(found)]
    needed = found.requires(found.Config())
    if needed:
        parts.append(f"With these defaults it reads {' and '.join(sorted(needed))} of a log.")
    if presets := found.presets:
        parts += ["## Presets", "Parameters of the model and of its [training](../training.md)."]
        parts.append(_table(("preset", "sets"), ((f"`{n}`", _said(v)) for n, v in presets.items())))
    if recipes:
        listed = "\n".join(f"- [recipes/{r}.toml](../recipes.md#{r})" for r in recipes)
        parts += ["## Recipes", listed]
    config = found.Config.__name__
    parts += [
        "## Use",
        f"```sh\nnextclick train store --model {name} -o model\n```",
        f"```python\nfrom {found.__module__} import {found.__name__}, {config}\n```",
    ]
    if told:
        parts.append(f"What it costs, and how it compares: [{name}](../models.md#{name}).")
    return "\n\n".join(parts) + "\n"


def _named_modules(text: str) -> list[str]:
    """Modules of the package that a docstring names in backticks, but for those of models."""
    found = []
    for word in dict.fromkeys(re.findall(r"`([a-z]\w*(?:\.\w+)?)`", text)):
        for package in ("nextclick.models", "nextclick"):
            if "." in word and package == "nextclick.models":
                continue
            if f"{package}.{word}" not in _OF_MODELS and _is_module(f"{package}.{word}"):
                found.append(f"{package}.{word}")
                break
    return found


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _also(module: str) -> str:
    text = markdown(import_module(module).__doc__)
    return f"## `{module.removeprefix('nextclick.')}`\n\n{text}"


def _parameters(found: type[Model]) -> str:
    listed = describe(found.Config)
    if not listed:
        return "None."
    rows = ((f"`{p.name}`", _whole(p.kind), f"`{p.default}`", p.description) for p in listed)
    return _table(("parameter", "values", "default", "meaning"), rows)


def _whole(kind: str) -> str:
    """Bounds that are not torn from their signs."""
    return re.sub(r"([≥≤<>]) ", "\\1\u00a0", kind)


def _said(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}={value}`" for name, value in values.items()) or "nothing"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in r)} |" for r in lines
    )
