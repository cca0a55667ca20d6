"""Opens registries of model versions: folders, or addresses in object storage."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from nextclick.artifact.remote_registry import RemoteRegistry, is_remote_registry
from nextclick.artifact.version_registry import Registry, is_registry_folder
from nextclick.core.locations import resolve_location

AnyRegistry: TypeAlias = Registry | RemoteRegistry


def open_registry(location: str | Path) -> AnyRegistry:
    """Open a registry: a folder, or an address such as `s3://bucket/registry`.

    Raises:
        ArtifactError: there is none, it has another format version, or its manifest is damaged.
    """
    place = resolve_location(location)
    return Registry(place) if isinstance(place, Path) else RemoteRegistry(place)


def create_registry(location: str | Path) -> AnyRegistry:
    """Create an empty registry, or open an existing one.

    Raises:
        OutputError: the location holds something else, or it cannot be written.
    """
    place = resolve_location(location)
    return Registry.create(place) if isinstance(place, Path) else RemoteRegistry.create(place)


def is_registry(location: str | Path) -> bool:
    """Whether a location is a registry of versions, even if its manifest is damaged.

    Raises:
        ArtifactError: it cannot be read.
    """
    place = resolve_location(location)
    return is_registry_folder(place) if isinstance(place, Path) else is_remote_registry(place)


def is_same_registry(first: AnyRegistry, second: AnyRegistry) -> bool:
    """Whether two open registries are the same."""
    if isinstance(first, Registry) and isinstance(second, Registry):
        return first.path.resolve() == second.path.resolve()
    return first.path == second.path


def artifact_folder(location: str | Path) -> str | Path:
    """Return the artifact at a location: the current version of a registry, or the location itself.

    Raises:
        ArtifactError: the registry has no current version.
    """
    return open_registry(location).current().path if is_registry(location) else location
