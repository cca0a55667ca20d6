"""Trained models as folders that are safe to load, and registries of model versions."""

from nextclick.artifact.artifact import Artifact
from nextclick.artifact.model_version import ModelVersion
from nextclick.artifact.registries import create_registry, open_registry
from nextclick.artifact.version_registry import Registry

__all__ = ["Artifact", "ModelVersion", "Registry", "create_registry", "open_registry"]
