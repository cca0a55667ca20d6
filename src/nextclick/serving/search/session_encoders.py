"""Encoders that compute the query of one session at a time, without a call of PyTorch.

The exported encoder of a model runs in ONNX Runtime. Cosine-GRU has compiled kernels, which are
faster than its graph for short sessions. Tests compare both with the modules of the models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from nextclick.models.exported.exported_model import ExportedModel
from nextclick.models.exported.session_feed import OneSession
from nextclick.serving.search.compiled_cosine_gru import CompiledCosineGRU

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array
    from nextclick.serving.request import ResolvedRequest


class SessionEncoder(Protocol):
    """An encoder that computes one query at a time."""

    def query(self, request: ResolvedRequest) -> Float32Array:
        """(D,) of a session with at least one click."""
        ...


def session_encoder(model: Any) -> SessionEncoder | None:
    """The encoder of a model; None if PyTorch computes its queries."""
    exported = isinstance(model, ExportedModel)
    if model.name == "cosine-gru" and not model.config.times:
        return CompiledCosineGRU(model.config, model.weights() if exported else model.state())
    return ExportedEncoder(model) if exported else None


class ExportedEncoder:
    """The graph of an exported model."""

    def __init__(self, model: ExportedModel):
        self._model = model

    def query(self, request: ResolvedRequest) -> Float32Array:
        """See `SessionEncoder`."""
        one = OneSession(
            request.clicks,
            request.gaps,
            request.time_since_last_click,
            request.user,
            request.history,
        )
        return self._model.query(one)
