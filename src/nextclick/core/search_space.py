"""Search spaces: the hyperparameter values that tuning tries, declared next to a model's config.

    SPACE = TRAINING_SPACE | {"hidden_width": Choice(50, 100, 200), "dropout": FloatRange(0.0, 0.6)}

A space maps names to dimensions. A dimension has the name of the parameter that it sets; a
dimension of `Bundles` sets several dependent parameters at once. Parameters that select another
model, such as a variant, are not part of a space: the user sets them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class IntRange:
    """Integers from `low` to `high`, both included; `log` samples on a logarithmic scale."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True, slots=True)
class FloatRange:
    """Floats from `low` to `high`; `log` samples on a logarithmic scale."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True, init=False)
class Choice:
    """One of several unordered values."""

    values: tuple[Value, ...]

    def __init__(self, *values: Value):
        object.__setattr__(self, "values", values)


@dataclass(frozen=True, slots=True)
class Bundles:
    """Combinations of dependent parameters: the name of a combination to its parameter values.

    Every combination sets the same parameters.
    """

    bundles: Mapping[str, Mapping[str, Value]]


Dimension = IntRange | FloatRange | Choice | Bundles
Space = dict[str, Dimension]


def parameter_names(name: str, dimension: Dimension) -> list[str]:
    """The names of the parameters that a dimension sets."""
    if isinstance(dimension, Bundles):
        return list(next(iter(dimension.bundles.values())))
    return [name]


def drop_fixed(space: Space, fixed: Iterable[str]) -> Space:
    """A copy of a space without the dimensions that set any of the `fixed` parameters."""
    names = set(fixed)
    return {
        name: dimension
        for name, dimension in space.items()
        if not names & set(parameter_names(name, dimension))
    }


def widen_to_include(space: Space, config: Mapping[str, Any]) -> Space:
    """A copy of a space, widened where necessary so that `config` is a point of it.

    Raises:
        ValueError: a logarithmic range would have to include a value that is not positive.
    """
    return {name: _widen(name, dimension, config) for name, dimension in space.items()}


def _widen(name: str, dimension: Dimension, config: Mapping[str, Any]) -> Dimension:
    if isinstance(dimension, Bundles):
        values = {parameter: config[parameter] for parameter in parameter_names(name, dimension)}
        if values in [dict(bundle) for bundle in dimension.bundles.values()]:
            return dimension
        return Bundles({**dimension.bundles, "as given": values})
    value = config[name]
    if isinstance(dimension, Choice):
        return dimension if value in dimension.values else Choice(*dimension.values, value)
    if dimension.log and value <= 0:
        raise ValueError(f"{name}: a logarithmic range cannot hold {value}")
    return replace(dimension, low=min(dimension.low, value), high=max(dimension.high, value))


def config_to_point(space: Space, config: Mapping[str, Any]) -> dict[str, Value]:
    """The point of a space at which `config` lies: the name of each dimension to its value."""
    point: dict[str, Value] = {}
    for name, dimension in space.items():
        if isinstance(dimension, Bundles):
            point[name] = next(
                label
                for label, bundle in dimension.bundles.items()
                if all(config[parameter] == value for parameter, value in bundle.items())
            )
        else:
            point[name] = config[name]
    return point


def point_to_parameters(space: Space, point: Mapping[str, Any]) -> dict[str, Value]:
    """The parameter values at a point of a space."""
    parameters: dict[str, Value] = {}
    for name, value in point.items():
        dimension = space[name]
        parameters |= dimension.bundles[value] if isinstance(dimension, Bundles) else {name: value}
    return parameters


def describe_space(space: Space) -> dict[str, Any]:
    """A space as JSON types: a range as its bounds, a choice as the list of its values."""
    return {name: _describe(dimension) for name, dimension in space.items()}


def _describe(dimension: Dimension) -> Any:
    if isinstance(dimension, Bundles):
        return {label: dict(bundle) for label, bundle in dimension.bundles.items()}
    if isinstance(dimension, Choice):
        return list(dimension.values)
    return {"from": dimension.low, "to": dimension.high, "log": dimension.log}
