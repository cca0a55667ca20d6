"""Faults in stored folders: one flipped bit, and files changed together with their digests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

from nextclick.core.manifests import rewrite_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def random_bits(folder: Path, count: int, seed: int) -> Iterator[tuple[Path, int]]:
    """Yield `count` files and positions of bits; each file has an equal share."""
    rng = np.random.default_rng(seed)
    files = files_of(folder)
    for number in range(count):
        path = files[number % len(files)]
        yield path, int(rng.integers(8 * path.stat().st_size))


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def change_manifest(folder: Path, **fields: Any) -> None:
    """Give a manifest other fields and a valid digest; None removes a field."""
    rewrite_manifest(folder, **fields)


def change_array(folder: Path, name: str, change: Any) -> None:
    """Replace an array by `change(array)`, with valid digests."""
    np.save(folder / name, change(np.load(folder / name).copy()))
    rewrite_manifest(folder)


def change_weights(folder: Path, name: str, change: Any) -> None:
    """Replace an array of the weights by `change(array)`, with valid digests."""
    path = folder / "weights.safetensors"
    arrays = {key: array.copy() for key, array in load_file(path).items()}
    arrays[name] = np.ascontiguousarray(change(arrays[name]))
    save_file(arrays, path)
    rewrite_manifest(folder)
