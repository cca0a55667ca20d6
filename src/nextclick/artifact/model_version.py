"""A version of a registry: an artifact with a `version.json`, which has a digest of its own."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nextclick.core.display import Display, Displayed
from nextclick.core.manifests import (
    ManifestError,
    describe_os_error,
    read_with_digest,
    with_digest,
)
from nextclick.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DETAILS = "version.json"
_NAME = re.compile(r"v([1-9]\d*)")
_FIELDS = ("created", "metrics", "note", "reason")


@dataclass(frozen=True, slots=True, repr=False)
class ModelVersion(Displayed):
    """A version of a registry.

    Attributes:
        name: `v1`, `v2`, …; a name is never reused.
        number: number in the name; later versions have higher numbers.
        path: folder of the version, an artifact; its address if the registry is in object storage.
        created: creation time, ISO 8601 in UTC.
        metrics: metrics measured before publication; may be empty.
        note: free text.
        reason: why the version was rejected; None for a published version.
    """

    name: str
    number: int
    path: Path | str
    created: str
    metrics: dict[str, Any]
    note: str
    reason: str | None = None

    def display(self) -> Display:
        """What is shown of the version."""
        facts = {"created": self.created, "note": self.note or None, "rejected": self.reason}
        facts |= {str(name): value for name, value in self.metrics.items()}
        shown = {name: value for name, value in facts.items() if value is not None}
        return Display(f"Version {self.name} in {self.path}", shown)


def write_details(version: ModelVersion, folder: Path) -> None:
    """Write the `version.json` of a version into the folder that becomes its own."""
    fields = {name: value for name, value in asdict(version).items() if name in _FIELDS}
    (folder / DETAILS).write_bytes(encode_with_digest({"version": version.name, **fields}))


def encode_with_digest(fields: Mapping[str, Any]) -> bytes:
    """The content of a JSON file of a registry."""
    text = json.dumps(with_digest(fields), indent=2, ensure_ascii=False) + "\n"
    return text.encode()


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
    return version_of(details, folder.name, folder)


def version_of(details: Mapping[str, Any], name: str, path: Path | str) -> ModelVersion:
    """The version of a parsed `version.json`.

    Raises:
        ManifestError: the file belongs to another version.
    """
    if details.get("version") != name:
        raise ManifestError(f"it belongs to version {details.get('version')!r:.40}")
    fields = {field: details[field] for field in _FIELDS}
    return ModelVersion(name, name_number(name), path, **fields)


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
    return name_number(folder.name)


def name_number(name: str) -> int:
    """The number in the name of a version; 0 for a name of another form."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0


def _version_folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():  # copies of a registry may lack an empty folder
        for path in folder.iterdir():
            if _NAME.fullmatch(path.name):  # a folder that is being written starts with a dot
                yield path
