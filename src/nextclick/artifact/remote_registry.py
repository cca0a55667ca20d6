"""A registry of model versions in object storage.

The objects have the names of the files of a local registry, and in addition

    names/v1, v2, …    one object for each number that was given to a version

A number is taken by creating its object, which succeeds for one publisher only. The files of the
version follow, `version.json` last: without it, the version does not exist. Then the pointer is
replaced on the condition that nobody else has replaced it since it was read. A reader reads the
pointer first, so it finds the previous version or the new one, and a listing that lags hides no
version that is current.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from nextclick.artifact.artifact import Artifact
from nextclick.artifact.artifact_manifest import local_artifact
from nextclick.artifact.model_version import (
    DETAILS,
    ModelVersion,
    encode_with_digest,
    name_number,
    version_of,
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
from nextclick.artifact.remote_pointer import RemotePointer, pointed_name
from nextclick.core.file_digests import MANIFEST
from nextclick.core.local_cache import scratch_folder
from nextclick.core.manifests import ManifestError, parse_manifest, parse_with_digest
from nextclick.core.object_storage import Bucket, ConflictError, StorageError, reading, writing
from nextclick.core.remote_folder import join_key
from nextclick.core.remote_upload import upload_files
from nextclick.core.types import silent
from nextclick.errors import ArtifactError, OutputError

if TYPE_CHECKING:
    from pathlib import Path

_VERSIONS, _REJECTED, _NAMES = "versions", "rejected", "names"
_MAX_CONFLICTS = 100


class RemoteRegistry:
    """An open registry in object storage, with the methods of `Registry`.

    It keeps nothing but the last version that the pointer named, so that asking for the current
    version again costs one small request.

    Attributes:
        path: its address.
    """

    def __init__(self, path: str):
        """Open a registry that `create` made.

        Raises:
            ArtifactError: the address is not that of a registry, or it cannot be read.
            ConfigError: it is not an address of object storage.
        """
        self.path = path.rstrip("/")
        self._current: tuple[ModelVersion, dict[str, str]] | None = None  # with the tags
        with reading(self.path):
            self._bucket = Bucket.connect(self.path)
            found = self._bucket.read(self._key(MANIFEST))
        if found is None:
            raise not_a_registry(self.path)
        check_registry_manifest(self.path, lambda: parse_manifest(found[0]))
        self._pointer = RemotePointer(self._bucket, self._key(POINTER), self.path)

    @classmethod
    def create(cls, path: str) -> Self:
        """Create an empty registry, or open an existing one.

        Raises:
            OutputError: there are other objects below the address, or it cannot be written.
        """
        with writing(path):
            bucket = Bucket.connect(path.rstrip("/"))
            key = join_key(bucket.key, MANIFEST)
            if bucket.read(key) is None:
                foreign = next((key for key, _ in bucket.sizes(bucket.key)), None)
                if foreign is not None and bucket.read(key) is None:
                    raise OutputError(
                        f"{path} contains {bucket.root}/{foreign} and is not a registry; choose "
                        "another address"
                    )
                fields = {"kind": KIND, "format_version": FORMAT_VERSION, "files": {}}
                with suppress(ConflictError):  # another publisher has created it
                    bucket.replace(key, encode_with_digest(fields), None)
        return cls(path)

    def current(self) -> ModelVersion:
        """Return the current version; see `Registry.current`."""
        with reading(self.path):
            if self._current is not None:
                version, tags = self._current
                if not self._bucket.has_changed(self._key(POINTER), tags):
                    return version
            found = self._bucket.read(self._key(POINTER))
        if found is None:
            raise no_current_version(self.path, self._remedy())
        try:
            version = self.version(pointed_name(found[0]))
        except ManifestError as error:
            file = self._address(POINTER)
            raise ArtifactError(f"{file}: {error}; {self._remedy()}") from error
        self._current = version, found[1]
        return version

    def version(self, name: str) -> ModelVersion:
        """Return a published version by name; see `Registry.version`."""
        with reading(self.path):
            try:
                version = self._read_version(_VERSIONS, name) if name_number(name) else None
            except ManifestError as error:
                file = self._address(_VERSIONS, name, DETAILS)
                raise ArtifactError(f"{file}: {error}; {self._remedy()}") from error
        if version is None:
            published = (version.name for version in self.versions())
            raise no_such_version(self.path, name, published)
        return version

    def versions(self) -> list[ModelVersion]:
        """All published versions whose `version.json` is intact, oldest first."""
        return self._read_versions(_VERSIONS)[0]

    def rejected(self) -> list[ModelVersion]:
        """All rejected versions whose `version.json` is intact, oldest first."""
        return self._read_versions(_REJECTED)[0]

    def damaged(self) -> dict[str, str]:
        """The addresses of damaged `version.json` objects, with the reason."""
        return self._read_versions(_VERSIONS)[1] | self._read_versions(_REJECTED)[1]

    def publish(
        self,
        artifact: Artifact | str | Path,
        *,
        metrics: dict[str, Any] | None = None,
        note: str = "",
        follows: str | None = None,
    ) -> ModelVersion:
        """Add a version and make it the current one; see `Registry.publish`.

        If another process publishes a later version meanwhile, that one stays the current one, and
        a warning says so. Both versions are in the registry.
        """
        if follows is not None and (current := self.current().name) != follows:
            raise not_current(self.path, current, follows)
        version = self._add(_VERSIONS, artifact, metrics, note, None)
        try:
            self._pointer.publish(version, follows)
        except ArtifactError:  # nothing can name the version any more
            with suppress(StorageError):
                self._delete(_VERSIONS, version.name)
            raise
        return version

    def reject(
        self,
        artifact: Artifact | str | Path,
        reason: str,
        *,
        metrics: dict[str, Any] | None = None,
        note: str = "",
    ) -> ModelVersion:
        """Store a rejected version for inspection; the current version does not change."""
        return self._add(_REJECTED, artifact, metrics, note, reason)

    def activate(self, name: str) -> ModelVersion:
        """Make a published version the current one; see `Registry.activate`."""
        version = self.version(name)
        local_artifact(version.path)  # checks its files
        self._pointer.replace(version)
        return version

    def _add(
        self,
        folder: str,
        artifact: Artifact | str | Path,
        metrics: dict[str, Any] | None,
        note: str,
        reason: str | None,
    ) -> ModelVersion:
        if not isinstance(artifact, Artifact):
            Artifact.load(artifact)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with writing(self.path), scratch_folder() as scratch:
            number = self._take_number()
            name = f"v{number}"
            path = self._address(folder, name)
            version = ModelVersion(name, number, path, created, metrics or {}, note, reason)
            write_version(artifact, version, scratch)
            details = (scratch / DETAILS).read_bytes()
            (scratch / DETAILS).unlink()
            try:
                upload_files(self._bucket, self._key(folder, name), scratch, silent)
                self._bucket.write(self._key(folder, name, DETAILS), details)
            except BaseException:
                with suppress(StorageError):
                    self._delete(folder, name)
                raise
        return version

    def _take_number(self) -> int:
        """Return a number that no other version has, whoever publishes at the same time."""
        folders = (_NAMES, _VERSIONS, _REJECTED)
        names = [name for folder in folders[1:] for name in self._bucket.folders(self._key(folder))]
        keys = (key for key, _ in self._bucket.sizes(self._key(_NAMES)))
        names += [key.rpartition("/")[2] for key in keys]
        number = 1 + max(map(name_number, names), default=0)
        token = secrets.token_hex(16).encode()
        for candidate in range(number, number + _MAX_CONFLICTS):
            key = self._key(_NAMES, f"v{candidate}")
            try:
                self._bucket.replace(key, token, None)
            except ConflictError:
                found = self._bucket.read(key)
                if found is None or found[0] != token:
                    continue  # of another publisher
            return candidate
        raise OutputError(
            f"{self.path}: {_MAX_CONFLICTS} numbers of versions from v{number} on are taken, "
            "although no such version is listed; run the command again later"
        )

    def _read_version(self, folder: str, name: str) -> ModelVersion | None:
        """A version; None if it does not exist, or is still being uploaded."""
        found = self._bucket.read(self._key(folder, name, DETAILS))
        if found is None:
            return None
        return version_of(parse_with_digest(found[0]), name, self._address(folder, name))

    def _read_versions(self, folder: str) -> tuple[list[ModelVersion], dict[str, str]]:
        versions, damaged = [], {}
        with reading(self.path):
            for name in sorted(self._bucket.folders(self._key(folder)), key=name_number):
                try:
                    version = self._read_version(folder, name) if name_number(name) else None
                except ManifestError as error:
                    damaged[self._address(folder, name, DETAILS)] = str(error)
                    continue
                if version is not None:
                    versions.append(version)
        return versions, damaged

    def _delete(self, folder: str, name: str) -> None:
        self._bucket.delete_object(self._key(folder, name, DETAILS))  # then it does not exist
        self._bucket.delete(self._key(folder, name))

    def _key(self, *parts: str) -> str:
        return join_key(self._bucket.key, *parts)

    def _address(self, *parts: str) -> str:
        return join_key(self.path, *parts)

    def _remedy(self) -> str:
        return activation_remedy(self.path, self.versions())


def is_remote_registry(url: str) -> bool:
    """Whether there is a registry at an address, even if its manifest is damaged.

    Raises:
        ArtifactError: the address cannot be read.
    """
    with reading(url):
        bucket = Bucket.connect(url)
        found = bucket.read(join_key(bucket.key, MANIFEST))
        if found is None:
            return False
        try:
            return parse_manifest(found[0]).get("kind") == KIND
        except ManifestError:
            return bucket.exists(join_key(bucket.key, POINTER))
