"""Recipes: a model and its parameters in a TOML file.

model = "narm"          # a name that `nextclick models` lists
preset = "default"      # optional; neural models only
seed = 0                # optional

[parameters]            # optional; parameters of the model and of its training
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
    "seed": (int, "an integer"),
    "parameters": (dict, "a table"),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The content of a recipe file; keys that the file omits are None or empty."""

    model: str
    preset: str | None = None
    seed: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe. Model, preset and parameters are validated when the recipe is used.

    Raises:
        ConfigError: the file is missing or is not TOML, a key is unknown, or a value has the wrong
            type.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the recipe: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the recipe is not valid TOML: {error}") from None
    for key, value in content.items():
        if key not in _KEYS:
            raise ConfigError(f"{path}: a recipe has no key {key!r}: {nearest(key, _KEYS)}")
        expected_type, description = _KEYS[key]
        if not isinstance(value, expected_type) or isinstance(value, bool):
            raise ConfigError(f"{path}: {key} must be {description}, got {value!r}")
    if "model" not in content:
        raise ConfigError(f'{path}: a recipe must name its model, such as model = "narm"')
    return Recipe(**content)


def write_recipe(path: Path, recipe: Recipe, comment: str) -> None:
    """Write a file that `read_recipe` reads, whole or not at all.

    Args:
        path: the file.
        recipe: its content.
        comment: where the recipe comes from, in one or more lines.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = [f"# {line}" for line in comment.splitlines()]
    keys = {"model": recipe.model, "preset": recipe.preset, "seed": recipe.seed}
    lines += [f"{name} = {json.dumps(value)}" for name, value in keys.items() if value is not None]
    if recipe.parameters:
        # JSON numbers, strings and booleans are valid TOML
        lines += ["", "[parameters]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in recipe.parameters.items()]
    write_text(path, "\n".join(lines) + "\n")
