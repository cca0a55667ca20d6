"""Tensors that an encoder reads of the prefixes of a batch, such as their graphs.

A batch of (B, T) items has B * T cells. A prefix is named by the cell b * T + t of its last click.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.types import AnyArray, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class TensorRecord:
    """Named tensors that are moved together; a field may also hold a record, a tuple or None."""

    def to(self, device: torch.device) -> Self:
        """The same record on a device; copies to a GPU are asynchronous, from pinned memory."""
        moved = {f.name: _moved(getattr(self, f.name), device) for f in fields(self)}
        return replace(self, **moved)


Inputs = TypeVar("Inputs", bound=TensorRecord)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; the copy to a GPU is asynchronous, from pinned memory."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def tensors(*arrays: AnyArray) -> tuple[Tensor, ...]:
    """CPU tensors that share the memory of the arrays."""
    return tuple(torch.from_numpy(array) for array in arrays)


def all_prefixes(items: AnyArray) -> Int64Array:
    """(P,) cells of all prefixes of (B, T) items: those before the first padding of a row."""
    return np.flatnonzero(np.logical_and.accumulate(items != 0, axis=1))


def last_cells(items: Tensor, last: Tensor) -> Tensor:
    """(B,) int64, the cell of the click at position `last` (B,) of each row of (B, T) items."""
    B, T = items.shape
    return torch.arange(B, device=items.device) * T + last


def built_for_all(build: Callable[[Int64Array, Int64Array, None], Inputs], items: Tensor) -> Inputs:
    """The inputs that an encoder builds for all prefixes, where it was given none.

    Args:
        build: the encoder's `prepare_prefixes`.
        items: (B, T) int64.
    """
    clicks = items.cpu().numpy()
    return build(clicks, all_prefixes(clicks), None).to(items.device)


def scatter_to_batch(queries: Tensor, cells: Tensor, items: Tensor) -> Tensor:
    """(B, T, D) with the (P, D) queries in their cells and 0 in all others.

    Args:
        queries: (P, D).
        cells: (P,) int64.
        items: (B, T), for its shape.
    """
    B, T = items.shape
    batch = queries.new_zeros(B * T, queries.shape[1])
    return batch.index_copy(0, cells, queries).view(B, T, -1)


def _moved(value: Any, device: torch.device) -> Any:
    if value is None:
        return None
    if isinstance(value, Tensor):
        return to_device(value, device)
    if isinstance(value, TensorRecord):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_moved(element, device) for element in value)
    raise TypeError(f"a TensorRecord holds tensors, records, tuples and None, got {type(value)}")
