"""What the manifests of a model say about its accuracy and its age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.artifact.model_version import ModelVersion
from nextclick.serving.model_schemas import AccuracyResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.serving.model_versions import ServedVersion


def accuracy(trained: Mapping[str, Any], version: ServedVersion) -> AccuracyResponse | None:
    """The accuracy of a model; None if its manifests state none.

    That of its publication comes first, then that of the validation in its training.
    """
    metrics = version.metrics if isinstance(version, ModelVersion) else {}
    blend, training = trained.get("blend"), trained.get("training")
    found: list[tuple[Any, Any, Any]] = [
        (metrics.get("metric"), metrics.get("refreshed"), "publication"),
    ]
    if isinstance(training, dict):
        found.append((training.get("metric"), trained.get("validation"), "validation"))
    if isinstance(blend, dict) and isinstance(blend.get("validation"), dict):
        measured = blend["validation"]
        metric = next((name for name in measured if name.startswith("recall@")), None)
        found.append((metric, measured.get(metric), "validation"))
    for metric, value, measured_at in found:
        if isinstance(metric, str) and isinstance(value, float | int) and 0 <= value <= 1:
            return AccuracyResponse(metric, float(value), measured_at)
    return None


def last_click(trained: Mapping[str, Any]) -> float | None:
    """The time of the last training click in seconds since 1970; None if it is unknown."""
    milliseconds = trained.get("last_ms")
    return milliseconds / 1000 if isinstance(milliseconds, int) else None


def published(version: ServedVersion) -> str | None:
    """When a version was published, ISO 8601 in UTC; None for an artifact outside a registry."""
    return version.created if isinstance(version, ModelVersion) else None
