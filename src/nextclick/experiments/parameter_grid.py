"""Grids: names of parameters and the values that each is to take, in all combinations."""

from __future__ import annotations

import tomllib
from itertools import product
from typing import TYPE_CHECKING, Any

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nextclick.experiments.model_candidate import ModelCandidate


def checked_grid(
    contender: ModelCandidate, grid: Mapping[str, Sequence[Any]]
) -> dict[str, list[Any]]:
    """A grid with values of the right type; that every combination may be trained is seen, too.

    Raises:
        ConfigError: an unknown parameter, one that is fixed as well, a value out of its range or
            there twice, no value, or values that do not go together.
    """
    typed: dict[str, list[Any]] = {}
    for name, values in grid.items():
        if name in contender.fixed:
            raise ConfigError(f"{name} is given one value and several; leave one of them out")
        if not values:
            raise ConfigError(f"{name} must be given at least one value to try, got none")
        typed[name] = []
    for point in grid_points(grid):
        parameters = contender.parameters(point)
        for name in typed:
            if parameters[name] not in typed[name]:
                typed[name].append(parameters[name])
    for name, values in grid.items():
        if len(typed[name]) < len(values):
            raise ConfigError(f"{name} must be given each value once, got {list(values)}")
    return typed


def grid_points(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations, those of the last parameter next to each other.

    >>> grid_points({"k": [1, 2], "s": ["a"]})
    [{'k': 1, 's': 'a'}, {'k': 2, 's': 'a'}]
    """
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def read_grid(path: Path) -> dict[str, list[Any]]:
    """Read a TOML file of lists, each `NAME = [a, b, c]`.

    Raises:
        ConfigError: no such file, no TOML, or something else than lists of values.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: the grid cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the grid is not TOML: {error}") from None
    if not found:
        raise ConfigError(f"{path}: the grid is empty; give lists such as k = [100, 200]")
    for name, values in found.items():
        if not isinstance(values, list) or any(isinstance(v, list | dict) for v in values):
            raise ConfigError(
                f"{path}: {name} must be a list of values such as [100, 200], got {values!r}"
            )
    return found
