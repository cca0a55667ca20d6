"""Whether all values of a tensor are finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite; `torch.isfinite` needs memory for a copy."""
    if values.numel() == 0:
        return True
    return bool(torch.isfinite(torch.stack(values.aminmax())).all())  # a NaN is both
