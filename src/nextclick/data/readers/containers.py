"""Opens files of a log as decompressed streams, by their content and not by their name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from nextclick.data.readers.content_kinds import (
    HEAD_BYTES,
    compression_of,
    kind_of,
    unreadable_content,
)
from nextclick.data.readers.decompression import checked_stream, decompress
from nextclick.data.readers.log_file import LogFile, local_file
from nextclick.errors import SourceError

if TYPE_CHECKING:
    import io
    from typing import BinaryIO

_MAX_LAYERS = 4  # compressions around one another


def as_log_file(file: Path | LogFile) -> LogFile:
    """Return a path as a file of a log."""
    return local_file(file) if isinstance(file, Path) else file


def open_stream(file: Path | LogFile) -> BinaryIO:
    """Open a file as a stream of its decompressed bytes; the memory does not grow with the file.

    gzip, bzip2, xz and zstd are recognized by their content. Reading from the stream raises OSError
    if the compressed data is damaged, and EOFError if it ends early.
    """
    stream = checked_stream(cast("io.RawIOBase", as_log_file(file).open_stored()))
    try:
        for _ in range(_MAX_LAYERS):
            compression = compression_of(_peek(stream))
            if compression is None:
                break
            stream = decompress(cast("BinaryIO", stream), compression)
    except BaseException:
        stream.close()
        raise
    return cast("BinaryIO", stream)


def head_of(file: Path | LogFile) -> bytes:
    """Return the first decompressed bytes of a file."""
    with open_stream(file) as stream:
        return stream.read(HEAD_BYTES)


def content_kind(file: Path | LogFile) -> str:
    """Return what a file holds once it is decompressed; see `content_kinds.kind_of`."""
    return kind_of(head_of(file))


def holds_table(file: LogFile) -> bool:
    """Return whether a file may hold the rows of a log."""
    return content_kind(file) not in ("empty", "unreadable")


def is_compressed(file: LogFile) -> bool:
    """Return whether the stored bytes of a file are compressed."""
    with file.open_stored() as stream:
        return compression_of(stream.read(HEAD_BYTES)) is not None


def reject_unreadable(file: LogFile) -> None:
    """Raise the error that says what a file of an unreadable kind is.

    Raises:
        SourceError: the file is of a kind that cannot be read.
    """
    content = unreadable_content(head_of(file))
    if content is not None:
        what, remedy = content
        raise SourceError(f"{file}: the file is {what}, which cannot be read; {remedy}")


def _peek(stream: io.BufferedReader) -> bytes:
    return stream.peek(HEAD_BYTES)
