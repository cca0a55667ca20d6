"""Which existing folder may be overwritten: one that nextclick wrote, with nothing else in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nextclick.core.file_digests import MANIFEST
from nextclick.core.manifests import ManifestError, read_manifest
from nextclick.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def check_target(target: Path, *, overwrite: bool, replaces: Collection[str] = ()) -> None:
    """Check that a folder may be written.

    A folder is replaced if it is empty, or if its own manifest is of one of the kinds `replaces`
    and lists every other file of the folder.

    Raises:
        OutputError: `target` exists and must not be replaced; the message says why.
    """
    if target.parts[:1] and target.parts[0].endswith(":"):  # s3://bucket/model as a path
        raise OutputError(
            f"{target} is an address, to which only stores, artifacts and registries are written; "
            "choose a folder"
        )
    current = Path.cwd()
    if target.resolve() in (current, *current.parents):
        raise OutputError(
            f"{target} is the current folder or one of its parents; choose another path"
        )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(f"{target} is not a folder; choose another path")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} already exists; choose another path or pass --overwrite")
    if target.exists() and any(target.iterdir()):
        _check_replaceable(target, replaces)


def _check_replaceable(folder: Path, replaces: Collection[str]) -> None:
    try:
        manifest = read_manifest(folder / MANIFEST)
    except (FileNotFoundError, IsADirectoryError, ManifestError):
        manifest = {}
    kind, files = manifest.get("kind"), manifest.get("files")
    if kind is not None and kind not in replaces:
        raise OutputError(
            f"{folder} is a {kind!s:.80} and is not replaced by a folder of another kind; choose "
            "another path"
        )
    if kind is not None and not isinstance(files, dict):
        raise OutputError(
            f"{folder} was written by an older version, whose manifest does not list its files, "
            "and is not overwritten; choose another path, or remove the folder yourself"
        )
    foreign = _foreign_file(folder, files or {})
    if foreign is not None:
        raise OutputError(
            f"{folder} contains {foreign}, which nextclick did not write, and is not overwritten; "
            "choose another path, or remove the folder yourself"
        )


def _foreign_file(folder: Path, files: Mapping[str, str]) -> str | None:
    """The first file, link or folder that is neither the manifest nor listed in `files`."""
    listed = {MANIFEST, *files} if files else set(files)
    folders = {str(parent) for name in files for parent in Path(name).parents}
    for parent, folder_names, file_names in os.walk(folder):
        for name in sorted(folder_names + file_names):
            path = Path(parent) / name
            relative = path.relative_to(folder).as_posix()
            is_known = relative in (folders if name in folder_names else listed)
            if not is_known or path.is_symlink():
                return relative
    return None
