"""Trained models as folders that are safe to load, and registries of their versions."""

from nextclick.artifact.artifact import Artifact
from nextclick.artifact.registry import Registry, Version

__all__ = ["Artifact", "Registry", "Version"]
