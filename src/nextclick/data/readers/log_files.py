"""Lists the files behind paths, folders, globs, archives, addresses and standard input."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from nextclick.core.locations import is_url
from nextclick.data.readers.containers import head_of, holds_table
from nextclick.data.readers.content_kinds import holds_columns
from nextclick.data.readers.file_names import (
    WILDCARD,
    is_document,
    is_hidden,
    matches_suffix,
    partitions_of,
)
from nextclick.data.readers.formats.log_format import TABLE_SUFFIXES
from nextclick.data.readers.lake_tables import table_layout
from nextclick.data.readers.log_file import LogFile, copied_file, local_file, table_folder
from nextclick.data.readers.read_errors import read_errors
from nextclick.data.readers.remote_files import find_remote_files
from nextclick.data.readers.zip_members import zip_members
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nextclick.data.readers.file_names import Partitions

STANDARD_INPUT = "-"


def find_files(patterns: Iterable[str | Path], suffixes: Sequence[str]) -> list[LogFile]:
    """List the files behind paths, folders and globs: each file once, sorted within each pattern.

    Args:
        patterns: paths, folders, globs, addresses such as `s3://bucket/log`, or `-`, which is
            standard input. A zip archive stands for its members.
        suffixes: endings of the names of the files of a folder or of an archive. If no name has one
            of them, the files that hold a table are taken.

    Raises:
        SourceError: a path does not exist or cannot be read, or a folder has no file of a log.
    """
    files: dict[str, LogFile] = {}
    for pattern in patterns:
        with read_errors(str(pattern)):
            for found in _expand(str(pattern), suffixes):
                for file in zip_members(found, suffixes) or [found]:
                    files.setdefault(file.label, file)
    return list(files.values())


def skip_empty(
    files: Sequence[LogFile], named: Iterable[str | Path] = ()
) -> tuple[list[LogFile], tuple[str, ...]]:
    """Return the files that are not empty, and a note about each of the others.

    A text file `.txt` of prose counts as empty, unless it is one of the `named` paths. If all files
    are empty, they are returned.
    """
    labels = {str(name) for name in named}
    reasons = {file.label: _reason_to_skip(file, file.label in labels) for file in files}
    left = [file for file in files if reasons[file.label] is None]
    if not left:
        return list(files), ()
    notes = tuple(f"{label}: {why} and was skipped" for label, why in reasons.items() if why)
    return left, notes


def _reason_to_skip(file: LogFile, is_named: bool) -> str | None:
    if file.layout != "file" or (file.url and file.name.endswith(".parquet")):
        return None  # no request to the store for each of many files
    with read_errors(file.label):
        head = head_of(file)
    if not head:
        return "the file is empty"
    is_prose = not is_named and file.suffix.lower() == ".txt" and not holds_columns(head)
    return "the file has no columns" if is_prose else None


def _expand(pattern: str, suffixes: Sequence[str]) -> list[LogFile]:
    if pattern == STANDARD_INPUT:
        return [copied_file("standard input", open(0, "rb", closefd=False))]
    if is_url(pattern):
        return find_remote_files(pattern, suffixes)
    path = Path(pattern)
    if path.is_dir():
        return _folder_files(path, suffixes)
    if path.is_file():
        return [local_file(path)]
    if path.exists():  # a named pipe
        return [copied_file(str(path), path.open("rb"))]
    return _matches(pattern, suffixes)


def _matches(pattern: str, suffixes: Sequence[str]) -> list[LogFile]:
    """Return the files that match a glob pattern, or the files of the matching folders."""
    paths = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    parts = enumerate(Path(pattern).parts)
    first = next((number for number, part in parts if WILDCARD.search(part)), 0)
    files = [local_file(p, partitions_of(p.parts[first:-1])) for p in paths if p.is_file()]
    if not files:
        files = [
            file
            for path in paths
            if path.is_dir()
            for file in _folder_files(path, suffixes, partitions_of(path.parts[first:]))
        ]
    if not files:
        raise SourceError(f"{pattern}: no such file or folder; check the path or the glob pattern")
    return files


def _folder_files(
    folder: Path, suffixes: Sequence[str], partitions: Partitions = ()
) -> list[LogFile]:
    """Return the files of a folder.

    Subfolders named `column=value` are always searched, others if the folder itself has no file.

    Raises:
        SourceError: there is no file of a log.
    """
    files = _by_suffix(folder, suffixes, partitions, frozenset()) or _by_content(folder, partitions)
    if files:
        return files
    raise SourceError(
        f"{folder}: no file in this folder ends in {', '.join(suffixes)} or holds a table; pass "
        "the files by name, or choose another --format"
    )


def _by_suffix(
    folder: Path, suffixes: Sequence[str], partitions: Partitions, parents: frozenset[Path]
) -> list[LogFile]:
    layout = table_layout(folder)
    if layout is not None:
        return [table_folder(folder, layout)]
    if folder.resolve() in parents:  # a link to a folder above
        return []
    entries = [entry for entry in sorted(folder.iterdir()) if not is_hidden(entry.name)]
    files = [
        local_file(entry, partitions)
        for entry in entries
        if entry.is_file() and matches_suffix(entry.name, suffixes)
    ]
    has_files = bool(files)
    parents |= {folder.resolve()}
    for entry in entries:
        if entry.is_dir() and ("=" in entry.name or not has_files):
            below = (*partitions, *partitions_of((entry.name,)))
            files += _by_suffix(entry, suffixes, below, parents)
    return files


def _by_content(folder: Path, partitions: Partitions) -> list[LogFile]:
    """Return the files of a folder that hold a table and have no suffix of another format."""
    entries = [entry for entry in sorted(folder.iterdir()) if not is_hidden(entry.name)]
    files = [
        local_file(entry, partitions)
        for entry in entries
        if entry.is_file()
        and not is_document(entry.name)
        and not matches_suffix(entry.name, TABLE_SUFFIXES)
    ]
    return [file for file in files if holds_table(file)]
