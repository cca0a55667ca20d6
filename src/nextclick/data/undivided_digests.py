"""Digests of the arrays of a part as if it had no shards: the fingerprint is of the data alone."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.array_checks import open_array
from nextclick.core.joined_arrays import plain_header
from nextclick.data.store_files import array_type
from nextclick.data.store_manifest import shard_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nextclick.core.types import AnyArray

_BLOCK_BYTES = 1 << 20


def undivided_digests(folder: Path, shards: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Return the digests that the files of divided parts would have without shards.

    Args:
        folder: the folder of the store.
        shards: the number of sessions of each shard of the divided parts.
    """
    files: dict[str, list[Path]] = {}
    for part, sizes in shards.items():
        paths = [folder / part / shard_name(number) for number in range(len(sizes))]
        names = sorted(path.name for path in paths[0].iterdir())
        files |= {f"{part}/{name}": [path / name for path in paths] for name in names}
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock
        return dict(zip(files, pool.map(_digest, files.values()), strict=True))


def _digest(paths: Sequence[Path]) -> str:
    """The digest of the file of one array from those of its shards."""
    arrays = [open_array(path, array_type(path.stem)) for path in paths]
    is_offsets = paths[0].stem == "offsets"
    length = sum(map(len, arrays)) - is_offsets * (len(arrays) - 1)
    total = hashlib.blake2b(plain_header(arrays[0].dtype, length), digest_size=16)
    last = np.int64(0)
    for number, (path, array) in enumerate(zip(paths, arrays, strict=True)):
        if is_offsets:
            offsets = array + last
            total.update(offsets[number > 0 :].data)
            last = offsets[-1]
        else:
            _update(total, path, array)
    return total.hexdigest()


def _update(total: Any, path: Path, array: AnyArray) -> None:
    """Add the entries of an array; they are read, since mapped pages would count as memory."""
    with path.open("rb") as file:
        file.seek(path.stat().st_size - array.nbytes)
        while block := file.read(_BLOCK_BYTES):
            total.update(block)
