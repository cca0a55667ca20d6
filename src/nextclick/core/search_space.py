"""Search spaces: which values of its parameters are worth trying, said beside a model's config.

    SPACE = TRAINING_SPACE | {"hidden_width": Choice(50, 100, 200), "dropout": FloatRange(0.0, 0.6)}

A space maps names to dimensions. A dimension is named after the parameter that it sets; `Bundles`
sets several parameters that only go together. What makes another model of it, such as a variant,
stands in no space: it is asked for by name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Space = dict[str, Union["IntRange", "FloatRange", "Choice", "Bundles"]]
Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class IntRange:
    """Whole numbers from `least` to `most`; with `log`, small ones as often as large ones."""

    least: int
    most: int
    log: bool = False


@dataclass(frozen=True, slots=True)
class FloatRange:
    """Numbers from `least` to `most`; with `log`, small ones as often as large ones."""

    least: float
    most: float
    log: bool = False


@dataclass(frozen=True, slots=True, init=False)
class Choice:
    """One of some values, which have no order."""

    values: tuple[Value, ...]

    def __init__(self, *values: Value):
        object.__setattr__(self, "values", values)


@dataclass(frozen=True, slots=True)
class Bundles:
    """Parameters that only go together: name of a bundle to their values; all set the same."""

    named: Mapping[str, Mapping[str, Value]]


def sets(name: str, dimension: IntRange | FloatRange | Choice | Bundles) -> list[str]:
    """The parameters that a dimension sets."""
    if isinstance(dimension, Bundles):
        return list(next(iter(dimension.named.values())))
    return [name]


def without(space: Space, fixed: Iterable[str]) -> Space:
    """A space without the dimensions of parameters that somebody has fixed."""
    names = set(fixed)
    return {name: one for name, one in space.items() if not names & set(sets(name, one))}


def around(space: Space, config: Mapping[str, Any]) -> Space:
    """A space widened where it lacks what a config says, so that the config is a point of it."""
    return {name: _around(name, one, config) for name, one in space.items()}


def _around(
    name: str, one: IntRange | FloatRange | Choice | Bundles, config: Mapping[str, Any]
) -> IntRange | FloatRange | Choice | Bundles:
    if isinstance(one, Bundles):
        values = {parameter: config[parameter] for parameter in sets(name, one)}
        known = values in [dict(bundle) for bundle in one.named.values()]
        return one if known else Bundles({**one.named, "as given": values})
    value = config[name]
    if isinstance(one, Choice):
        return one if value in one.values else Choice(*one.values, value)
    if one.log and value <= 0:
        raise ValueError(f"{name}: a logarithmic range cannot hold {value}")
    return replace(one, least=min(one.least, value), most=max(one.most, value))


def point_of(space: Space, config: Mapping[str, Any]) -> dict[str, Value]:
    """Where a config lies in a space that holds it: name of a dimension to the value there."""
    return {
        name: next(
            label
            for label, bundle in one.named.items()
            if all(config[parameter] == value for parameter, value in bundle.items())
        )
        if isinstance(one, Bundles)
        else config[name]
        for name, one in space.items()
    }


def parameters_at(space: Space, point: Mapping[str, Any]) -> dict[str, Value]:
    """The parameters that a point of a space sets."""
    values: dict[str, Value] = {}
    for name, value in point.items():
        one = space[name]
        values |= one.named[value] if isinstance(one, Bundles) else {name: value}
    return values


def describe_space(space: Space) -> dict[str, Any]:
    """A space as JSON types: a range as its ends, a choice as its values."""
    return {
        name: {label: dict(bundle) for label, bundle in one.named.items()}
        if isinstance(one, Bundles)
        else list(one.values)
        if isinstance(one, Choice)
        else {"from": one.least, "to": one.most, "log": one.log}
        for name, one in space.items()
    }
