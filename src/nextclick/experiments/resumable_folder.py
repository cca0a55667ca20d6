"""A folder that several runs of one command add to, each going on where the last one ended.

Its manifest says what the work is; a run that means other work is refused, and so is a second
process in the same folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nextclick.core.storage import raising_output_errors, write_json
from nextclick.errors import ConfigError, OutputError
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FORMAT_VERSION = 1
_MANIFEST = "manifest.json"


@contextmanager
def growing_folder(
    folder: Path, kind: str, work: Mapping[str, Any], *, overwrite: bool
) -> Iterator[None]:
    """Hold a folder for some work, new or begun by an earlier run.

    Args:
        folder: where; made if it is not there.
        kind: of folder, such as nextclick.study.
        work: names and JSON values of what the work is.
        overwrite: begin anew.

    Raises:
        OutputError: the folder holds something else, is in use, or cannot be written.
        ConfigError: it holds other work of the same kind; with what differs.
    """
    with raising_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{folder} is in use by another process; wait until it ends, or choose another "
                "place"
            ) from None
        found = _manifest(folder, kind)
        if found is not None and overwrite:
            _clear(folder)
            found = None
        # as it will be read, so that both are of JSON's types
        told = json.loads(json.dumps(work))
        if found is None:
            about = {"kind": kind, "format_version": FORMAT_VERSION, "nextclick": __version__}
            write_json(folder / _MANIFEST, about | told)
        else:
            _check_same(folder, found, told)
        yield
    finally:
        os.close(handle)


def _manifest(folder: Path, kind: str) -> dict[str, Any] | None:
    """What the folder says it is; None if it is empty."""
    # a killed run may have left a file that begins with a dot
    if not any(not path.name.startswith(".") for path in folder.iterdir()):
        return None
    try:
        found: dict[str, Any] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        same = found["kind"] == kind
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise OutputError(
            f"{folder} holds something that is no {kind}, so nothing is added to it; choose "
            "another place"
        )
    return found


def _check_same(folder: Path, found: Mapping[str, Any], work: Mapping[str, Any]) -> None:
    differing = [
        f"{name} is {found.get(name)!r} there and {value!r} now"
        for name, value in work.items()
        if found.get(name) != value
    ]
    if differing:
        raise ConfigError(
            f"{folder} was begun for other work: {'; '.join(differing)}. Name another folder, or "
            "say --overwrite to begin anew"
        )


def _clear(folder: Path) -> None:
    (folder / _MANIFEST).unlink()
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
