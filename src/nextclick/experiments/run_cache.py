"""A cache of runs: the complete description of a run, mapped to the folder of its files.

FOLDER/manifest.json     kind of the cache, and the scope that all of its runs share
FOLDER/NAME/run.json     everything that went into one run, with the fingerprint of it

A run is identified by its fingerprint. NAME is for people: if another run already has the name,
the next one is stored in NAME.2. Each file is written whole or not at all, so that a killed command
leaves a cache that the same command resumes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from nextclick.core.manifests import ManifestError, read_with_digest, with_digest
from nextclick.core.manifests import read_manifest as read_json_object
from nextclick.core.storage import raising_output_errors, write_json
from nextclick.errors import ConfigError, OutputError
from nextclick.report.run_folder import RUN
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

FORMAT_VERSION = 2  # 1 had no digests
MANIFEST, VALUES = "manifest.json", "values.json"


class RunCache:
    """Folders of runs, each identified by everything that went into it.

    >>> cache = RunCache(Path("comparison"))  # doctest: +SKIP
    >>> cache.run_folder("narm", {"model": "narm", "seed": 0})  # doctest: +SKIP
    PosixPath('comparison/narm')
    """

    def __init__(self, folder: Path):
        """Use a folder without a lock and without a manifest; see `locked`."""
        self.folder = folder

    @classmethod
    @contextmanager
    def locked(
        cls,
        folder: Path,
        kind: str,
        scope: Mapping[str, Any],
        *,
        outputs: Collection[str] = (),
        overwrite: bool = False,
    ) -> Iterator[RunCache]:
        """Create or resume a cache, and exclude other processes until the block ends.

        Args:
            folder: created if it does not exist.
            kind: of the cache, such as nextclick.study.
            scope: names and JSON values that all runs of the cache share.
            outputs: names of the files and folders, besides the runs, that the caller writes.
            overwrite: delete an existing cache of the same kind first.

        Raises:
            OutputError: the folder holds other files, is in use, or cannot be written.
            ConfigError: the folder holds a cache of another scope.
        """
        with _exclusive(folder):
            manifest = _read_manifest(folder, kind)
            if manifest is not None and overwrite:
                _clear(folder, outputs)
                manifest = None
            scope = json.loads(json.dumps(scope))  # tuples become lists, as in the manifest
            if manifest is None:
                header = {"kind": kind, "format_version": FORMAT_VERSION, "nextclick": __version__}
                write_json(folder / MANIFEST, with_digest({**header, **scope}))
            else:
                _check_scope(folder, manifest, scope)
            yield cls(folder)

    def run_folder(self, name: str, inputs: Mapping[str, Any]) -> Path:
        """The folder of a run, new or as an earlier process left it.

        Args:
            name: readable name of the folder.
            inputs: JSON values of everything that determines the outcome; the version of the
                package is added.

        Raises:
            OutputError: the folder cannot be written.
        """
        description = {**inputs, "nextclick": __version__}
        fingerprint = digest(json.dumps(description, sort_keys=True).encode())
        safe_name = re.sub(r"[^\w.@+=-]", "_", name).lstrip(".") or "_"
        for number in count(1):
            folder = self.folder / (safe_name if number == 1 else f"{safe_name}.{number}")
            stored = _stored_fingerprint(folder)
            if stored is None:
                write_json(folder / RUN, with_digest({"fingerprint": fingerprint, **description}))
            if stored in (None, fingerprint):
                return folder
        raise AssertionError

    def values(
        self, name: str, inputs: Mapping[str, Any], compute: Callable[[Path], dict[str, Any]]
    ) -> dict[str, Any]:
        """JSON values of a run, computed unless they are stored and intact.

        Args:
            name: readable name of the folder.
            inputs: as in `run_folder`.
            compute: returns the values; it may store checkpoints in the folder it is given.
        """
        file = self.run_folder(name, inputs) / VALUES
        try:
            stored = read_with_digest(file)
        except (FileNotFoundError, ManifestError):
            stored = with_digest({"values": compute(file.parent)})
            write_json(file, stored)
        values: dict[str, Any] = stored["values"]
        return values


def digest(content: bytes) -> str:
    """Fingerprint of some bytes, as hexadecimal text."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    with raising_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{folder} is in use by another process; wait until it ends, or choose another "
                "folder"
            ) from None
        yield
    finally:
        os.close(handle)


def _stored_fingerprint(folder: Path) -> str | None:
    """Fingerprint of the run in a folder; None if the folder is free."""
    try:
        return str(read_with_digest(folder / RUN)["fingerprint"])
    except FileNotFoundError:
        return None
    except (ManifestError, KeyError, OSError) as error:
        raise OutputError(
            f"{folder / RUN}: not the description of a run: {error}; delete {folder}, and run the "
            "same command again"
        ) from error


def _read_manifest(folder: Path, kind: str) -> dict[str, Any] | None:
    """The manifest of a cache; None if the folder is empty."""
    # a killed process may have left a partial file, whose name begins with a dot
    if all(path.name.startswith(".") for path in folder.iterdir()):
        return None
    file = folder / MANIFEST
    try:
        manifest = read_json_object(file)
        if "digest" in manifest or manifest.get("kind") == kind:
            read_with_digest(file)  # first: damage must not look like another kind
    except FileNotFoundError:
        manifest = {}
    except (ManifestError, OSError) as error:
        raise OutputError(
            f"{file}: not the manifest of a {kind}: {error}; restore it from a copy, or choose "
            "another folder"
        ) from error
    if manifest.get("kind") != kind:
        raise OutputError(
            f"{folder} holds files of something other than a {kind}; choose another folder"
        )
    return manifest


def _check_scope(folder: Path, manifest: Mapping[str, Any], scope: Mapping[str, Any]) -> None:
    differences = [
        f"{name} is {manifest.get(name)!r} there and {value!r} here"
        for name, value in scope.items()
        if manifest.get(name) != value
    ]
    if differences:
        raise ConfigError(
            f"{folder} holds a {manifest['kind']} with other settings: {'; '.join(differences)}. "
            "Choose another folder, or use --overwrite to replace it"
        )


def _clear(folder: Path, outputs: Collection[str]) -> None:
    """Delete the runs and outputs of a cache, if the folder holds nothing else."""
    entries = list(folder.iterdir())
    for path in entries:
        is_run = path.is_dir() and not path.is_symlink() and (path / RUN).exists()
        if not (is_run or path.name.startswith(".") or path.name in (MANIFEST, *outputs)):
            raise OutputError(
                f"{folder} contains {path.name}, which nextclick did not write, and is not "
                "overwritten; move it, or choose another path"
            )
    (folder / MANIFEST).unlink()  # first: a killed process leaves no cache that looks complete
    for path in entries:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
