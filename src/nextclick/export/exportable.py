"""The model of an artifact that is exported: the model itself, or a member of a blend."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nextclick.errors import ConfigError, nearest
from nextclick.models.exported.exportable import SERVE, check_exportable

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.models.base import Model


def exported_artifact(artifact: Artifact, member: str | None) -> Artifact:
    """The artifact of the model that is exported: the model itself, or a member of a blend.

    Args:
        artifact: a trained model.
        member: the label of a member, such as `narm` or `narm@global`; None for the model itself.

    Raises:
        ConfigError: the model cannot be exported, or there is no such member; the message names
            the model and what to do.
    """
    members = _members(artifact.model)
    if members is None:
        if member is not None:
            raise ConfigError(
                f"--member names a member of a blend, but {artifact.model.name} is none; omit it"
            )
        model = artifact.model
    elif member is None:
        raise ConfigError(
            f"a blend cannot be exported, because its ranking is no network; {SERVE}, or export "
            f"a neural member with --member: {_neural(members)}"
        )
    elif member not in members:
        raise ConfigError(f"the blend has no member {member!r}: {nearest(member, members)}")
    else:
        model = members[member]
    check_exportable(model)
    return replace(artifact, model=model)


def _members(model: Model) -> dict[str, Model] | None:
    """The members of a blend by label; None for another model."""
    if not model.capabilities.composite:
        return None
    blend: Any = model
    return dict(zip(blend.labels, blend.members, strict=True))


def _neural(members: dict[str, Model]) -> str:
    labels = [label for label, model in members.items() if model.capabilities.neural]
    return ", ".join(labels) or "this blend has none"
