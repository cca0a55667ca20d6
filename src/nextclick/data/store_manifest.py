"""The manifest of a store: its kind, its versions and the fields that a reader relies on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.core.file_digests import MANIFEST
from nextclick.core.manifests import ManifestError, check_manifest, format_version
from nextclick.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KIND = "nextclick.store"
WINDOWS_KIND = "nextclick.store-windows"
FORMAT_VERSION = 3  # 2 had no digests of its files
SHARDED_VERSION = 4  # a part consists of several shards
ITEM_TABLE = "items/table"
_FIELDS: dict[str, type] = {
    "fingerprint": str,
    "n_train_inner_sessions": int,
    "protocol": dict,
    "counts": dict,
}


def shard_sizes(manifest: dict[str, Any], folder: str) -> list[int]:
    """The number of sessions of each shard of `train` or `test`; empty if it has no shards."""
    sizes: list[int] = manifest.get("shards", {}).get(folder, [])
    return sizes


def shard_name(number: int) -> str:
    """The name of the folder of a shard."""
    return f"shard-{number}"


def checked_manifest(folder: Path | str, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Read and check the manifest of a store.

    Args:
        folder: the folder or address of the store, for messages.
        read: returns the content.

    Raises:
        StoreError: it is not the manifest of a store, or of another format version.
    """
    try:
        manifest = read()
        _check_kind(folder, manifest)
        check_manifest(manifest)
        _check_fields(manifest)
    except (ValueError, KeyError) as error:
        raise StoreError(f"{folder}/{MANIFEST}: not the manifest of a store: {error!r}") from error
    return manifest


def _check_kind(folder: Path | str, manifest: dict[str, Any]) -> None:
    kind = manifest["kind"]
    if "digest" in manifest:  # first: damage must not look like another kind or version
        check_manifest(manifest)
    if kind == WINDOWS_KIND:
        names = ", ".join(str(name) for name in manifest["windows"])
        raise StoreError(f"{folder} is not a store: it contains {names}: use one of them")
    if kind != KIND:
        raise StoreError(f"{folder} is a {kind!s:.80}, not a store; pass the folder of a store")
    version = format_version(manifest)
    if version in (FORMAT_VERSION, SHARDED_VERSION):
        return
    remedy = "upgrade nextclick" if version > SHARDED_VERSION else "prepare the log again"
    raise StoreError(
        f"{folder} has store format {version}, but this version of nextclick reads formats "
        f"{FORMAT_VERSION} and {SHARDED_VERSION}: {remedy}"
    )


def _check_fields(manifest: dict[str, Any]) -> None:
    for name, kind in _FIELDS.items():
        if not isinstance(manifest[name], kind):
            raise ManifestError(f"{name} must be {kind.__name__}, got {manifest[name]!r:.60}")
    shards = manifest.get("shards", {})
    if not isinstance(shards, dict) or not all(map(_are_sizes, shards.values())):
        raise ManifestError(f"shards must be numbers of sessions, got {shards!r:.60}")


def _are_sizes(sizes: Any) -> bool:
    return isinstance(sizes, list) and all(type(size) is int and size > 0 for size in sizes)
