"""Uploads of stores and artifacts to object storage; see `remote_folder` for the objects.

The files are uploaded to a folder of their own, the manifest last. Then one request replaces the
pointer, and the previous version is deleted. Hence a reader finds the previous folder or the new
one.
"""

from __future__ import annotations

import json
import secrets
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nextclick.core.file_digests import MANIFEST, list_files
from nextclick.core.local_cache import local_copy, scratch_folder
from nextclick.core.locations import Location, resolve_location
from nextclick.core.manifests import read_manifest
from nextclick.core.object_storage import BLOCK_BYTES, ConflictError, StorageError, writing
from nextclick.core.overwrite_check import check_target
from nextclick.core.remote_folder import VERSIONS, FolderKind, Pointer, join_key, read_pointer
from nextclick.core.storage import atomic_folder
from nextclick.core.storage_connection import connect
from nextclick.core.types import silent
from nextclick.errors import NextclickWarning, OutputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nextclick.core.storage_connection import Storage
    from nextclick.core.types import Progress


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """A folder that is being written, and becomes visible at the end.

    Attributes:
        path: the folder on this machine.
        address: where its files are uploaded to; None for a folder of this machine.
    """

    path: Path
    address: str | None = None

    def child(self, name: str) -> OutputFolder:
        """A folder in this one; the folder itself for an empty name."""
        if not name:
            return self
        address = None if self.address is None else f"{self.address}/{name}"
        return OutputFolder(self.path / name, address)

    def is_complete(self) -> bool:
        """Whether all files are in the folder, and none was written to the address by others."""
        return all(
            (file.parent / name).exists()
            for file in self.path.rglob(MANIFEST)
            for name in read_manifest(file).get("files", ())
        )


@contextmanager
def open_output(
    kind: FolderKind,
    target: Location,
    *,
    overwrite: bool,
    replaces: Collection[str] = (),
    progress: Progress = silent,
) -> Iterator[OutputFolder]:
    """Yield an empty folder that is moved or uploaded to `target` if the block ends without error.

    Args:
        kind: kind of the folder.
        target: its path, or its address.
        overwrite: replace an existing one.
        replaces: further kinds that may be replaced.
        progress: progress callback of the upload.

    Raises:
        OutputError: the target exists, must not be replaced, or cannot be written.
        ConfigError: a folder of this kind cannot be at such an address.
    """
    location = resolve_location(target, kind.schemes)
    kinds = {kind.kind, *replaces}
    if isinstance(location, Path):
        with atomic_folder(location, overwrite=overwrite, replaces=kinds) as folder:
            yield OutputFolder(folder)
    else:
        with _uploaded_folder(kind, location, overwrite, kinds, progress) as output:
            yield output


def check_output(kind: FolderKind, target: Location, *, overwrite: bool) -> None:
    """Check that `open_output` may write to a target, for use before a long computation.

    Raises:
        OutputError: the target exists, must not be replaced, or cannot be written.
        ConfigError: a folder of this kind cannot be at such an address.
    """
    location = resolve_location(target, kind.schemes)
    if isinstance(location, Path):
        check_target(location, overwrite=overwrite, replaces=(kind.kind,))
        return
    with writing(location):
        bucket = connect(location)
        _check_address(kind, bucket, overwrite, {kind.kind})
        probe = join_key(bucket.key, VERSIONS, secrets.token_hex(16))
        bucket.write(join_key(probe, MANIFEST), b"")
        bucket.delete(probe)


def upload_files(bucket: Storage, folder: str, source: Path, progress: Progress) -> None:
    """Upload all files of a local folder to a key, the manifest last.

    Raises:
        StorageError: a request failed.
    """
    sizes = {name: (source / name).stat().st_size for name in list_files(source)}
    total, done = sum(sizes.values()), 0

    def blocks(path: Path) -> Iterator[bytes]:
        nonlocal done
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
                done += len(block)
                progress("upload bytes", done, total)

    for name in sorted(sizes, key=lambda name: (name == MANIFEST, name)):
        data = blocks(source / name)
        bucket.write(join_key(folder, name), data if sizes[name] > BLOCK_BYTES else b"".join(data))


