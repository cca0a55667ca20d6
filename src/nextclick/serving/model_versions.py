"""The versions of a served model: a single artifact, or a registry of artifacts."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nextclick.artifact.artifact_manifest import ARTIFACT
from nextclick.artifact.registries import is_registry, open_registry
from nextclick.core.file_digests import MANIFEST
from nextclick.core.locations import resolve_location
from nextclick.core.object_storage import Bucket, reading
from nextclick.core.remote_folder import current_folder, join_key
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
    def path(self) -> Path | str:
        """The folder of its artifact, or its address."""
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
    path: Path | str


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


class RemoteArtifact:
    """A single artifact in object storage; its version is that of its upload."""

    def __init__(self, url: str):
        self.url = url

    def current(self) -> ServedVersion:
        """See `VersionSource`."""
        with reading(self.url):
            bucket = Bucket.connect(self.url)
            folder = current_folder(ARTIFACT, bucket)
            if folder != bucket.key:
                return ArtifactVersion(Path(folder).name[:12], f"{bucket.root}/{folder}")
            found = bucket.read(join_key(folder, MANIFEST))
        # without a manifest, loading the artifact raises the error
        digest = hashlib.blake2b(b"" if found is None else found[0], digest_size=6)
        return ArtifactVersion(digest.hexdigest(), self.url)

    def versions(self) -> Sequence[ServedVersion]:
        """See `VersionSource`."""
        return [self.current()]

    def activate(self, name: str) -> None:
        """There is only one version."""


def open_versions(folder: str | Path) -> VersionSource:
    """The versions at a path or an address: of an artifact or a registry.

    Raises:
        ArtifactError: the folder cannot be read, or it is a damaged registry.
    """
    location = resolve_location(folder)
    if is_registry(location):
        return open_registry(location)
    return ArtifactSource(location) if isinstance(location, Path) else RemoteArtifact(location)


def _read_problem(folder: Path, error: OSError) -> str:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return (
            f"{folder} cannot be read: too many files are open; raise the limit with "
            "`ulimit -n`, or serve fewer models"
        )
    return f"{folder} cannot be read: {error.strerror}; check the folder and its permissions"
