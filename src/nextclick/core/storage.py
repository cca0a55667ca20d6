"""Atomic writes of folders and files, and fingerprints of arrays.

A folder NAME is written to its hidden sibling `.NAME.nextclick.part`, synced to disk and moved to
its final name. A lock on the sibling excludes other writers of the same folder; the lock of a
killed process is released by the kernel, and the next writer reuses what it has left.

An existing folder is exchanged with the new one in one system call. Where the kernel cannot do
that, the existing folder is first renamed to `.NAME.nextclick.old`; if the process is killed before
the new folder has its name, the next reader or writer of NAME renames it back.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.core.file_digests import digest_files
from nextclick.core.folder_exchange import exchange_folders
from nextclick.core.manifests import OUT_OF_FILES, OUT_OF_FILES_REMEDY
from nextclick.core.overwrite_check import check_target
from nextclick.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


@contextmanager
def atomic_folder(
    target: Path, *, overwrite: bool = False, replaces: Collection[str] = ()
) -> Iterator[Path]:
    """Yield an empty folder that is moved to `target` when the block ends without an error.

    Args:
        target: the final path of the folder.
        overwrite: replace an existing folder.
        replaces: the kinds of folders that may be replaced; see `check_target`.

    Raises:
        OutputError: `target` exists, is being written by another process, must not be replaced, or
            cannot be written.
    """
    with raising_output_errors(target):
        check_target(target, overwrite=overwrite, replaces=replaces)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked_scratch(target) as scratch:
            # another writer may have finished since the first check
            check_target(target, overwrite=overwrite, replaces=replaces)
            yield scratch
            sync_tree(scratch)
            _move_to_target(scratch, target, replaces)


@contextmanager
def _locked_scratch(target: Path) -> Iterator[Path]:
    """Yield the empty scratch folder of a target; no other process uses it until the block ends."""
    scratch = _sibling(target, "part")
    held: list[int] = []  # filled as soon as a folder is open, so that an interrupt can clean up
    try:
        _lock_scratch(scratch, target, held)
        restore_interrupted(target)
        _remove_unlocked(_sibling(target, "old"))
        _clear(scratch)
        yield scratch
    except BaseException:
        while held:
            os.close(held.pop())
        with suppress(OSError):
            _remove_unlocked(scratch)  # nothing, if another writer has it by now
        raise
    finally:
        while held:
            os.close(held.pop())


def _sibling(target: Path, suffix: str) -> Path:
    return target.parent / f".{target.name}.nextclick.{suffix}"


def _lock_scratch(scratch: Path, target: Path, held: list[int]) -> None:
    """Create the folder, or reuse that of a killed writer; add the handle that locks it to `held`.

    Raises:
        OutputError: another process has locked it.
    """
    while True:
        with suppress(FileExistsError):
            scratch.mkdir()
        try:
            is_locked = _try_lock(scratch, held)
        except FileNotFoundError:  # another writer has finished in between
            continue
        if not is_locked:
            raise OutputError(
                f"{target} is being written by another process; wait until it ends, or choose "
                "another path"
            )
        if _is_same_folder(held[-1], scratch):
            return
        os.close(held.pop())


def _try_lock(folder: Path, held: list[int]) -> bool:
    """Lock a folder and add the handle to `held`; False if another process has locked it."""
    held.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
    try:
        fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held.pop())
        return False
    return True


def _is_same_folder(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove_unlocked(folder: Path) -> None:
    """Remove a folder that a writer has left; a running writer removes its own."""
    held: list[int] = []
    try:
        if _try_lock(folder, held):
            shutil.rmtree(folder)
    except FileNotFoundError:
        return
    finally:
        while held:
            os.close(held.pop())


def restore_interrupted(target: Path) -> None:
    """Rename the previous folder back if a killed writer has left none of that name.

    Raises:
        OSError: it cannot be renamed.
    """
    previous = _sibling(target, "old")
    if os.path.lexists(target) or not previous.is_dir():
        return
    held: list[int] = []
    try:
        # a running writer, which holds the lock, is about to move the new folder here
        if _try_lock(previous, held) and not os.path.lexists(target):
            os.rename(previous, target)  # noqa: PTH104 (the tests inject faults into os.rename)
            sync_path(target.parent)
    finally:
        while held:
            os.close(held.pop())


def _move_to_target(scratch: Path, target: Path, replaces: Collection[str]) -> None:
    _apply_umask(scratch)
    if not target.exists():
        os.rename(scratch, target)  # noqa: PTH104
        sync_path(target.parent)
        return
    # the lock keeps others from taking the replaced folder for that of a killed writer
    replaced = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(replaced, fcntl.LOCK_EX)
        check_target(target, overwrite=True, replaces=replaces)  # files may have been added
        if exchange_folders(scratch, target):
            sync_path(target.parent)
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            _replace_in_two_renames(scratch, target)
    finally:
        os.close(replaced)


def _replace_in_two_renames(scratch: Path, target: Path) -> None:
    previous = _sibling(target, "old")
    os.rename(target, previous)  # noqa: PTH104
    try:
        os.rename(scratch, target)  # noqa: PTH104
    except BaseException:
        os.rename(previous, target)  # noqa: PTH104
        raise
    sync_path(target.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _apply_umask(scratch: Path) -> None:
    """Set the default file modes of the user's umask instead of those of copied files."""
    mask = os.umask(0)
    os.umask(mask)
    for path in (scratch, *scratch.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


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
            errno.ENOTEMPTY: "choose another path",
            errno.ELOOP: "remove the symbolic link",
            **dict.fromkeys(OUT_OF_FILES, OUT_OF_FILES_REMEDY),
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
        sync_path(path)
    sync_path(folder)


def sync_path(path: Path) -> None:
    """Sync a file or the entries of a folder to disk."""
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
            sync_path(scratch)
            os.replace(scratch, path)  # noqa: PTH105
            sync_path(path.parent)
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


def fingerprint(folder: Path, *extra: object, digests: Mapping[str, str] | None = None) -> str:
    """Hash the names and contents of all arrays below a folder, and the `repr` of `extra`.

    Args:
        folder: the folder of the arrays.
        extra: further values.
        digests: those of `digest_files`, if the caller has them.
    """
    content = digest_files(folder) if digests is None else digests
    total = hashlib.blake2b(repr(extra).encode(), digest_size=16)
    for path in sorted(Path(name) for name in content if name.endswith(".npy")):
        total.update(str(path).encode())
        total.update(bytes.fromhex(content[path.as_posix()]))
    return total.hexdigest()
