"""Stores in object storage: `prepare` uploads them, and `Store.open` downloads them into a cache.

    ADDRESS/
      store.json               kind and version of the current store
      versions/VERSION/…       the files of a store, as in a local folder

Each upload has a version of its own. When it is complete, one request replaces `store.json`, and
the previous version is deleted. Hence a reader finds the previous store or the new one. A folder
of a store that another tool uploaded, without `store.json`, can be opened as well.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nextclick.core.file_digests import MANIFEST, find_damage, list_files
from nextclick.core.manifests import (
    ManifestError,
    check_files,
    parse_manifest,
    read_manifest,
)
from nextclick.core.storage import atomic_folder, raising_output_errors
from nextclick.core.types import silent
from nextclick.data.readers.object_storage import (
    BLOCK_BYTES,
    STORAGE_SCHEMES,
    Bucket,
    StorageError,
)
from nextclick.data.store import KIND, checked_manifest
from nextclick.errors import ConfigError, NextclickWarning, OutputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nextclick.core.types import Progress

POINTER = "store.json"
_VERSIONS = "versions"
_VERSION = re.compile(r"[0-9a-f]{32}")


def cache_folder() -> Path:
    """The folder of the local copies: NEXTCLICK_CACHE, else `~/.cache/nextclick`."""
    return Path(os.environ.get("NEXTCLICK_CACHE") or Path.home() / ".cache" / "nextclick")


def download_store(url: str, progress: Progress = silent) -> Path:
    """Return the local copy of a store; it is downloaded unless the cache has the same content.

    Raises:
        StoreError: there is no store at the address, it cannot be read, or it is damaged.
        OutputError: the cache cannot be written.
        ConfigError: the address is not one of object storage.
    """
    bucket = _connect(url)
    try:
        while True:
            folder = _current_folder(bucket)
            try:
                return _cached_copy(bucket, folder, progress)
            except (StorageError, StoreError):
                # another process may have replaced the store and deleted this version
                if _current_folder(bucket) == folder:
                    raise
    except StorageError as error:
        raise StoreError(f"{url}: cannot be read: {error}") from error


@contextmanager
def uploaded_folder(
    url: str, *, overwrite: bool, replaces: Collection[str], progress: Progress = silent
) -> Iterator[Path]:
    """Yield an empty local folder, uploaded as a store when the block ends without an error.

    Args:
        url: the address of the store.
        overwrite: replace an existing store.
        replaces: the kinds that may be replaced.
        progress: progress callback.

    Raises:
        OutputError: the address exists, must not be replaced, or cannot be written.
        ConfigError: the address is not one of object storage.
    """
    bucket, cache = _connect(url), cache_folder()
    version = secrets.token_hex(16)
    folder = _join(bucket.key, _VERSIONS, version)
    try:
        previous = _check_target(bucket, overwrite, replaces)
        with raising_output_errors(cache):
            cache.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=cache, prefix="upload-") as name, _cleanup(bucket, version):
                # a missing permission fails before the log is read
                bucket.write(_join(folder, MANIFEST), b"")
                yield Path(name)
                _upload(bucket, folder, Path(name), progress)
                _publish(bucket, read_manifest(Path(name) / MANIFEST)["kind"], version, previous)
                _move_to_cache(url, Path(name))
    except StorageError as error:
        raise OutputError(f"{url}: cannot be written: {error}") from error
    if previous is not None:
        _delete_version(bucket, previous.version)


@dataclass(frozen=True, slots=True)
class _Pointer:
    """Content of `store.json`, and what identifies it for a conditional write."""

    kind: str
    version: str
    tags: dict[str, str]


def _connect(url: str) -> Bucket:
    scheme = urlsplit(url).scheme.lower()
    if scheme not in STORAGE_SCHEMES:
        raise ConfigError(
            f"{url}: a store cannot be at an address of {scheme}://; use a folder, or an address "
            "of s3://, gs:// or az://"
        )
    return Bucket.connect(url.rstrip("/"))


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _read_pointer(bucket: Bucket, folder: str) -> _Pointer | None:
    key = _join(folder, POINTER)
    found = bucket.read(key)
    if found is None:
        return None
    try:
        values = parse_manifest(found[0])
    except ManifestError:
        values = {}
    kind, version = str(values.get("kind")), str(values.get("version"))
    if not _VERSION.fullmatch(version):
        raise StorageError(
            f"{bucket.root}/{key} does not name a version of a store; choose another address"
        )
    return _Pointer(kind, version, found[1])


def _current_folder(bucket: Bucket) -> str:
    """The folder of the files of a store, or of one window of a series of stores."""
    parent, _, name = bucket.key.rpartition("/")
    for folder, window in ((bucket.key, ""), (parent, name))[: 2 if name else 1]:
        pointer = _read_pointer(bucket, folder)
        if pointer is not None:
            return _join(folder, _VERSIONS, pointer.version, window)
    return bucket.key


def _cached_copy(bucket: Bucket, folder: str, progress: Progress) -> Path:
    """The local copy of the store whose files are in a folder, downloaded if it is missing."""
    found = bucket.read(_join(folder, MANIFEST))
    if found is None:
        next(bucket.sizes(folder), None)  # the error of a missing bucket says so
        raise StoreError(
            f"{bucket.url}: there is neither {POINTER} nor {MANIFEST} below this address; check "
            "it, or prepare a log with this address as --output"
        )
    manifest = checked_manifest(bucket.url, lambda: parse_manifest(found[0]))
    target = _local_copy(bucket.url, manifest)
    if not _is_complete(target, manifest):
        with atomic_folder(target, overwrite=True, replaces=(KIND,)) as scratch:
            _download(bucket, folder, manifest["files"], scratch, progress)
            (scratch / MANIFEST).write_bytes(found[0])
    return target


def _local_copy(url: str, manifest: dict[str, Any]) -> Path:
    name = url.rstrip("/").rpartition("/")[2]
    name = name if name.strip(".") else "store"
    return cache_folder() / "stores" / str(manifest["digest"]) / name


def _is_complete(folder: Path, manifest: dict[str, Any]) -> bool:
    try:
        is_same = read_manifest(folder / MANIFEST) == manifest
        return is_same and find_damage(folder, manifest["files"], remember=True) is None
    except (OSError, ManifestError):
        return False


def _download(
    bucket: Bucket, folder: str, files: dict[str, str], scratch: Path, progress: Progress
) -> None:
    sizes = dict(bucket.sizes(folder))
    total = sum(sizes.get(_join(folder, name), 0) for name in files)
    done = 0
    for name in files:
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for block in bucket.blocks(_join(folder, name)):
                file.write(block)
                done += len(block)
                progress("download bytes", done, total)
    try:
        check_files(scratch, files)
    except ManifestError as error:
        raise StoreError(f"{bucket.url}: {error}; prepare the log again") from error


def _check_target(bucket: Bucket, overwrite: bool, replaces: Collection[str]) -> _Pointer | None:
    """Check that a store may be written at an address; return the one that is there."""
    pointer, url = _read_pointer(bucket, bucket.key), bucket.url
    own, folder = _join(bucket.key, POINTER), _join(bucket.key, _VERSIONS) + "/"
    keys = (key for key, _ in bucket.sizes(bucket.key))
    foreign = next((key for key in keys if key != own and not key.startswith(folder)), None)
    if not overwrite and (pointer is not None or foreign is not None):
        raise OutputError(f"{url} already exists; choose another address or pass --overwrite")
    if pointer is not None and pointer.kind not in replaces:
        raise OutputError(
            f"{url} holds a {pointer.kind:.80}, which a store does not replace; choose another "
            "address"
        )
    if foreign is not None:
        raise OutputError(
            f"{url} contains {bucket.root}/{foreign}, which is not part of a store that nextclick "
            "uploaded, and is not overwritten; choose another address"
        )
    return pointer


def _upload(bucket: Bucket, folder: str, source: Path, progress: Progress) -> None:
    sizes = {name: (source / name).stat().st_size for name in list_files(source)}
    total, done = sum(sizes.values()), 0

    def blocks(path: Path) -> Iterator[bytes]:
        nonlocal done
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
                done += len(block)
                progress("upload bytes", done, total)

    for name, size in sizes.items():
        data = blocks(source / name)
        bucket.write(_join(folder, name), data if size > BLOCK_BYTES else b"".join(data))


def _publish(bucket: Bucket, kind: str, version: str, previous: _Pointer | None) -> None:
    """Replace `store.json`."""
    data = json.dumps({"kind": kind, "version": version}).encode()
    try:
        tags = None if previous is None else previous.tags
        bucket.replace(_join(bucket.key, POINTER), data, tags)
    except StorageError as error:
        current = _read_pointer(bucket, bucket.key)
        if current is not None and current.version == version:
            return  # the answer was lost, and the repeated request found the pointer changed
        if current != previous:
            raise OutputError(
                f"{bucket.url} was written by another process in the meantime; run the command "
                "again with --overwrite, or choose another address"
            ) from error
        raise


@contextmanager
def _cleanup(bucket: Bucket, version: str) -> Iterator[None]:
    """Delete a version if the block fails before it is the current one."""
    try:
        yield
    except BaseException:
        with suppress(StorageError):
            current = _read_pointer(bucket, bucket.key)
            if current is None or current.version != version:
                bucket.delete(_join(bucket.key, _VERSIONS, version))
        raise


def _delete_version(bucket: Bucket, version: str) -> None:
    folder = _join(bucket.key, _VERSIONS, version)
    try:
        bucket.delete(folder)
    except StorageError as error:
        warnings.warn(
            f"{bucket.url} is written, but its previous version {bucket.root}/{folder} cannot be "
            f"deleted: {error}",
            NextclickWarning,
            stacklevel=2,
        )


def _move_to_cache(url: str, source: Path) -> None:
    """Move every store of an uploaded folder to the cache, so that it is not downloaded."""
    for file in sorted(source.rglob(MANIFEST)):
        manifest, folder = read_manifest(file), file.parent
        if manifest["kind"] == KIND:
            target = _local_copy(_join(url, folder.relative_to(source).as_posix()), manifest)
            with atomic_folder(target, overwrite=True, replaces=(KIND,)) as scratch:
                for path in folder.iterdir():
                    path.rename(scratch / path.name)
