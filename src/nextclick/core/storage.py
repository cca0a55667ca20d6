"""Folders that are whole or not there.

A folder is written beside its place, under a name that begins with a dot, synced, and renamed.
What a killed process leaves behind under such a name is removed by the next one that writes there.
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
    """Yield an empty folder that becomes `target` when the block ends without an error.

    Args:
        target: where the folder shall be.
        overwrite: replace what is there, by one rename of each.

    Raises:
        OutputError: `target` exists, its parent cannot be written, or the disk is full.
    """
    # named before it is made: Ctrl-C in the next moment must find what to remove
    scratch = target.parent / f".{target.name}.{secrets.token_hex(4)}.part"
    lock = None
    try:
        with raising_output_errors(target):
            _refuse_taken(target, overwrite=overwrite)
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(target)
            scratch.mkdir()
            lock = os.open(scratch, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield scratch
            sync_tree(scratch)
            _put_in_place(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _refuse_taken(target: Path, *, overwrite: bool) -> None:
    here = Path.cwd()
    if target.resolve() in (here, *here.parents):
        raise OutputError(f"{target} is a folder that you are in; name a new folder")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(f"{target} is no folder; choose another place")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already; choose another place or say --overwrite")
    if target.exists() and not _is_ours(target):
        raise OutputError(
            f"{target} holds something that nextclick did not write, so it is not overwritten; "
            "choose another place"
        )


def _is_ours(folder: Path) -> bool:
    """Whether a folder is empty, or has a manifest where a store, models or windows have one."""
    places = ("manifest.json", "*/manifest.json", "*/*/manifest.json")
    return not any(folder.iterdir()) or any(any(folder.glob(place)) for place in places)


def _put_in_place(scratch: Path, target: Path) -> None:
    _open_to_readers(scratch)
    if target.exists():
        old = scratch.with_suffix(".old")
        target.rename(old)
        try:
            scratch.rename(target)
        except BaseException:
            old.rename(target)
            raise
        shutil.rmtree(old)
    else:
        scratch.rename(target)
    _sync(target.parent)


def _open_to_readers(scratch: Path) -> None:
    """Give the folder the modes that the user's mask gives, not those of a temporary one."""
    mask = os.umask(0)
    os.umask(mask)
    for path in (scratch, *scratch.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def remove_leftovers(target: Path) -> None:
    """Remove what killed writers of `target` left, but not what a living one is writing."""
    # these names and no other: a folder of somebody's may look much like them
    ours = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.(part|old)")
    for left in target.parent.iterdir():
        if ours.fullmatch(left.name) and not _is_held(left):
            shutil.rmtree(left, ignore_errors=True)


def _is_held(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # another writer was quicker
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
    """Turn a full disk, or a place that cannot be written, into an OutputError.

    Raises:
        OutputError: with what to do.
    """
    try:
        yield
    except OSError as error:
        remedies = {
            errno.ENOSPC: "free some space or choose another disk",
            errno.EDQUOT: "free some of your quota or choose another disk",
            errno.EFBIG: "raise the limit on file size",
            errno.EACCES: "choose a place that you may write to",
            errno.EPERM: "choose a place that you may write to",
            errno.EROFS: "choose a disk that can be written",
            errno.ENOTDIR: "choose a place below a folder",
            errno.EEXIST: "choose a place below a folder",
            errno.ENOENT: "choose a place where folders can be made",
            errno.ENAMETOOLONG: "choose a shorter name",
        }
        # numpy counts the items that found no room, and names no cause
        code = errno.ENOSPC if "requested and" in str(error) else error.errno
        if code not in remedies:
            raise
        raise OutputError(
            f"{target}: cannot be written: {os.strerror(code)}; {remedies[code]}"
        ) from error


def sync_tree(folder: Path) -> None:
    """Bring every file below a folder, and the folders themselves, to the disk."""
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
    """Write one JSON object, readable by people, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

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
    """Write rows of the same names with a header, whole or not at all; None is an empty cell.

    Raises:
        OutputError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def fingerprint(folder: Path, *also: object) -> str:
    """Hash names and contents of all arrays below a folder, and what else is given."""
    paths = sorted(folder.rglob("*.npy"))
    digest = hashlib.blake2b(repr(also).encode(), digest_size=16)
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run
        for path, inner in zip(paths, pool.map(_hashed, paths), strict=True):
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(inner)
    return digest.hexdigest()


def _hashed(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
