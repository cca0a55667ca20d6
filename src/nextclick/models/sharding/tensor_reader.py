"""Reads tensors of a safetensors file, also some of their rows, on access."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch
    from torch import Tensor

    from nextclick.core.types import AnyArray


class TensorReader(Mapping[str, "AnyArray"]):
    """The tensors of a safetensors file, read on access; within `open`."""

    def __init__(self, opened: Any):
        self._opened = opened
        self._names = list(opened.keys())

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[TensorReader]:
        """Open a file for reading.

        Raises:
            SafetensorError: it is not a safetensors file.
            OSError: it cannot be read.
        """
        with safe_open(path, framework="pt") as opened:
            yield cls(opened)

    def __getitem__(self, name: str) -> AnyArray:
        if name not in self._names:
            raise KeyError(name)
        array: AnyArray = self._opened.get_tensor(name).numpy()
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        return tuple(self._opened.get_slice(name).get_shape())

    def dtype(self, name: str) -> torch.dtype:
        """The type of a tensor, without reading it."""
        return self.rows(name, 0, 0).dtype

    def rows(self, name: str, begin: int, end: int) -> Tensor:
        """The rows begin..end - 1 of a tensor."""
        rows: Tensor = self._opened.get_slice(name)[begin:end]
        return rows
