"""A file system that stops at a chosen step, as a killed process leaves it.

Every call that changes files below a folder is a point: `os.fsync`, `os.rename`, `os.replace`,
`os.mkdir`, `os.unlink`, `os.rmdir`, the exchange of two folders, and each write of a file. A write
has a second point, at which half of the file is on the disk. From the chosen point on, every such
call raises `Killed`, so that no clean-up runs.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import nextclick.artifact.artifact as artifact_module
import nextclick.data.part_writer as part_writer
from nextclick.core import storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Killed(BaseException):
    """The process has been killed."""


class FaultPoints:
    """Counts the points, and stops at number `stop_at` (from 0); None never stops."""

    def __init__(self, root: Path, stop_at: int | None = None):
        self.root = str(root)
        self.stop_at = stop_at
        self.names: list[str] = []

    def reach(self, name: str) -> bool:
        """Pass a point; True if the process stops here or has stopped before."""
        if self.stop_at is not None and len(self.names) > self.stop_at:
            return True
        self.names.append(name)
        return self.stop_at is not None and len(self.names) > self.stop_at

    def concerns(self, path: Any) -> bool:
        return isinstance(path, int) or str(path).startswith(self.root) or "/" not in str(path)

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call after a point, if it concerns a file below the root."""

        def wrapped(path: Any, *args: Any, **options: Any) -> Any:
            if self.concerns(path) and self.reach(name):
                raise Killed(name)
            return call(path, *args, **options)

        return wrapped

    def wrap_write(self, name: str, call: Callable[..., Any], place: int) -> Callable[..., Any]:
        """A call that writes the file of argument `place`: a point before it and amid it."""

        def wrapped(*args: Any, **options: Any) -> Any:
            path = Path(args[place])
            if not self.concerns(path):
                return call(*args, **options)
            if self.reach(name):
                raise Killed(name)
            result = call(*args, **options)
            if self.reach(f"half of {name}"):
                if isinstance(result, IOBase):
                    result.close()
                with path.open("r+b") as file:
                    file.truncate(path.stat().st_size // 2)
                raise Killed(name)
            return result

        return wrapped


@contextmanager
def fault_points(
    root: Path, stop_at: int | None = None, *, can_exchange: bool = True
) -> Iterator[FaultPoints]:
    """Count the points within the block, and stop at one; the block then ends without an error."""
    points = FaultPoints(root, stop_at)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir"):
            patch.setattr(os, name, points.wrap(name, getattr(os, name)))
        exchange = storage.exchange_folders if can_exchange else lambda first, second: False
        patch.setattr(storage, "exchange_folders", points.wrap("exchange", exchange))
        patch.setattr(np, "save", points.wrap_write("np.save", np.save, 0))
        patch.setattr(Path, "write_text", points.wrap_write("write_text", Path.write_text, 0))
        patch.setattr(shutil, "copyfile", points.wrap_write("copyfile", shutil.copyfile, 1))
        for module, name, place in (
            (artifact_module, "write_tensors", 0),
            (part_writer, "create_array", 0),
        ):
            patch.setattr(module, name, points.wrap_write(name, getattr(module, name), place))
        try:
            yield points
        except Killed:
            assert stop_at is not None
