"""Manifests: the JSON file of a folder that says what it is and which files belong to it.

Besides the fields of its kind, a manifest has

- `files`: relative path to digest of every other file of the folder;
- `digest`: that of the manifest itself, over its canonical JSON without this field.

Other JSON files have a `digest` of the same kind; see `with_digest`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from nextclick.core.file_digests import MANIFEST, digest_files, find_damage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)
OUT_OF_FILES_REMEDY = "close some files, or raise the limit with `ulimit -n`"
_MAX_BYTES = 64 << 20


class ManifestError(ValueError):
    """A file is not a manifest, or is damaged; the message does not name the file."""


def write_manifest(
    folder: Path, fields: Mapping[str, Any], files: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Write the manifest of a folder whose other files are complete; return its content.

    Args:
        folder: the folder.
        fields: `kind`, `format_version` and all fields of the kind.
        files: the digests of all other files, if the caller has them.
    """
    digests = digest_files(folder) if files is None else dict(files)
    manifest = with_digest({**fields, "files": digests})
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def rewrite_manifest(folder: Path, **fields: Any) -> None:
    """Write the manifest again after files were changed on purpose.

    Args:
        folder: a folder with a manifest.
        fields: new values of fields; None removes a field.
    """
    manifest = read_manifest(folder / MANIFEST) | fields
    kept = {name: value for name, value in manifest.items() if value is not None}
    write_manifest(folder, kept)


def read_manifest(file: Path) -> dict[str, Any]:
    """Read a manifest without checking its digest; see `check_manifest`.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
        ManifestError: it is not a JSON object, or too large.
    """
    if file.stat().st_size > _MAX_BYTES:
        raise ManifestError(f"it has more than {_MAX_BYTES >> 20} MiB")
    return parse_manifest(file.read_bytes())


def parse_manifest(content: bytes) -> dict[str, Any]:
    """Parse the content of a manifest without checking its digest.

    Raises:
        ManifestError: it is not a JSON object.
    """
    try:
        manifest = json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ManifestError("its JSON is nested too deeply") from None
    except ValueError as error:
        raise ManifestError(f"it is not valid JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise ManifestError("it is not a JSON object")
    return manifest


def check_manifest(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Check a manifest against its own digest; return the digests of the files.

    Raises:
        ManifestError: the digest or the list of files is missing, or the digest differs.
    """
    files = manifest.get("files")
    valid = isinstance(files, dict) and all(
        isinstance(digest, str) and is_inside(name) for name, digest in files.items()
    )
    if not isinstance(files, dict) or not valid:
        raise ManifestError("'files' must map the paths of files to their digests")
    _check_digest(manifest)
    return files


def with_digest(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as JSON values, with the digest of all of them."""
    values: dict[str, Any] = json.loads(json.dumps(fields))
    return {**values, "digest": _digest(values)}


def read_with_digest(file: Path) -> dict[str, Any]:
    """Read a JSON file of `with_digest`, and check its digest.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
        ManifestError: it is not a JSON object, or it differs from its digest.
    """
    values = read_manifest(file)
    _check_digest(values)
    return values


def parse_with_digest(content: bytes) -> dict[str, Any]:
    """Parse the content of a file of `with_digest`, and check its digest.

    Raises:
        ManifestError: it is not a JSON object, or it differs from its digest.
    """
    values = parse_manifest(content)
    _check_digest(values)
    return values


def _check_digest(values: Mapping[str, Any]) -> None:
    if values.get("digest") != _digest(values):
        raise ManifestError("it is damaged: its content differs from its digest")


def check_folder(folder: Path) -> None:
    """Check the manifest of a folder and every file that it lists.

    Raises:
        ManifestError: the manifest or a file is damaged or missing.
        OSError: a file cannot be read.
    """
    try:
        files = check_manifest(read_manifest(folder / MANIFEST))
    except FileNotFoundError:
        raise ManifestError(f"{MANIFEST} is missing") from None
    except ManifestError as error:
        raise ManifestError(f"{MANIFEST}: {error}") from error
    check_files(folder, files)


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Compare files of a folder with their digests.

    Raises:
        ManifestError: a file is damaged or missing; the message names it.
        OSError: a file cannot be read.
    """
    damage = find_damage(folder, files)
    if damage is not None:
        raise ManifestError(damage)


def describe_os_error(error: OSError) -> str:
    """An error of the operating system in words, with a remedy where the cause is not the file."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in OUT_OF_FILES:
        return f"{reason}; {OUT_OF_FILES_REMEDY}"
    return reason


def is_inside(name: str) -> bool:
    """Whether a relative path stays inside its folder."""
    return not name.startswith("/") and all(part not in ("", ".", "..") for part in name.split("/"))


def format_version(manifest: Mapping[str, Any]) -> int:
    """The format version of a manifest.

    Raises:
        KeyError: it has none.
        ManifestError: it is not an integer.
    """
    version = manifest["format_version"]
    if not isinstance(version, int) or isinstance(version, bool):
        raise ManifestError(f"format_version must be an integer, got {version!r:.40}")
    return version


def _digest(manifest: Mapping[str, Any]) -> str:
    content = {name: value for name, value in manifest.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()
