"""The members of a blend: their names and parameters, and their arrays within one state."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from nextclick.core.config import build_config
from nextclick.errors import ConfigError, nearest
from nextclick.models.model_registry import model_class
from nextclick.models.model_spec_text import split_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextclick.core.types import AnyArray
    from nextclick.models.base import Capabilities, Model

_PREFIX = "members"


@dataclass(frozen=True, slots=True)
class Member:
    """A member whose parameters are resolved.

    Attributes:
        label: the member as it was named, such as `narm@global+epochs=3`.
        model: name of the model.
        parameters: all parameters of its config, without those of its training.
    """

    label: str
    model: str
    parameters: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> Member:
        """Resolve the preset and the parameters of `MODEL@PRESET+NAME=VALUE`.

        Raises:
            ConfigError: an unknown model, preset or value.
        """
        name, preset, values = split_spec(text)
        model_type = model_class(name)
        presets = model_type.presets
        if preset is not None and preset not in presets:
            known = nearest(preset, presets) if presets else "it has none"
            raise ConfigError(f"members: {name} has no preset {preset!r}: {known}")
        if preset is None and model_type.default_capabilities.neural:
            preset = "default"
        merged = {**presets.get(preset or "", {}), **values}
        own = {field.name for field in fields(model_type.Config)}
        config = build_config(
            model_type.Config, {n: v for n, v in merged.items() if n in own}, name
        )
        return cls(text, name, asdict(config))

    @property
    def model_type(self) -> type[Model]:
        """The class of the model."""
        return model_class(self.model)

    @property
    def config(self) -> Any:
        """The config of the model."""
        return build_config(self.model_type.Config, self.parameters, self.model)

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of the model with these parameters."""
        return self.model_type.capabilities_of(self.config)


def split_members(value: Any) -> Any:
    """Split `a,b,c` into a list; any other value is returned unchanged."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def resolve_members(members: Sequence[str | Member]) -> tuple[Member, ...]:
    """All members with their parameters.

    Raises:
        ConfigError: there is none, one occurs twice, or one cannot be a member.
    """
    resolved = tuple(m if isinstance(m, Member) else Member.parse(m) for m in members)
    if not resolved:
        raise ConfigError(
            "members must name at least one model, such as session-knn,narm; got none"
        )
    seen: set[str] = set()
    for member in resolved:
        if member.label in seen:
            raise ConfigError(f"members must name each model once, got {member.label} twice")
        seen.add(member.label)
        capabilities = member.capabilities
        if capabilities.composite:
            raise ConfigError(
                f"members must not be blends themselves, got {member.label}; name its members"
            )
        if capabilities.update == "by-block":
            raise ConfigError(
                f"members must not be updated block by block, as {member.label} is; name a model "
                "without a temporal item graph"
            )
    return resolved


def nest_state(states: Sequence[Mapping[str, AnyArray]]) -> dict[str, AnyArray]:
    """One state of all members: array NAME of member m becomes `members.m.NAME`."""
    return {
        f"{_PREFIX}.{m}.{name}": array
        for m, state in enumerate(states)
        for name, array in state.items()
    }


def member_state(state: Mapping[str, AnyArray], m: int) -> dict[str, AnyArray]:
    """The arrays of member m by their own names."""
    prefix = f"{_PREFIX}.{m}."
    return {
        name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)
    }
