"""What the annotation of an option says: its type, range, accepted names and description."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from nextclick.core.allowed_names import AllowedNames

_NAMES = {int: "integer", float: "number", bool: "true or false", str: "text", Path: "path"}
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def accepted_values(hint: Any) -> str:
    """Describe the values of an annotation, such as `integer ≥ 1` or `one of drop, keep`."""
    inner, bounds, _ = unwrap(hint)
    choices = choices_of(hint, inner)
    if choices:
        return f"one of {', '.join(choices)}"
    if container_of(hint) in (tuple, list):
        return "a list such as a,b"
    return f"{_NAMES.get(inner, 'text')} {bounds}".strip()


def choices_of(hint: Any, inner: Any) -> tuple[str, ...]:
    """The accepted names of a field, of a `Literal` or of a registry."""
    if get_origin(inner) is Literal:
        return tuple(map(str, get_args(inner)))
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((extra.names for extra in extras if isinstance(extra, AllowedNames)), ())


def container_of(hint: Any) -> Any:
    """The container of an annotation, such as list; None for a single value."""
    return get_origin(unwrap(hint)[0])


def unwrap(hint: Any) -> tuple[Any, str, str]:
    """The type without None and annotations, its range, and its description."""
    bounds: list[str] = []
    description = ""
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint, *extras = get_args(hint)
            for extra in extras:
                description = getattr(extra, "description", None) or description
                for rule in getattr(extra, "metadata", ()):
                    bounds += [
                        f"{sign} {plain(getattr(rule, name))}"
                        for name, sign in _SIGNS.items()
                        if getattr(rule, name, None) is not None
                    ]
        elif origin in (Union, types.UnionType):
            hint = next(branch for branch in get_args(hint) if branch is not type(None))
        else:
            return hint, " and ".join(bounds), description


def plain(value: Any) -> str:
    """A default or bound as it can be typed: 1800, not 1800.0 or 1,800."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)
