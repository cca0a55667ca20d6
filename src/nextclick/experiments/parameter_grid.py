"""Parameter grids: names of parameters, each with a list of values, in all combinations."""

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
    candidate: ModelCandidate, grid: Mapping[str, Sequence[Any]]
) -> dict[str, list[Any]]:
    """Convert the values of a grid to their types, and validate every combination.

    Raises:
        ConfigError: an unknown parameter, one that is also fixed, a value that is invalid or
            repeated, an empty list, or an invalid combination.
    """
    typed: dict[str, list[Any]] = {}
    for name, values in grid.items():
        if name in candidate.fixed:
            raise ConfigError(f"{name} has both a fixed value and a list of values; omit one")
        if not values:
            raise ConfigError(f"{name} must have at least one value to try, got none")
        typed[name] = []
    for point in grid_points(grid):
        parameters = candidate.parameters(point)
        for name in typed:
            if parameters[name] not in typed[name]:
                typed[name].append(parameters[name])
    for name, values in grid.items():
        if len(typed[name]) < len(values):
            raise ConfigError(f"{name} must have each value once, got {list(values)}")
    return typed


def grid_points(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations; the last parameter varies fastest.

    >>> grid_points({"k": [1, 2], "s": ["a"]})
    [{'k': 1, 's': 'a'}, {'k': 2, 's': 'a'}]
    """
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def read_grid(path: Path) -> dict[str, list[Any]]:
    """Read a grid from a TOML file of lists such as `NAME = [a, b, c]`.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds anything but lists of values.
    """
    try:
        grid = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the grid: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the grid is not valid TOML: {error}") from None
    if not grid:
        raise ConfigError(f"{path}: the grid is empty; add lists such as k = [100, 200]")
    for name, values in grid.items():
        if not isinstance(values, list) or any(isinstance(v, list | dict) for v in values):
            raise ConfigError(
                f"{path}: {name} must be a list of values such as [100, 200], got {values!r}"
            )
    return grid
