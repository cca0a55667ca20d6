"""Lists the files of a log in a zip archive."""

from __future__ import annotations

import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from nextclick.data.readers.containers import head_of, holds_table, open_stream
from nextclick.data.readers.content_kinds import kind_of
from nextclick.data.readers.file_names import (
    is_document,
    is_hidden,
    matches_suffix,
    partitions_of,
)
from nextclick.data.readers.log_file import LogFile, copied_file
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PARQUET = (".parquet", ".pq")
_ENCRYPTED = 1  # bit of the flags of a member
_OTHER_KINDS = (
    ("xl/", "an Excel workbook", "save the sheet as CSV"),
    ("word/", "a Word document", "save the table as CSV"),
    ("ppt/", "a PowerPoint document", "save the table as CSV"),
    ("META-INF/manifest.xml", "an OpenDocument file", "save the sheet as CSV"),
    ("META-INF/MANIFEST.MF", "a Java archive", "pass the log itself"),
)


def zip_members(file: LogFile, suffixes: Sequence[str]) -> list[LogFile]:
    """Return the files of a log in a zip archive; none if the file is not a zip archive.

    Raises:
        SourceError: the archive is of another program, has no file of a log, is encrypted, or is
            damaged.
    """
    if file.layout != "file" or (file.url and file.name.endswith(_PARQUET)):
        return []
    if kind_of(head_of(file)) != "zip":
        return []
    archive = _on_disk(file)
    try:
        names = _names(archive)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise SourceError(
            f"{file}: the zip archive cannot be read ({error}); it may be incomplete, so copy or "
            "download it again"
        ) from error
    by_suffix = [name for name in names if matches_suffix(name, suffixes)]
    members = [_member(archive, name) for name in by_suffix or names]
    files = [found for member in members for found in zip_members(member, suffixes) or [member]]
    if not by_suffix:
        files = [found for found in files if holds_table(found)]
    if not files:
        raise SourceError(f"{file}: no file in this archive holds a table; pass the log itself")
    return files


def _on_disk(file: LogFile) -> LogFile:
    """Return the archive as a file on the disk, because its directory is at its end."""
    with file.open_stored() as stored:
        is_plain = stored.read(2) == b"PK"
    if file.path is not None and is_plain:
        return file
    return copied_file(file.label, open_stream(file))


def _names(archive: LogFile) -> list[str]:
    assert archive.path is not None
    with zipfile.ZipFile(archive.path) as opened:
        infos = [info for info in opened.infolist() if not info.is_dir()]
    for start, what, remedy in _OTHER_KINDS:
        if any(info.filename.startswith(start) for info in infos):
            raise SourceError(f"{archive}: the file is {what}, which cannot be read; {remedy}")
    names = [i for i in infos if not any(map(is_hidden, PurePosixPath(i.filename).parts))]
    for info in names:
        if info.flag_bits & _ENCRYPTED:
            raise SourceError(
                f"{archive}!{info.filename}: the file is encrypted; unpack the archive with its "
                "password"
            )
    return sorted(info.filename for info in names if not is_document(info.filename))


def _member(archive: LogFile, name: str) -> LogFile:
    def open_member() -> BinaryIO:
        assert archive.path is not None
        with zipfile.ZipFile(archive.path) as opened:  # the member keeps the file open
            return cast("BinaryIO", opened.open(name))

    partitions = partitions_of(PurePosixPath(name).parts[:-1])
    return LogFile(f"{archive}!{name}", open_member, partitions=partitions)
