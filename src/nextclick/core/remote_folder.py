"""Stores and artifacts in object storage: downloads into the local cache.

    ADDRESS/
      store.json               kind and version of the current store; artifact.json of an artifact
      versions/VERSION/…       the files, as in a local folder

Each upload has a version of its own; see `remote_upload`. A folder that another tool uploaded,
without `store.json`, can be opened as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextclick.core.file_digests import MANIFEST, find_damage
from nextclick.core.local_cache import copy_lock, local_copy, mark_used, remove_unused
from nextclick.core.manifests import ManifestError, check_files, parse_manifest, read_manifest
from nextclick.core.object_storage import STORAGE_SCHEMES, StorageError
from nextclick.core.storage import atomic_folder
from nextclick.core.storage_connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nextclick.core.storage_connection import Storage
    from nextclick.core.types import Progress
    from nextclick.errors import InputError

VERSIONS = "versions"
_VERSION = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class FolderKind:
    """A kind of folder that can be at an address.

    Attributes:
        noun: "store" or "artifact".
        kind: field `kind` of its manifest.
        check: called with the address and the parsed manifest; raises an error for a manifest of
            another kind or version, or a damaged one.
        error: class of the errors of a folder that cannot be read.
        unreachable: class of the errors of a server that does not answer.
        create: command that creates one.
        repair: what to do if the folder is damaged.
        in_parts: whether an address below another one may be a part of it.
        expires: whether its copies are deleted some time after their last use.
        schemes: schemes of the addresses where it can be.
    """

    noun: str
    kind: str
    check: Callable[[str, dict[str, Any]], object]
    error: type[InputError]
    unreachable: type[InputError]
    create: str
    repair: str
    in_parts: bool = False
    expires: bool = False
    schemes: tuple[str, ...] = STORAGE_SCHEMES

    @property
    def pointer(self) -> str:
        """Name of the object that names the current version."""
        return f"{self.noun}.json"


@dataclass(frozen=True, slots=True)
class Pointer:
    """Content of `store.json`, and what identifies it for a conditional write."""

    kind: str
    version: str
    tags: dict[str, str]


def join_key(*parts: str) -> str:
    """Join the parts of a key."""
    return "/".join(part for part in parts if part)


def download_folder(kind: FolderKind, url: str, progress: Progress) -> Path:
    """Return the local copy of a folder; it is downloaded unless the cache has the same content.

    Raises:
        InputError: of the class `kind.error`: there is no such folder, or it is damaged; of the
            class `kind.unreachable`: a request failed.
        OutputError: the cache cannot be written.
    """
    try:
        bucket = connect(url.rstrip("/"))
        while True:
            folder = current_folder(kind, bucket)
            try:
                return _cached_copy(kind, bucket, folder, progress)
            except (StorageError, kind.error):
                # another process may have replaced the folder and deleted this version
                if current_folder(kind, bucket) == folder:
                    raise
    except StorageError as error:
        raise kind.unreachable(f"{url}: cannot be read: {error}") from error


def read_pointer(kind: FolderKind, bucket: Storage, folder: str) -> Pointer | None:
    """The pointer of a folder, None without one.

    Raises:
        StorageError: a request failed, or it is not a pointer.
    """
    key = join_key(folder, kind.pointer)
    found = bucket.read(key)
    if found is None:
        return None
    try:
        values = parse_manifest(found[0])
    except ManifestError:
        values = {}
    version = str(values.get("version"))
    if not _VERSION.fullmatch(version):
        raise StorageError(f"{bucket.root}/{key} does not name a version; choose another address")
    return Pointer(str(values.get("kind")), version, found[1])


def current_folder(kind: FolderKind, bucket: Storage) -> str:
    """The folder of the files at an address, or of a part of those at the address above it.

    Raises:
        StorageError: a request failed, or the pointer is not one.
    """
    parent, _, name = bucket.key.rpartition("/")
    places = [(bucket.key, ""), (parent, name)]
    for folder, part in places if kind.in_parts and name else places[:1]:
        pointer = read_pointer(kind, bucket, folder)
        if pointer is not None:
            return join_key(folder, VERSIONS, pointer.version, part)
    return bucket.key


def _cached_copy(kind: FolderKind, bucket: Storage, folder: str, progress: Progress) -> Path:
    """The local copy of the folder of a key, downloaded if it is missing."""
    found = bucket.read(join_key(folder, MANIFEST))
    if found is None:
        raise kind.error(
            f"{bucket.url}: there is neither {kind.pointer} nor {MANIFEST} below this address; "
            f"check it, or {kind.create}"
        )
    try:
        manifest = parse_manifest(found[0])
    except ManifestError as error:
        raise kind.error(f"{bucket.url}/{MANIFEST}: {error}; {kind.repair}") from error
    kind.check(bucket.url, manifest)
    copy = local_copy(kind.noun, str(manifest["digest"]), bucket.url)
    with copy_lock(copy):
        if not _is_complete(copy, manifest):
            with atomic_folder(copy, overwrite=True, replaces=(kind.kind,)) as scratch:
                _download(kind, bucket, folder, scratch, manifest["files"], progress)
                (scratch / MANIFEST).write_bytes(found[0])
            if kind.expires:
                remove_unused(copy)
        mark_used(copy)
    return copy


def _is_complete(folder: Path, manifest: dict[str, Any]) -> bool:
    try:
        is_same = read_manifest(folder / MANIFEST) == manifest
        return is_same and find_damage(folder, manifest["files"], remember=True) is None
    except (OSError, ManifestError):
        return False


def _download(
    kind: FolderKind,
    bucket: Storage,
    folder: str,
    scratch: Path,
    files: dict[str, str],
    progress: Progress,
) -> None:
    sizes = dict(bucket.sizes(folder))
    total = sum(sizes.get(join_key(folder, name), 0) for name in files)
    done = 0
    for name in files:
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for block in bucket.blocks(join_key(folder, name)):
                file.write(block)
                done += len(block)
                progress("download bytes", done, total)
    try:
        check_files(scratch, files)
    except ManifestError as error:
        raise kind.error(f"{bucket.url}: {error}; {kind.repair}") from error
