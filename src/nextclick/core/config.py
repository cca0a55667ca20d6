"""Validation and description of configs: frozen dataclasses with annotated fields.

Each field declares its valid range and its description:

    @dataclass(frozen=True, slots=True)
    class ItemKNNConfig:
        shrinkage: Annotated[float, Field(ge=0, description="λ, damps rare pairs")] = 20.0

`build_config` validates all user input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from nextclick.errors import ConfigError, nearest

C = TypeVar("C")


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """A readable description of one config field.

    Attributes:
        name: the field name, as passed to `--set`.
        kind: the valid values, such as `integer ≥ 1` or `one of linear, div`.
        default: the default value.
        description: the effect of the parameter.
    """

    name: str
    kind: str
    default: Any
    description: str


def build_config(config: type[C], values: Mapping[str, Any], owner: str) -> C:
    """Build a config from validated and converted `values`; any value may be given as text.

    Args:
        config: a frozen dataclass type.
        values: field names to values.
        owner: the model or command that has the parameters; error messages name it.

    Raises:
        ConfigError: a name is unknown, or a value is out of its range.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{owner}: the parameters must be a mapping, got {values!r:.60}")
    names = [parameter.name for parameter in describe(config)]
    for name in values:
        if name not in names:
            hint = nearest(name, names) if names else "it has no parameters"
            raise ConfigError(f"{owner} has no parameter {name!r}: {hint}")
    try:
        return TypeAdapter(config).validate_python(dict(values))
    except ValidationError as error:
        first_error = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first_error["loc"])
        kind = next((p.kind for p in describe(config) if p.name == name), "valid")
        raise ConfigError(f"{owner}: {name} must be {kind}, got {first_error['input']!r}") from None


def describe(config: type[Any]) -> list[Parameter]:
    """List the parameters of a config in the order of declaration."""
    schema = TypeAdapter(config).json_schema()
    return [
        Parameter(name, _kind(field), field.get("default"), field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]


_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}


def _kind(schema: Mapping[str, Any]) -> str:
    """The valid values of a field, in words, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if "const" in schema:
        return str(schema["const"])
    bounds = [f"{sign} {_number(schema[key])}" for key, sign in _BOUNDS.items() if key in schema]
    type_names = {"null": "none", "boolean": "true or false"}
    json_type = str(schema.get("type", "valid"))
    return " ".join([type_names.get(json_type, json_type), " and ".join(bounds)]).strip()


def _number(bound: float) -> str:
    return f"{int(bound):,}" if float(bound).is_integer() else f"{bound:g}"