@contextmanager
def _uploaded_folder(
    kind: FolderKind, url: str, overwrite: bool, replaces: Collection[str], progress: Progress
) -> Iterator[OutputFolder]:
    version = secrets.token_hex(16)
    with writing(url):
        bucket = connect(url)
        folder = join_key(bucket.key, VERSIONS, version)
        previous = _check_address(kind, bucket, overwrite, replaces)
        with scratch_folder() as scratch, _cleanup(kind, bucket, version):
            # a missing permission fails before the content is computed
            bucket.write(join_key(folder, MANIFEST), b"")
            output = OutputFolder(scratch, join_key(url, VERSIONS, version))
            yield output
            upload_files(bucket, folder, scratch, progress)
            written = read_manifest(scratch / MANIFEST)["kind"]
            _publish(kind, bucket, Pointer(written, version, {}), previous)
            if output.is_complete():
                _move_to_cache(kind, url, scratch)
    if previous is not None:
        _delete_version(bucket, previous.version)


def _check_address(
    kind: FolderKind, bucket: Storage, overwrite: bool, replaces: Collection[str]
) -> Pointer | None:
    """Check that a folder may be written at an address; return the pointer that is there."""
    pointer, url = read_pointer(kind, bucket, bucket.key), bucket.url
    own, folder = join_key(bucket.key, kind.pointer), join_key(bucket.key, VERSIONS) + "/"
    keys = (key for key, _ in bucket.sizes(bucket.key))
    foreign = next((key for key in keys if key != own and not key.startswith(folder)), None)
    if not overwrite and (pointer is not None or foreign is not None):
        raise OutputError(f"{url} already exists; choose another address or pass --overwrite")
    if pointer is not None and pointer.kind not in replaces:
        raise OutputError(
            f"{url} holds a {pointer.kind:.80}, which is not replaced by another kind; choose "
            "another address"
        )
    if foreign is not None:
        raise OutputError(
            f"{url} contains {bucket.root}/{foreign}, which nextclick did not upload there, and is "
            "not overwritten; choose another address"
        )
    return pointer


def _publish(kind: FolderKind, bucket: Storage, new: Pointer, previous: Pointer | None) -> None:
    """Replace the pointer."""
    data = json.dumps({"kind": new.kind, "version": new.version}).encode()
    try:
        tags = None if previous is None else previous.tags
        bucket.replace(join_key(bucket.key, kind.pointer), data, tags)
    except StorageError as error:
        current = read_pointer(kind, bucket, bucket.key)
        if current is not None and current.version == new.version:
            return  # the answer was lost, and the repeated request found the pointer changed
        if isinstance(error, ConflictError) or current != previous:
            raise OutputError(
                f"{bucket.url} was written by another process in the meantime; run the command "
                "again with --overwrite, or choose another address"
            ) from error
        raise


@contextmanager
def _cleanup(kind: FolderKind, bucket: Storage, version: str) -> Iterator[None]:
    """Delete a version if the block fails before it is the current one."""
    try:
        yield
    except BaseException:
        with suppress(StorageError):
            current = read_pointer(kind, bucket, bucket.key)
            if current is None or current.version != version:
                bucket.delete(join_key(bucket.key, VERSIONS, version))
        raise


def _delete_version(bucket: Storage, version: str) -> None:
    folder = join_key(bucket.key, VERSIONS, version)
    try:
        bucket.delete(folder)
    except StorageError as error:
        warnings.warn(
            f"{bucket.url} is written, but its previous version {bucket.root}/{folder} cannot be "
            f"deleted: {error}",
            NextclickWarning,
            stacklevel=2,
        )


def _move_to_cache(kind: FolderKind, url: str, source: Path) -> None:
    """Move every folder of an upload to the cache, so that it is not downloaded."""
    for file in sorted(source.rglob(MANIFEST)):
        manifest, folder = read_manifest(file), file.parent
        if manifest["kind"] == kind.kind:
            address = join_key(url, folder.relative_to(source).as_posix())
            copy = local_copy(kind.noun, manifest["digest"], address)
            with atomic_folder(copy, overwrite=True, replaces=(kind.kind,)) as scratch:
                for path in folder.iterdir():
                    path.rename(scratch / path.name)
