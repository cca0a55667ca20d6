"""Trained models as folders that are safe to load."""

from nextclick.artifact.artifact import Artifact

__all__ = ["Artifact"]
