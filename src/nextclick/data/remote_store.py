"""Stores at an address: `prepare` uploads them, `Store.open` downloads them into a cache."""

from __future__ import annotations

from nextclick.core.remote_folder import FolderKind
from nextclick.core.storage_connection import ALL_SCHEMES
from nextclick.data.store_manifest import KIND, checked_manifest
from nextclick.errors import StoreError

STORE = FolderKind(
    noun="store",
    kind=KIND,
    check=lambda url, manifest: checked_manifest(url, lambda: manifest),
    error=StoreError,
    unreachable=StoreError,
    create="prepare a log with this address as --output",
    repair="prepare the log again",
    in_parts=True,  # the windows of a store
    schemes=ALL_SCHEMES,
)
