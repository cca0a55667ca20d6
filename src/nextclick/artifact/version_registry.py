"""Model registry: versions of a trained model in one folder, and a pointer to the current one.

REGISTRY/
manifest.json         kind and format version
current.json          name of the current version; replaced atomically
versions/v1/, v2/ …   artifacts, each with a version.json: creation time, metrics, note
rejected/v3/ …        artifacts that were rejected and never published, with the reason

A version is written atomically and never changed. The pointer is replaced after the version is on
disk, so the current version can be loaded at any moment, even after a process is killed. Readers
take no lock: they read the pointer, then the folder that it names.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nextclick.artifact.artifact import Artifact, copy_artifact, read_manifest
from nextclick.core.manifests import ManifestError, check_folder, describe_os_error
from nextclick.core.manifests import read_manifest as read_json_object
from nextclick.core.storage import atomic_folder, raising_output_errors, write_json
from nextclick.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT_VERSION = 1
KIND = "nextclick.registry"
_VERSION_NAME = re.compile(r"v([1-9]\d*)")


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


class Registry:
    """An open registry. It caches nothing: every call reads the folder."""

    def __init__(self, path: str | Path):
        """Open a folder that `create` made.

        Raises:
            ArtifactError: the folder is not a registry, or it has another format version.
        """
        self.path = Path(path)
        manifest = _read_json(self.path / "manifest.json")
        if manifest is None or manifest.get("kind") != KIND:
            raise ArtifactError(
                f"{self.path} is not a registry of versions; create one with "
                "`nextclick publish ARTIFACT REGISTRY`"
            )
        if manifest.get("format_version") != FORMAT_VERSION:
            raise ArtifactError(
                f"{self.path} has registry format {manifest.get('format_version')}, but this "
                f"version of nextclick reads format {FORMAT_VERSION}: upgrade nextclick"
            )

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """Create an empty registry, or open an existing one.

        Raises:
            OutputError: the folder exists and is no registry, or it cannot be written.
        """
        folder = Path(path)
        if not is_registry(folder):
            with atomic_folder(folder) as scratch:
                (scratch / "versions").mkdir()
                (scratch / "rejected").mkdir()
                manifest = {"kind": KIND, "format_version": FORMAT_VERSION}
                (scratch / "manifest.json").write_text(
                    json.dumps(manifest) + "\n", encoding="utf-8"
                )
        return cls(folder)

    def current(self) -> ModelVersion:
        """Return the current version.

        Raises:
            ArtifactError: no version is published yet, or the pointer is broken.
        """
        file = self.path / "current.json"
        if not file.exists():
            raise ArtifactError(
                f"{self.path} has no current version; publish one with "
                "`nextclick publish ARTIFACT REGISTRY`"
            )
        pointer = _read_json(file) or {}
        return self.version(str(pointer.get("version")))

    def version(self, name: str) -> ModelVersion:
        """Return a published version by name.

        Raises:
            ArtifactError: there is no version of that name.
        """
        versions = {version.name: version for version in self.versions()}
        if name not in versions:
            published = ", ".join(versions) or "none"
            raise ArtifactError(f"{self.path} has no version {name!r}; published: {published}")
        return versions[name]

    def versions(self) -> list[ModelVersion]:
        """All published versions, oldest first."""
        return self._read_versions("versions")

    def rejected(self) -> list[ModelVersion]:
        """All rejected versions, oldest first."""
        return self._read_versions("rejected")

    def publish(
        self,
        artifact: Artifact | str | Path,
        *,
        metrics: dict[str, Any] | None = None,
        note: str = "",
        follows: str | None = None,
    ) -> ModelVersion:
        """Add a version and make it the current one.

        Args:
            artifact: an artifact, or its folder, which is loaded to verify it.
            metrics: metrics of the version.
            note: free text.
            follows: name of the version that must be the current one; None is any.

        Raises:
            ArtifactError: the artifact cannot be loaded, or `follows` is not the current version.
            OutputError: the registry cannot be written.
        """
        with self._locked():
            if follows is not None and (current := self.current().name) != follows:
                raise ArtifactError(
                    f"{self.path}: the current version is {current}, but this one was made from "
                    f"{follows}; refresh {current} instead"
                )
            version = self._add("versions", artifact, metrics, note, None)
            self._point_to(version)
        return version

    def reject(
        self,
        artifact: Artifact | str | Path,
        reason: str,
        *,
        metrics: dict[str, Any] | None = None,
        note: str = "",
    ) -> ModelVersion:
        """Store a rejected version for inspection; the current version does not change.

        Raises:
            ArtifactError: the artifact cannot be loaded.
            OutputError: the registry cannot be written.
        """
        with self._locked():
            return self._add("rejected", artifact, metrics, note, reason)

    def activate(self, name: str) -> ModelVersion:
        """Make a published version the current one, for example to roll back.

        Raises:
            ArtifactError: there is no version of that name, or it is broken.
            OutputError: the registry cannot be written.
        """
        with self._locked():
            version = self.version(name)
            _check_artifact(version.path)
            self._point_to(version)
        return version

    def _add(
        self,
        folder: str,
        artifact: Artifact | str | Path,
        metrics: dict[str, Any] | None,
        note: str,
        reason: str | None,
    ) -> ModelVersion:
        number = 1 + max((v.number for v in (*self.versions(), *self.rejected())), default=0)
        target = self.path / folder / f"v{number}"
        details: dict[str, Any] = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "metrics": metrics or {},
            "note": note,
            "reason": reason,
        }
        if not isinstance(artifact, Artifact):
            Artifact.load(artifact)
        with atomic_folder(target) as scratch:
            if isinstance(artifact, Artifact):
                artifact.write(scratch)
            else:
                copy_artifact(Path(artifact), scratch)
            text = json.dumps(details, indent=2, ensure_ascii=False) + "\n"
            (scratch / "version.json").write_text(text, encoding="utf-8")
        return ModelVersion(target.name, number, target, **details)

    def _point_to(self, version: ModelVersion) -> None:
        for leftover in self.path.glob(".current.json.*.part"):  # of a killed process
            leftover.unlink(missing_ok=True)
        write_json(self.path / "current.json", {"version": version.name})

    def _read_versions(self, folder: str) -> list[ModelVersion]:
        versions = []
        for path in (self.path / folder).iterdir():
            # a folder that is being written starts with a dot
            name = _VERSION_NAME.fullmatch(path.name)
            details = _read_json(path / "version.json") if name is not None else None
            if name is not None and details is not None:
                versions.append(
                    ModelVersion(
                        name=path.name,
                        number=int(name[1]),
                        path=path,
                        created=str(details.get("created", "")),
                        metrics=dict(details.get("metrics") or {}),
                        note=str(details.get("note", "")),
                        reason=details.get("reason"),
                    )
                )
        return sorted(versions, key=lambda version: version.number)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the write lock; the operating system releases it when the process ends."""
        with raising_output_errors(self.path):
            handle = os.open(self.path / "manifest.json", os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def is_registry(path: str | Path) -> bool:
    """Whether a folder is a registry of versions."""
    manifest = _read_json(Path(path) / "manifest.json")
    return manifest is not None and manifest.get("kind") == KIND


def artifact_folder(path: str | Path) -> Path:
    """Return the artifact behind a path: the current version of a registry, or the path itself.

    Raises:
        ArtifactError: the registry has no current version.
    """
    return Registry(path).current().path if is_registry(path) else Path(path)


def _check_artifact(folder: Path) -> None:
    read_manifest(folder)  # a folder that is not an artifact has its own error
    try:
        check_folder(folder)
    except ManifestError as error:
        raise ArtifactError(
            f"{folder}: this artifact is broken: {error}; activate another version"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be read: {describe_os_error(error)}") from error


def _read_json(file: Path) -> dict[str, Any] | None:
    """A JSON object; None if the file is missing or holds something else.

    Raises:
        ArtifactError: the file exists and cannot be read.
    """
    try:
        return read_json_object(file)
    except (FileNotFoundError, NotADirectoryError, ManifestError):
        return None
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read: {describe_os_error(error)}") from error
