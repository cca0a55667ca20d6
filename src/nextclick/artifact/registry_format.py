"""What registries in folders and in object storage have in common: files, checks and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.artifact.artifact import Artifact, copy_artifact
from nextclick.artifact.model_version import write_details
from nextclick.core.file_digests import MANIFEST
from nextclick.core.manifests import ManifestError, check_manifest, format_version
from nextclick.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from nextclick.artifact.model_version import ModelVersion

FORMAT_VERSION = 2  # 1 had no digests
KIND = "nextclick.registry"
POINTER = "current.json"


def check_registry_manifest(label: Path | str, read: Callable[[], dict[str, Any]]) -> None:
    """Check the manifest of a registry.

    Args:
        label: the folder or address of the registry, for messages.
        read: returns the content.

    Raises:
        ArtifactError: it is damaged, or of another format version.
    """
    try:
        manifest = read()
        version = format_version(manifest)
        if "digest" in manifest or version == FORMAT_VERSION:
            check_manifest(manifest)  # first: damage must not look like another version
    except (ManifestError, KeyError, OSError) as error:
        raise ArtifactError(
            f"{label}/{MANIFEST}: not the manifest of a registry: {error!r}; publish the "
            f"artifacts in {label}/versions to a new registry"
        ) from error
    if version != FORMAT_VERSION:
        newer = version > FORMAT_VERSION
        remedy = "upgrade nextclick" if newer else "publish its artifacts to a new registry"
        raise ArtifactError(
            f"{label} has registry format {version}, but this version of nextclick reads "
            f"format {FORMAT_VERSION}: {remedy}"
        )


def not_a_registry(location: Path | str) -> ArtifactError:
    """The error of a location without a registry."""
    return ArtifactError(
        f"{location} is not a registry of versions; create one with "
        "`nextclick publish ARTIFACT REGISTRY`"
    )


def no_current_version(registry: Path | str, remedy: str) -> ArtifactError:
    """The error of a registry without a pointer."""
    return ArtifactError(
        f"{registry} has no current version; publish one with "
        f"`nextclick publish ARTIFACT REGISTRY`, or {remedy}"
    )


def no_such_version(registry: Path | str, name: str, published: Iterable[str]) -> ArtifactError:
    """The error of a name that is not among those of the published versions."""
    names = ", ".join(published) or "none"
    return ArtifactError(f"{registry} has no version {name!r}; published: {names}")


def activation_remedy(registry: Path | str, intact: Iterable[ModelVersion]) -> str:
    """What to do if the pointer or a version is damaged."""
    names = ", ".join(version.name for version in intact) or "none"
    return (
        f"activate a version with `nextclick versions {registry} --activate NAME`; intact: {names}"
    )


def not_current(registry: Path | str, current: str, follows: str) -> ArtifactError:
    """The error of a version that was made from another one than the current one."""
    return ArtifactError(
        f"{registry}: the current version is {current}, but this one was made from "
        f"{follows}; refresh {current} instead"
    )


def write_version(artifact: Artifact | str | Path, version: ModelVersion, folder: Path) -> None:
    """Write an artifact and its `version.json` into an empty folder.

    Raises:
        ArtifactError: the artifact cannot be loaded.
    """
    if isinstance(artifact, Artifact):
        artifact.write(folder)
    else:
        copy_artifact(artifact, folder)
    write_details(version, folder)
