"""The pointer of a registry in object storage to its current version."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextclick.artifact.model_version import encode_with_digest, name_number
from nextclick.artifact.registry_format import not_current
from nextclick.core.manifests import ManifestError, parse_with_digest
from nextclick.core.object_storage import ConflictError, StorageError
from nextclick.errors import NextclickWarning, OutputError

if TYPE_CHECKING:
    from nextclick.artifact.model_version import ModelVersion
    from nextclick.core.object_storage import Bucket

_MAX_CONFLICTS = 100


@dataclass(frozen=True, slots=True)
class RemotePointer:
    """The object that names the current version.

    Every write has the condition that the object is as it was read, so that no process overwrites
    a pointer that it has not seen.

    Attributes:
        bucket: where it is.
        key: its key.
        registry: address of the registry.
    """

    bucket: Bucket
    key: str
    registry: str

    def replace(self, version: ModelVersion) -> None:
        """Point to a version, whatever the current one is.

        Raises:
            OutputError: a request failed.
        """
        self._replace(version, None, gives_way=False)

    def publish(self, version: ModelVersion, follows: str | None) -> None:
        """Point to a new version, unless another process points to a later one meanwhile.

        Raises:
            OutputError: a request failed.
            ArtifactError: the current version is another one than `follows`.
        """
        self._replace(version, follows, gives_way=True)

    def _replace(self, version: ModelVersion, follows: str | None, *, gives_way: bool) -> None:
        data = encode_with_digest({"version": version.name})
        try:
            for _ in range(_MAX_CONFLICTS):
                current, tags = self._read()
                if current == version.name:
                    return
                if follows is not None and current is not None and current != follows:
                    raise not_current(self.registry, current, follows)
                if gives_way and current is not None and name_number(current) > version.number:
                    self._warn(version, current)
                    return
                try:
                    self.bucket.replace(self.key, data, tags)
                except ConflictError:
                    continue  # another process replaced it, or the answer was lost
                return
        except StorageError as error:
            with suppress(StorageError):
                if self._read()[0] == version.name:
                    return  # only the answer was lost
            raise self._failure(version, str(error)) from error
        raise self._failure(version, "other processes replace the pointer again and again")

    def _read(self) -> tuple[str | None, dict[str, str] | None]:
        """The name in the pointer, None if it is missing or damaged, and what identifies it."""
        found = self.bucket.read(self.key)
        if found is None:
            return None, None
        try:
            return pointed_name(found[0]), found[1]
        except ManifestError:
            return None, found[1]

    def _warn(self, version: ModelVersion, current: str) -> None:
        warnings.warn(
            f"{self.registry}: {current} was published at the same time and is the current "
            f"version; activate {version.name} with `nextclick versions {self.registry} "
            f"--activate {version.name}`",
            NextclickWarning,
            stacklevel=5,
        )

    def _failure(self, version: ModelVersion, reason: str) -> OutputError:
        return OutputError(
            f"{self.registry}: version {version.name} is stored, but it could not be made the "
            f"current one: {reason}; then run `nextclick versions {self.registry} --activate "
            f"{version.name}`"
        )


def pointed_name(content: bytes) -> str:
    """The name of the version in the content of a pointer.

    Raises:
        ManifestError: the content is damaged.
    """
    return str(parse_with_digest(content).get("version"))
