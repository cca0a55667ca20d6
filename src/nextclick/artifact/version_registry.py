"""Model registry: versions of a trained model in one folder, and a pointer to the current one.

REGISTRY/
manifest.json         kind and format version
current.json          name of the current version; replaced atomically
versions/v1/, v2/ …   artifacts, each with a version.json: name, creation time, metrics, note
rejected/v3/ …        artifacts that were rejected and never published, with the reason

The three JSON files have a digest of their content. A damaged file is refused by name: the registry
never returns another version than the one that was activated.

A version is written atomically and never changed. The pointer is replaced after the version is on
disk, so the current version can be loaded at any moment, even after a process is killed. Readers
take no lock: they read the pointer, then the folder that it names.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nextclick.artifact.artifact import Artifact
from nextclick.artifact.artifact_manifest import read_manifest
from nextclick.artifact.model_version import (
    DETAILS,
    ModelVersion,
    read_version,
    read_versions,
    version_folders,
    version_number,
)
from nextclick.artifact.registry_format import (
    FORMAT_VERSION,
    KIND,
    POINTER,
    activation_remedy,
    check_registry_manifest,
    no_current_version,
    no_such_version,
    not_a_registry,
    not_current,
    write_version,
)
from nextclick.core.display import Display, Displayed
from nextclick.core.file_digests import MANIFEST
from nextclick.core.manifests import (
    ManifestError,
    check_folder,
    describe_os_error,
    read_with_digest,
    with_digest,
    write_manifest,
)
from nextclick.core.manifests import read_manifest as read_json_object
from nextclick.core.storage import atomic_folder, raising_output_errors, write_json
from nextclick.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDERS = ("versions", "rejected")


class Registry(Displayed):
    """An open registry. It caches nothing: every call reads the folder."""

    def __init__(self, path: str | Path):
        """Open a folder that `create` made.

        Raises:
            ArtifactError: the folder is not a registry, it has another format version, or its
                manifest is damaged.
        """
        self.path = Path(path)
        if not is_registry_folder(self.path):
            raise not_a_registry(self.path)
        check_registry_manifest(self.path, lambda: read_json_object(self.path / MANIFEST))

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """Create an empty registry, or open an existing one.

        Raises:
            OutputError: the folder exists and is no registry, or it cannot be written.
        """
        folder = Path(path)
        if not is_registry_folder(folder):
            with atomic_folder(folder) as scratch:
                for name in _FOLDERS:
                    (scratch / name).mkdir()
                write_manifest(scratch, {"kind": KIND, "format_version": FORMAT_VERSION}, {})
        return cls(folder)

    def current(self) -> ModelVersion:
        """Return the current version.

        Raises:
            ArtifactError: no version is published yet, or the pointer or the version is damaged.
        """
        file = self.path / POINTER
        try:
            name = str(read_with_digest(file).get("version"))
        except FileNotFoundError:
            raise no_current_version(self.path, self._remedy()) from None
        except ManifestError as error:
            raise ArtifactError(f"{file}: {error}; {self._remedy()}") from error
        except OSError as error:
            raise ArtifactError(f"{file}: cannot be read: {describe_os_error(error)}") from error
        return self.version(name)

    def version(self, name: str) -> ModelVersion:
        """Return a published version by name.

        Raises:
            ArtifactError: there is no version of that name, or its `version.json` is damaged.
        """
        folders = {path.name: path for path in version_folders(self.path / "versions")}
        if name not in folders:
            raise no_such_version(self.path, name, folders)
        try:
            return read_version(folders[name])
        except ManifestError as error:
            raise ArtifactError(f"{folders[name] / DETAILS}: {error}; {self._remedy()}") from error

    def versions(self) -> list[ModelVersion]:
        """All published versions whose `version.json` is intact, oldest first."""
        return read_versions(self.path / "versions")[0]

    def display(self) -> Display:
        """What is shown of the registry: its versions, the newest first."""
        current, versions = None, []
        with suppress(ArtifactError):  # what is damaged is not shown
            versions = sorted([*self.versions(), *self.rejected()], key=lambda v: -v.number)
            current = self.current().name
        return Display(
            f"Registry {self.path}",
            {"current": current},
            ("version", "created", "note"),
            [[v.name, v.created, v.note if v.reason is None else "rejected"] for v in versions],
        )

    def rejected(self) -> list[ModelVersion]:
        """All rejected versions whose `version.json` is intact, oldest first."""
        return read_versions(self.path / "rejected")[0]

    def damaged(self) -> dict[Path, str]:
        """The damaged `version.json` files of published and rejected versions, with the reason."""
        published, rejected = (read_versions(self.path / name)[1] for name in _FOLDERS)
        return published | rejected

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
                raise not_current(self.path, current, follows)
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
            _check_artifact(self.path / "versions" / name)
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
        folders = [path for name in _FOLDERS for path in version_folders(self.path / name)]
        number = 1 + max(map(version_number, folders), default=0)
        target = self.path / folder / f"v{number}"
        created = datetime.now(UTC).isoformat(timespec="seconds")
        version = ModelVersion(target.name, number, target, created, metrics or {}, note, reason)
        if not isinstance(artifact, Artifact):
            Artifact.load(artifact)
        with atomic_folder(target) as scratch:
            write_version(artifact, version, scratch)
        return version

    def _point_to(self, version: ModelVersion) -> None:
        for leftover in self.path.glob(f".{POINTER}.*.part"):  # of a killed process
            leftover.unlink(missing_ok=True)
        write_json(self.path / POINTER, with_digest({"version": version.name}))

    def _remedy(self) -> str:
        return activation_remedy(self.path, self.versions())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the write lock; the operating system releases it when the process ends."""
        with raising_output_errors(self.path):
            handle = os.open(self.path / MANIFEST, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def is_registry_folder(folder: Path) -> bool:
    """Whether a folder is a registry of versions, even if its manifest is damaged."""
    manifest = _read_json(folder / MANIFEST)
    has_parts = (folder / "versions").is_dir() and (folder / POINTER).exists()
    return has_parts or (manifest is not None and manifest.get("kind") == KIND)


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
