"""Recipes: a model and its parameters in a TOML file.

model = "narm"          # as `nextclick models` lists them
preset = "default"      # optional, of a neural model
seed = 0                # optional

[parameters]            # optional; those of the model and of its training
hidden_width = 50
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nextclick.core.storage import write_text
from nextclick.errors import ConfigError, nearest

if TYPE_CHECKING:
    from pathlib import Path

_KEYS: dict[str, tuple[type, str]] = {
    "model": (str, "the name of a model"),
    "preset": (str, "the name of a preset"),
    "seed": (int, "a whole number"),
    "parameters": (dict, "a table"),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a file says; what it leaves out is None or empty."""

    model: str
    preset: str | None = None
    seed: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; whether model, preset and parameters exist is seen when they are used.

    Raises:
        ConfigError: no such file, no TOML, an unknown key, or a value of another kind.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: the recipe cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the recipe is not TOML: {error}") from None
    for key, value in found.items():
        if key not in _KEYS:
            raise ConfigError(f"{path}: a recipe has no {key!r}: {nearest(key, _KEYS)}")
        kind, meaning = _KEYS[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ConfigError(f"{path}: {key} must be {meaning}, got {value!r}")
    if "model" not in found:
        raise ConfigError(f'{path}: a recipe must name its model, such as model = "narm"')
    return Recipe(**found)


def write_recipe(path: Path, recipe: Recipe, about: str) -> None:
    """Write a file that `read_recipe` reads, whole or not at all.

    Args:
        path: the file.
        recipe: what it says.
        about: where it comes from, a comment of one or more lines.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = [f"# {line}" for line in about.splitlines()]
    told = {"model": recipe.model, "preset": recipe.preset, "seed": recipe.seed}
    lines += [f"{name} = {json.dumps(value)}" for name, value in told.items() if value is not None]
    if recipe.parameters:
        # numbers, text and booleans of JSON are those of TOML
        lines += ["", "[parameters]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in recipe.parameters.items()]
    write_text(path, "\n".join(lines) + "\n")
