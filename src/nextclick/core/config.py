"""Configs of models: frozen dataclasses whose fields carry range and meaning.

A model declares

    @dataclass(frozen=True, slots=True)
    class ItemKNNConfig:
        shrinkage: Annotated[float, Field(ge=0, description="λ, damps rare pairs")] = 20.0

and everything that a person may type comes through `build_config`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from nextclick.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

C = TypeVar("C")


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a config, for people.

    Attributes:
        name: as typed after `--set`.
        kind: the values it takes, such as `integer ≥ 1` or `one of linear, div`.
        default: what holds when nobody says anything.
        description: what it does.
    """

    name: str
    kind: str
    default: Any
    description: str


def build_config(config: type[C], values: Mapping[str, Any], owner: str) -> C:
    """Return a config with `values` checked and converted (text is accepted for any type).

    Args:
        config: a frozen dataclass.
        values: field name to value.
        owner: whose parameters these are, for the message.

    Raises:
        ConfigError: a name that does not exist, or a value out of its range.
    """
    names = [parameter.name for parameter in describe(config)]
    for name in values:
        if name not in names:
            hint = nearest(name, names) if names else "it has no parameters"
            raise ConfigError(f"{owner} has no parameter {name!r}: {hint}")
    try:
        return TypeAdapter(config).validate_python(dict(values))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in fault["loc"])
        kind = next((p.kind for p in describe(config) if p.name == name), "valid")
        raise ConfigError(f"{owner}: {name} must be {kind}, got {fault['input']!r}") from None


def describe(config: type[Any]) -> list[Parameter]:
    """List the parameters of a config in the order in which it declares them."""
    schema = TypeAdapter(config).json_schema()
    return [
        Parameter(name, _kind(rule), rule.get("default"), rule.get("description", ""))
        for name, rule in schema.get("properties", {}).items()
    ]


_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}


def _kind(rule: Mapping[str, Any]) -> str:
    if "anyOf" in rule:
        return " or ".join(_kind(branch) for branch in rule["anyOf"])
    if "enum" in rule:
        return f"one of {', '.join(map(str, rule['enum']))}"
    if "const" in rule:
        return str(rule["const"])
    bounds = [f"{sign} {_figure(rule[key])}" for key, sign in _BOUNDS.items() if key in rule]
    names = {"null": "none", "boolean": "true or false"}
    kind = str(rule.get("type", "valid"))
    return " ".join([names.get(kind, kind), " and ".join(bounds)]).strip()


def _figure(bound: float) -> str:
    return f"{int(bound):,}" if float(bound).is_integer() else f"{bound:g}"
