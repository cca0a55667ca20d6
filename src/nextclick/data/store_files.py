"""The files of a store: verified by their digests, mapped, checked, and joined from shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.array_checks import ArrayError, check_length, check_sessions, open_array
from nextclick.core.file_digests import find_damage
from nextclick.core.joined_arrays import join_arrays, release_pages
from nextclick.core.manifests import describe_os_error
from nextclick.core.sessions import Sessions
from nextclick.data.store_manifest import shard_name, shard_sizes
from nextclick.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.types import Int32Array

_ARRAYS: dict[str, type] = {
    "items": np.int32,
    "offsets": np.int64,
    "times": np.int64,
    "users": np.int32,
    "blocks": np.int32,
}


def array_type(name: str) -> type:
    """The type of the entries of an array of a part; a kept column has codes."""
    return _ARRAYS.get(name, np.int32)


class StoreFiles:
    """Opens the files of a store.

    Args:
        path: the folder.
        manifest: its checked manifest.
        is_verified: the files are known to have the digests of the manifest.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], *, is_verified: bool) -> None:
        self.path = path
        self._manifest = manifest
        self._is_verified = is_verified

    def names(self, folder: str) -> list[str]:
        """The files of a folder, as the manifest lists them."""
        return [name for name in self._manifest["files"] if name.startswith(f"{folder}/")]

    def verify(self, folder: str) -> None:
        """Compare the files of a folder with their digests, once in a process.

        Raises:
            StoreError: a file is damaged, missing or cannot be read.
        """
        if self._is_verified:
            return
        files = {name: self._manifest["files"][name] for name in self.names(folder)}
        try:
            damage = find_damage(self.path, files, remember=True)
        except OSError as error:
            raise StoreError(
                f"{self.path / folder}: cannot be read: {describe_os_error(error)}"
            ) from error
        if damage is not None:
            raise StoreError(f"{self.path}/{damage}; prepare the log again")

    def shards(self, folder: str) -> list[str]:
        """The folders with the arrays of `train` or `test`: itself, or its shards."""
        n_shards = len(shard_sizes(self._manifest, folder))
        return [f"{folder}/{shard_name(n)}" for n in range(n_shards)] or [folder]

    def sessions(self, folder: str, n_items: int, n_users: int) -> Sessions:
        """All sessions of `train` or `test`, verified before; shards are joined without a read.

        Raises:
            StoreError: a file is missing, or an array does not fit.
        """
        names = self.shards(folder)
        if len({frozenset(self._stems(name)) for name in names}) > 1:
            raise StoreError(
                f"{self.path / folder}: its shards have different arrays; prepare the log again"
            )
        return Sessions.join([self.shard(folder, n, n_items, n_users) for n in range(len(names))])

    def shard(self, folder: str, number: int, n_items: int, n_users: int) -> Sessions:
        """The sessions of one shard of `train` or `test`, verified before.

        Raises:
            StoreError: a file is missing, or an array does not fit.
        """
        name, sizes = self.shards(folder)[number], shard_sizes(self._manifest, folder)
        arrays: dict[str, Any] = dict.fromkeys(_ARRAYS)
        for stem in arrays.keys() & set(self._stems(name)):
            arrays[stem] = self._open(f"{name}/{stem}.npy", _ARRAYS[stem])
        if arrays["items"] is None or arrays["offsets"] is None:
            raise StoreError(
                f"{self.path / name}: items.npy or offsets.npy is missing; prepare the log again"
            )
        sessions = Sessions(n_items=n_items, n_users=n_users, **arrays)
        try:
            check_sessions(sessions)
            if sizes:
                check_length("offsets", sessions.offsets, sizes[number] + 1)
        except ArrayError as error:
            raise misfit(self.path / name, error) from error
        for array in arrays.values():
            release_pages(array)  # the checks have read them all
        return sessions

    def column(self, folder: str, number: int) -> Int32Array:
        """(S,) the codes of a kept column of `train` or `test`.

        Raises:
            StoreError: a file is missing, or is not such an array.
        """
        names = [f"{shard}/column-{number}.npy" for shard in self.shards(folder)]
        return join_arrays([self._open(name, np.int32) for name in names])

    def _stems(self, folder: str) -> list[str]:
        """The names of the arrays of a folder."""
        names = [name.removeprefix(f"{folder}/") for name in self.names(folder)]
        return [name.removesuffix(".npy") for name in names]

    def _open(self, name: str, kind: type) -> Any:
        try:
            return open_array(self.path / name, kind)
        except OSError as error:
            raise StoreError(f"{self.path / name}: {describe_os_error(error)}") from error
        except ArrayError as error:
            raise StoreError(f"{self.path / name}: {error}; prepare the log again") from error


def misfit(folder: Path, error: ArrayError) -> StoreError:
    """The error of arrays that contradict each other."""
    return StoreError(f"{folder}: its arrays do not fit together: {error}; prepare the log again")
