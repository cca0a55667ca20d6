"""The versions of a served model: a single artifact, or a registry of artifacts."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nextclick.artifact.version_registry import Registry, is_registry
from nextclick.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ServedVersion(Protocol):
    """One trained state of a model."""

    @property
    def name(self) -> str:
        """Unique among the versions of the model."""
        ...

    @property
    def path(self) -> Path:
        """The folder of its artifact."""
        ...


class VersionSource(Protocol):
    """Lists and activates the versions of a model."""

    def current(self) -> ServedVersion:
        """The version to serve.

        Raises:
            ArtifactError: there is none.
        """
        ...

    def versions(self) -> Sequence[ServedVersion]:
        """All versions that can be activated, the oldest first."""
        ...

    def activate(self, name: str) -> object:
        """Make a version the current one for all readers."""
        ...


@dataclass(frozen=True, slots=True)
class ArtifactVersion:
    """The `ServedVersion` of an artifact outside a registry."""

    name: str
    path: Path


class ArtifactSource:
    """A single artifact; its version is a hash of the manifest, so a replacement is detected."""

    def __init__(self, folder: Path):
        self.folder = folder

    def current(self) -> ServedVersion:
        """See `VersionSource`."""
        try:
            manifest = (self.folder / "manifest.json").read_bytes()
            modified = (self.folder / "weights.safetensors").stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = Path(str(error.filename)).name
            raise ArtifactError(
                f"{self.folder} is not an artifact: {missing} is missing; create one with "
                "`nextclick train STORE --model NAME -o ARTIFACT`"
            ) from error
        except OSError as error:
            raise ArtifactError(_read_problem(self.folder, error)) from error
        digest = hashlib.blake2b(manifest + str(modified).encode(), digest_size=6)
        return ArtifactVersion(digest.hexdigest(), self.folder)

    def versions(self) -> Sequence[ServedVersion]:
        """See `VersionSource`."""
        return [self.current()]

    def activate(self, name: str) -> None:
        """There is only one version."""


def open_versions(folder: str | Path) -> VersionSource:
    """The versions in a folder: an artifact or a registry.

    Raises:
        ArtifactError: the folder cannot be read, or it is a damaged registry.
    """
    path = Path(folder)
    return Registry(path) if is_registry(path) else ArtifactSource(path)


def _read_problem(folder: Path, error: OSError) -> str:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return (
            f"{folder} cannot be read: too many files are open; raise the limit with "
            "`ulimit -n`, or serve fewer models"
        )
    return f"{folder} cannot be read: {error.strerror}; check the folder and its permissions"
