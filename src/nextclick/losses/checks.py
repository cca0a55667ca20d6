"""Argument checks that all losses share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def check_shapes(query: Tensor, table: Tensor, targets: Tensor, bias: Tensor | None) -> None:
    """Raise ValueError unless shapes are (P, D), (N + 1, D), (P,), (N + 1,) and targets in 1..N."""
    P, D = query.shape
    if len(table) < 2 or table.shape[1] != D:
        raise ValueError(f"table must be (N + 1, {D}) with N ≥ 1, got {tuple(table.shape)}")
    if P == 0:
        raise ValueError("targets must not be empty: the loss is their mean")
    if targets.shape != (P,):
        raise ValueError(f"targets must be ({P},), got {tuple(targets.shape)}")
    if bias is not None and bias.shape != (len(table),):
        raise ValueError(f"bias must be ({len(table)},), got {tuple(bias.shape)}")
    if targets.device.type == "cpu":  # on other devices the check would synchronize
        low, high = targets.aminmax()
        if low < 1 or high >= len(table):
            raise ValueError(f"targets must be in 1..{len(table) - 1}, got {int(low)}..{int(high)}")
