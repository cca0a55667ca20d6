"""Which models can be exported, and what to do about the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nextclick.errors import ConfigError, nearest

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.models.base import Model

_SERVE = "serve it with `nextclick serve`"


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
            f"a blend cannot be exported, because its ranking is no network; {_SERVE}, or export "
            f"a neural member with --member: {_neural(members)}"
        )
    elif member not in members:
        raise ConfigError(f"the blend has no member {member!r}: {nearest(member, members)}")
    else:
        model = members[member]
    check_exportable(model)
    return replace(artifact, model=model)


def check_exportable(model: Model) -> None:
    """Check that a model can be exported to ONNX.

    Raises:
        ConfigError: it cannot; the message says why, and what to do.
    """
    name, capabilities = model.name, model.capabilities
    if not capabilities.neural:
        raise ConfigError(
            f"{name} cannot be exported, because it counts and has no network; {_SERVE}, or "
            "export a neural model, such as narm"
        )
    if capabilities.earlier_sessions:
        raise ConfigError(
            f"{name} with history={_value(model, 'history')} cannot be exported, because it reads "
            f"the earlier sessions of the visitor; {_SERVE}, or train it with history=none and "
            "without history_drift, history_deviation and history_chain"
        )
    if capabilities.leaky is not None:
        raise ConfigError(
            f"{name} with gap={_value(model, 'gap')} cannot be exported, because it reads the "
            f"{capabilities.leaky}, which is unknown at the prediction; train it with gap=causal "
            "or gap=elapsed"
        )
    if _reads_graphs(model):
        raise ConfigError(
            f"{name} cannot be exported, because compiled kernels outside the network build the "
            f"graphs that it reads; {_SERVE}, or export another neural model, such as narm"
        )


def _members(model: Model) -> dict[str, Model] | None:
    """The members of a blend by label; None for another model."""
    if not model.capabilities.composite:
        return None
    blend: Any = model
    return dict(zip(blend.labels, blend.members, strict=True))


def _neural(members: dict[str, Model]) -> str:
    labels = [label for label, model in members.items() if model.capabilities.neural]
    return ", ".join(labels) or "this blend has none"


def _value(model: Model, parameter: str) -> object:
    return getattr(model.config, parameter, "?")


def _reads_graphs(model: Any) -> bool:
    """Whether the encoder has inputs that no operation of PyTorch computes."""
    from nextclick.models.encoder import Encoder
    from nextclick.models.neural_model import NeuralModel

    encoder = type(model.encoder)
    is_outside = encoder.prepare_prefixes is not Encoder.prepare_prefixes
    is_inside = encoder.last_prefixes is not Encoder.last_prefixes
    overrides = type(model).prepare_prefixes is not NeuralModel.prepare_prefixes
    return overrides or (is_outside and not is_inside)
