"""Names that a field of a dataclass accepts, read from a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection


class AllowedNames:
    """Annotation of a text field whose values are the names of a registry.

    The names are read at each check, so an entry of the registry is the only place of a name.

    Args:
        registry: its keys are the names.
        more: names without an entry.
    """

    def __init__(self, registry: Collection[str], *more: str):
        self._registry, self._more = registry, more

    @property
    def names(self) -> tuple[str, ...]:
        """The accepted names, in the order of the registry."""
        return (*self._registry, *self._more)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """See pydantic."""
        from pydantic_core import core_schema  # the command line imports this module for its help

        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """See pydantic."""
        return {**handler(schema), "enum": list(self.names)}

    def _check(self, name: str) -> str:
        if name not in self.names:
            raise ValueError(f"{name!r} is not one of {', '.join(self.names)}")
        return name
