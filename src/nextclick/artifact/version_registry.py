"""Versions of a trained model in one folder, and a pointer to the current one.

REGISTRY/
manifest.json         kind and format
current.json          the name of the current version; replaced by one rename
versions/v1/, v2/ …   artifacts, each with a version.json: when, why, what was measured
rejected/v3/ …        the same, kept aside: they were never published

A version is written whole or not at all, and never changed afterwards; the pointer is moved after
it is on the disk. So there is a current version that can be loaded at any moment, also after a
process was killed. Readers take no lock: they read the pointer, then the folder that it names.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nextclick.artifact.artifact import Artifact, read_manifest
from nextclick.core.storage import atomic_folder, raising_output_errors, write_json
from nextclick.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT_VERSION = 1
KIND = "nextclick.registry"
_NAME = re.compile(r"v([1-9]\d*)")


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registry.

    Attributes:
        name: `v1`, `v2`, …; a name is given once.
        number: that of the name; a later version has a higher one.
        path: its folder, an artifact.
        created: when it was written, ISO 8601 in UTC.
        metrics: what was measured before it was published, {} if nothing was.
        note: a line for people.
        reason: why it is kept aside; None for one that may be current.
    """

    name: str
    number: int
    path: Path
    created: str
    metrics: dict[str, Any]
    note: str
    reason: str | None = None


class Registry:
    """An open registry. Nothing is remembered: every call reads what the folder says now."""

    def __init__(self, path: str | Path):
        """Open a folder that `create` made.

        Raises:
            ArtifactError: there is none, or it has a newer format.
        """
        self.path = Path(path)
        found = _read_json(self.path / "manifest.json")
        if found is None or found.get("kind") != KIND:
            raise ArtifactError(
                f"{self.path} is not a registry of versions; make one with "
                "`nextclick publish ARTIFACT REGISTRY`"
            )
        if found.get("format_version") != FORMAT_VERSION:
            raise ArtifactError(
                f"{self.path} has registry format {found.get('format_version')}, this nextclick "
                f"reads {FORMAT_VERSION}; upgrade nextclick"
            )

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """Make an empty registry, or open the one that is there.

        Raises:
            OutputError: something else is there, or the place cannot be written.
        """
        folder = Path(path)
        if not is_registry(folder):
            with atomic_folder(folder) as scratch:
                (scratch / "versions").mkdir()
                (scratch / "rejected").mkdir()
                told = {"kind": KIND, "format_version": FORMAT_VERSION}
                (scratch / "manifest.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
        return cls(folder)

    def current(self) -> ModelVersion:
        """Return the version that is to be used.

        Raises:
            ArtifactError: nothing was published yet, or the pointer is broken.
        """
        file = self.path / "current.json"
        if not file.exists():
            raise ArtifactError(
                f"{self.path} has no current version; publish one with "
                "`nextclick publish ARTIFACT REGISTRY`"
            )
        told = _read_json(file) or {}
        return self.version(str(told.get("version")))

    def version(self, name: str) -> ModelVersion:
        """Return a published version by its name.

        Raises:
            ArtifactError: there is none of that name.
        """
        found = {version.name: version for version in self.versions()}
        if name not in found:
            known = ", ".join(found) or "none"
            raise ArtifactError(f"{self.path} has no version {name!r}; published: {known}")
        return found[name]

    def versions(self) -> list[ModelVersion]:
        """All published versions, the first one first."""
        return self._listed("versions")

    def rejected(self) -> list[ModelVersion]:
        """All that were kept aside, each with its reason."""
        return self._listed("rejected")

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
            artifact: loaded, or its folder, which is loaded to see that it can be.
            metrics: what was measured.
            note: a line for people.
            follows: name of the version that must still be current.

        Raises:
            ArtifactError: it cannot be loaded, or another version than `follows` is current.
            OutputError: the registry cannot be written.
        """
        with self._locked():
            if follows is not None and (now := self.current().name) != follows:
                raise ArtifactError(
                    f"{self.path}: {now} has become the current version while this one was made "
                    f"from {follows}; make it again from {now}"
                )
            version = self._add("versions", artifact, metrics, note, None)
            self._point_to(version)
        return version

    def keep_aside(
        self,
        artifact: Artifact | str | Path,
        reason: str,
        *,
        metrics: dict[str, Any] | None = None,
        note: str = "",
    ) -> ModelVersion:
        """Keep a version that is not to be used, for people to look at; the pointer stays.

        Raises:
            ArtifactError: it cannot be loaded.
            OutputError: the registry cannot be written.
        """
        with self._locked():
            return self._add("rejected", artifact, metrics, note, reason)

    def activate(self, name: str) -> ModelVersion:
        """Make a published version the current one, such as the one before.

        Raises:
            ArtifactError: there is none of that name, or it is broken.
            OutputError: the registry cannot be written.
        """
        with self._locked():
            version = self.version(name)
            read_manifest(version.path)
            self._point_to(version)
        return version

    def _add(
        self,
        shelf: str,
        artifact: Artifact | str | Path,
        metrics: dict[str, Any] | None,
        note: str,
        reason: str | None,
    ) -> ModelVersion:
        number = 1 + max((v.number for v in (*self.versions(), *self.rejected())), default=0)
        target = self.path / shelf / f"v{number}"
        about: dict[str, Any] = {
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
                shutil.copytree(artifact, scratch, dirs_exist_ok=True)
            text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
            (scratch / "version.json").write_text(text, encoding="utf-8")
        return ModelVersion(target.name, number, target, **about)

    def _point_to(self, version: ModelVersion) -> None:
        write_json(self.path / "current.json", {"version": version.name})

    def _listed(self, shelf: str) -> list[ModelVersion]:
        found = []
        for path in (self.path / shelf).iterdir():
            name = _NAME.fullmatch(path.name)  # what is being written begins with a dot
            about = _read_json(path / "version.json") if name is not None else None
            if name is not None and about is not None:
                found.append(
                    ModelVersion(
                        name=path.name,
                        number=int(name[1]),
                        path=path,
                        created=str(about.get("created", "")),
                        metrics=dict(about.get("metrics") or {}),
                        note=str(about.get("note", "")),
                        reason=about.get("reason"),
                    )
                )
        return sorted(found, key=lambda version: version.number)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time; the lock of a dead one is gone with it."""
        with raising_output_errors(self.path):
            handle = os.open(self.path / "manifest.json", os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def is_registry(path: str | Path) -> bool:
    """Whether a folder is a registry of versions."""
    found = _read_json(Path(path) / "manifest.json")
    return found is not None and found.get("kind") == KIND


def artifact_folder(path: str | Path) -> Path:
    """Return the artifact behind a path: the current version of a registry, or the path itself.

    Raises:
        ArtifactError: the registry has no current version.
    """
    return Registry(path).current().path if is_registry(path) else Path(path)


def _read_json(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
