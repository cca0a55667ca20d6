"""A file of a log, wherever its bytes are stored."""

from __future__ import annotations

import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from typing import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.data.readers.file_names import Partitions

_COPY_BYTES = 1 << 20

Layout = Literal["file", "delta", "iceberg"]


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of a log: on a disk, in an archive, in object storage, or standard input.

    Attributes:
        label: the file in messages, such as a path or `a.zip!clicks.csv`.
        open_stored: opens the stored bytes, compressed or not, at their start.
        path: where the stored bytes are on the disk, None if they are elsewhere.
        url: address in object storage, None for other files.
        partitions: columns that the names of the folders state, such as `date=2024-01-01`.
        layout: `file`, or the kind of a table that consists of a folder of files.
    """

    label: str
    open_stored: Callable[[], BinaryIO]
    path: Path | None = None
    url: str | None = None
    partitions: Partitions = ()
    layout: Layout = "file"

    def __str__(self) -> str:
        return self.label

    @property
    def name(self) -> str:
        """The name without the folder or the archive."""
        return PurePosixPath(self.label.rpartition("!")[2]).name

    @property
    def suffix(self) -> str:
        """The suffix of the name."""
        return PurePosixPath(self.name).suffix


class TemporaryCopy:
    """A copy of a stream on the disk, deleted when the object is no longer used.

    Attributes:
        path: the copy.
    """

    def __init__(self, stream: BinaryIO) -> None:
        with tempfile.NamedTemporaryFile(prefix="nextclick-", delete=False) as file:
            self.path = Path(file.name)
            self._delete = weakref.finalize(self, self.path.unlink, missing_ok=True)
            copyfileobj(stream, file, _COPY_BYTES)

    def open(self) -> BinaryIO:
        """Open the copy for reading."""
        return self.path.open("rb")


def local_file(path: Path, partitions: Partitions = ()) -> LogFile:
    """Return a file on the disk."""
    return LogFile(str(path), lambda: path.open("rb"), path=path, partitions=partitions)


def table_folder(folder: Path, layout: Layout) -> LogFile:
    """Return a table that consists of a folder of files."""
    return LogFile(str(folder), lambda: folder.open("rb"), path=folder, layout=layout)


def copied_file(label: str, stream: BinaryIO) -> LogFile:
    """Return a file of the bytes of a stream, which is copied to the disk and closed.

    A log is read several times: for its columns, for the format of its times, and for its rows.
    """
    with stream:
        copy = TemporaryCopy(stream)
    return LogFile(label, copy.open, path=copy.path)
