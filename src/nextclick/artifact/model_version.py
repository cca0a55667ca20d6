"""A version of a registry: an artifact with a `version.json`, which has a digest of its own."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nextclick.core.manifests import (
    ManifestError,
    describe_os_error,
    read_with_digest,
    with_digest,
)
from nextclick.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DETAILS = "version.json"
_NAME = re.compile(r"v([1-9]\d*)")
_FIELDS = ("created", "metrics", "note", "reason")


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a registry.

    Attributes:
        name: `v1`, `v2`, …; a name is never reused.
        number: number in the name; later versions have higher numbers.
        path: folder of the version, an artifact.
        created: creation time, ISO 8601 in UTC.
        metrics: metrics measured before publication; may be empty.
        note: free text.
        reason: why the version was rejected; None for a published version.
    """

    name: str
    number: int
    path: Path
    created: str
    metrics: dict[str, Any]
    note: str
    reason: str | None = None


def write_details(version: ModelVersion, folder: Path) -> None:
    """Write the `version.json` of a version into the folder that becomes its own."""
    fields = {name: value for name, value in asdict(version).items() if name in _FIELDS}
    details = with_digest({"version": version.name, **fields})
    text = json.dumps(details, indent=2, ensure_ascii=False) + "\n"
    (folder / DETAILS).write_text(text, encoding="utf-8")


def read_version(folder: Path) -> ModelVersion:
    """Read the `version.json` in a folder that `version_folders` lists.

    Raises:
        ManifestError: the file is missing, is damaged, or belongs to another version.
        ArtifactError: the file cannot be read.
    """
    try:
        details = read_with_digest(folder / DETAILS)
    except (FileNotFoundError, NotADirectoryError):
        raise ManifestError("it is missing") from None
    except OSError as error:
        raise ArtifactError(
            f"{folder / DETAILS}: cannot be read: {describe_os_error(error)}"
        ) from error
    if details.get("version") != folder.name:
        raise ManifestError(f"it belongs to version {details.get('version')!r:.40}")
    fields = {name: details[name] for name in _FIELDS}
    return ModelVersion(folder.name, version_number(folder), folder, **fields)


def read_versions(folder: Path) -> tuple[list[ModelVersion], dict[Path, str]]:
    """The versions in a folder, oldest first, and each damaged `version.json` with the reason.

    Raises:
        ArtifactError: a file cannot be read.
    """
    versions, damaged = [], {}
    for path in version_folders(folder):
        try:
            versions.append(read_version(path))
        except ManifestError as error:
            damaged[path / DETAILS] = str(error)
    return versions, damaged


def version_folders(folder: Path) -> list[Path]:
    """The folders of versions in a folder, oldest first."""
    return sorted(_version_folders(folder), key=version_number)


def version_number(folder: Path) -> int:
    """The number in the name of a version's folder."""
    return int(folder.name[1:])


def _version_folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():  # copies of a registry may lack an empty folder
        for path in folder.iterdir():
            if _NAME.fullmatch(path.name):  # a folder that is being written starts with a dot
                yield path
