"""Atomic writes of folders and files, and fingerprints of arrays.

A folder is written to a hidden sibling folder, synced to disk and renamed to its final name. If a
process is killed, the next process that writes the same folder removes the leftover sibling.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@contextmanager
def atomic_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder that is renamed to `target` when the block ends without an error.

    Args:
        target: the final path of the folder.
        overwrite: replace an existing folder.

    Raises:
        OutputError: `target` exists, its parent is not writable, or the disk is full.
    """
    # the path is known before the folder exists, so that an interrupt in between can clean up
    scratch = target.parent / f".{target.name}.{secrets.token_hex(4)}.part"
    lock = None
    try:
        with raising_output_errors(target):
            _check_target(target, overwrite=overwrite)
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(target)
            scratch.mkdir()
            lock = os.open(scratch, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield scratch
            sync_tree(scratch)
            _move_to_target(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _check_target(target: Path, *, overwrite: bool) -> None:
    current = Path.cwd()
    if target.resolve() in (current, *current.parents):
        raise OutputError(
            f"{target} is the current folder or one of its parents; choose another path"
        )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(f"{target} is not a folder; choose another path")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} already exists; choose another path or pass --overwrite")
    if target.exists() and not _may_be_replaced(target):
        raise OutputError(
            f"{target} contains files that nextclick did not write and is not overwritten; "
            "choose another path"
        )


def _may_be_replaced(folder: Path) -> bool:
    """Whether a folder is empty, or has the manifest of a store, of models or of windows."""
    patterns = ("manifest.json", "*/manifest.json", "*/*/manifest.json")
    return not any(folder.iterdir()) or any(any(folder.glob(pattern)) for pattern in patterns)


def _move_to_target(scratch: Path, target: Path) -> None:
    _apply_umask(scratch)
    if target.exists():
        previous = scratch.with_suffix(".old")
        target.rename(previous)
        try:
            scratch.rename(target)
        except BaseException:
            previous.rename(target)
            raise
        shutil.rmtree(previous)
    else:
        scratch.rename(target)
    _sync(target.parent)


def _apply_umask(scratch: Path) -> None:
    """Set the default file modes of the user's umask instead of those of a temporary folder."""
    mask = os.umask(0)
    os.umask(mask)
    for path in (scratch, *scratch.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def remove_leftovers(target: Path) -> None:
    """Remove the scratch folders of killed writers of `target`; running writers keep theirs."""
    # the full name is matched, because unrelated folders may have similar names
    scratch_name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.(part|old)")
    for path in target.parent.iterdir():
        if scratch_name.fullmatch(path.name) and not _is_locked(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_locked(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # another writer has removed it
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def raising_output_errors(target: Path) -> Iterator[None]:
    """Convert an OSError of a write, such as a full disk, into an OutputError.

    Raises:
        OutputError: `target` cannot be written; the message states the cause and a remedy.
    """
    try:
        yield
    except OSError as error:
        remedies = {
            errno.ENOSPC: "free some space or choose another disk",
            errno.EDQUOT: "free some space in the disk quota or choose another disk",
            errno.EFBIG: "raise the limit on file size",
            errno.EACCES: "choose a writable path",
            errno.EPERM: "choose a writable path",
            errno.EROFS: "choose a writable disk",
            errno.ENOTDIR: "choose a path inside a folder",
            errno.EEXIST: "choose a path inside a folder",
            errno.ENOENT: "choose a path where folders can be created",
            errno.ENAMETOOLONG: "choose a shorter name",
        }
        # NumPy reports a full disk as "... requested and ... written", without an errno
        code = errno.ENOSPC if "requested and" in str(error) else error.errno
        if code not in remedies:
            raise
        raise OutputError(
            f"{target}: cannot be written: {os.strerror(code)}; {remedies[code]}"
        ) from error


def sync_tree(folder: Path) -> None:
    """Sync a folder and everything below it to disk."""
    for path in sorted(folder.rglob("*"), reverse=True):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    with raising_output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.write_text(text, encoding="utf-8")
            _sync(scratch)
            scratch.replace(path)
            _sync(path.parent)
        finally:
            scratch.unlink(missing_ok=True)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same keys as CSV with a header, atomically; None is an empty cell.

    Raises:
        OutputError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def fingerprint(folder: Path, *extra: object) -> str:
    """Hash the names and contents of all arrays below a folder, and the `repr` of `extra`."""
    paths = sorted(folder.rglob("*.npy"))
    digest = hashlib.blake2b(repr(extra).encode(), digest_size=16)
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock
        for path, content_hash in zip(paths, pool.map(_hash_file, paths), strict=True):
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(content_hash)
    return digest.hexdigest()


def _hash_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
