"""The manifest of an artifact, and artifacts in object storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nextclick.artifact.mlflow_models import download_model, is_mlflow_model
from nextclick.core.file_digests import MANIFEST
from nextclick.core.locations import resolve_location
from nextclick.core.manifests import (
    ManifestError,
    check_manifest,
    describe_os_error,
    format_version,
)
from nextclick.core.manifests import read_manifest as read_json_manifest
from nextclick.core.remote_folder import FolderKind, download_folder
from nextclick.core.storage import restore_interrupted
from nextclick.core.types import silent
from nextclick.errors import ArtifactError, UnreachableError

FORMAT_VERSION = 3  # 1 called the part train_inner "fit"; 2 had no digests of its files
KIND = "nextclick.artifact"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of an artifact, and check its digest.

    Raises:
        ArtifactError: the folder is not an artifact, it has another format version, or its manifest
            is damaged.
    """
    file = folder / MANIFEST
    try:
        if not folder.exists():
            restore_interrupted(folder)
        manifest = read_json_manifest(file)
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(
            f"{folder} is not an artifact (it has no manifest.json); make one with "
            "`nextclick train STORE --model NAME -o ARTIFACT`"
        ) from None
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read: {describe_os_error(error)}") from error
    except ManifestError as error:
        raise ArtifactError(f"{file}: not the manifest of an artifact: {error!r}") from error
    return checked_manifest(folder, manifest)


def checked_manifest(folder: Path | str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Check the manifest of an artifact, and return it.

    Args:
        folder: the folder or address of the artifact, for messages.
        manifest: its content.

    Raises:
        ArtifactError: it is not the manifest of an artifact, has another format version, or is
            damaged.
    """
    try:
        kind, version = manifest["kind"], format_version(manifest)
        if "digest" in manifest or (kind, version) == (KIND, FORMAT_VERSION):
            check_manifest(manifest)  # first: damage must not look like another kind or version
    except (ValueError, KeyError) as error:
        raise ArtifactError(
            f"{folder}/{MANIFEST}: not the manifest of an artifact: {error!r}"
        ) from error
    if kind != KIND:
        raise ArtifactError(
            f"{folder} is a {kind!s:.80}, not an artifact; name the folder of an artifact"
        )
    if version != FORMAT_VERSION:
        remedy = "upgrade nextclick" if version > FORMAT_VERSION else "train again"
        raise ArtifactError(
            f"{folder} has artifact format {version}, but this version of nextclick reads format "
            f"{FORMAT_VERSION}: {remedy}"
        )
    return manifest


ARTIFACT = FolderKind(
    noun="artifact",
    kind=KIND,
    check=checked_manifest,
    error=ArtifactError,
    unreachable=UnreachableError,
    create="train a model with this address as --output",
    repair="train again",
    expires=True,
)


def local_artifact(path: str | Path) -> Path:
    """Return the folder of an artifact; one in object storage is downloaded into the cache.

    Raises:
        ArtifactError: there is none at the address, it is damaged, or the server does not answer.
        ConfigError: the address is that of a model in MLflow, which is not installed.
    """
    if is_mlflow_model(path):
        return download_model(str(path))
    location = resolve_location(path)
    return location if isinstance(location, Path) else download_folder(ARTIFACT, location, silent)
