"""The form of a trained model that answers requests: with its exported encoder, if it has one."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nextclick.errors import ConfigError
from nextclick.models.exported.encoder_file import encoder_name
from nextclick.models.exported.exportable import check_exportable
from nextclick.models.exported.exported_model import ExportedModel

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from nextclick.models.base import Model

_RUNTIME = "onnxruntime"


def exported_model(
    folder: Path, files: Collection[str], weights: str, member: int | None = None
) -> ExportedModel | None:
    """The model of an artifact, or a member of its blend, without PyTorch.

    None if the artifact has no exported encoder, or if ONNX Runtime is not installed.

    Args:
        folder: the folder of the artifact.
        files: the files in it.
        weights: the one with the arrays.
        member: the member of a blend.

    Raises:
        ArtifactError: ONNX Runtime cannot load the graph.
    """
    name = encoder_name(member)
    if name not in files or find_spec(_RUNTIME) is None:
        return None
    return ExportedModel.load(folder / name, folder / weights)


def with_exported_members(
    model: Model, folder: Path, files: Collection[str], weights: str
) -> Model:
    """A blend whose members have their exported encoders; any other model is returned unchanged.

    Raises:
        ArtifactError: see `exported_model`.
    """
    if not model.capabilities.composite:
        return model
    blend: Any = model
    members = [
        exported_model(folder, files, weights, m) or member
        for m, member in enumerate(blend.members)
    ]
    served: Model = blend.with_members(members, blend.counts)
    return served


def pytorch_notice(model: Any) -> str | None:
    """Which models PyTorch computes that ONNX Runtime could, and what to install; None for none."""
    models = model.members if model.capabilities.composite else (model,)
    slow = [one.name for one in models if _could_be_exported(one)]
    if not slow:
        return None
    return (
        f"PyTorch computes {', '.join(slow)}, which takes longer than ONNX Runtime: install "
        "nextclick[neural] here and where the model is trained, and train or refresh it there"
    )


def _could_be_exported(model: Model) -> bool:
    if isinstance(model, ExportedModel):
        return False
    if not model.capabilities.neural:
        return False
    try:
        check_exportable(model, batches=False)
    except ConfigError:
        return False
    return True
