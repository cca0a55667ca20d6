"""Additive attention energies of every click for every prefix, without a (B, T, T, H) tensor.

NARM (equation 8) and STAMP (equation 7) both weigh click j for the prefix that ends at t by

    e_tj = Σ_h v_h σ(q_th + k_jh)        j ≤ t

A pair of clicks costs H sigmoids, and a batch has B·T·(T + 1)/2 pairs, so that the plain formula
takes four times as long as the GRU before it (512 sessions of 19 clicks, H = 100, forward and
backward on one thread: 254 ms beside 67; the kernel below 10). On a CPU a compiled kernel uses

    σ(q + k) = 1 / (1 + exp(-q) exp(-k))

whose exponentials are computed once per click instead of once per pair; what is left of a pair is
a multiplication, an addition and a division, and nothing of it is stored: the backward pass
computes it again. Elsewhere (and when a graph is exported) the formula runs as it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Float32Array

# exp(-q) exp(-k) stays finite in float32. Sums q + k are exact while both stay within ±LIMIT;
# where one is beyond, σ is 0 or 1 to the last bit unless the other is as far on the other side.
LIMIT = 40.0


def additive_energy(query: Tensor, key: Tensor, weight: Tensor) -> Tensor:
    """(B, T, T) float32 energies e_tj = Σ_h v_h σ(q_th + k_jh) for j ≤ t, 0 for j > t.

    Args:
        query: (B, T, H), of the click at which a prefix ends.
        key: (B, T, H), of the click that is weighed.
        weight: (H,), v.
    """
    query, key, weight = query.float(), key.float(), weight.float()
    if query.device.type != "cpu" or torch.compiler.is_compiling():
        return plain_additive_energy(query, key, weight)
    energy: Tensor = _AdditiveEnergy.apply(query, key, weight)  # type: ignore[no-untyped-call]
    return energy


def plain_additive_energy(query: Tensor, key: Tensor, weight: Tensor) -> Tensor:
    """The same by the formula; needs B·T·T·H numbers."""
    activation = torch.sigmoid(query[:, :, None] + key[:, None])  # (B, T, T, H)
    return (activation @ weight).tril()  # (B, T, T)


class _AdditiveEnergy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, weight: Tensor) -> Tensor:
        far_query, far_key = _exp_of_minus(query), _exp_of_minus(key)
        ctx.save_for_backward(far_query, far_key, weight)
        B, T, _ = query.shape
        energy = np.zeros((B, T, T), dtype=np.float32)
        _energies(far_query.numpy(), far_key.numpy(), _array(weight), energy)
        return torch.from_numpy(energy)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        far_query, far_key, weight = ctx.saved_tensors
        B, _, H = far_query.shape
        of_query = torch.zeros_like(far_query)
        of_key = torch.zeros_like(far_key)
        of_weight = torch.zeros(B, H)
        _gradients(
            far_query.numpy(),
            far_key.numpy(),
            _array(grad),
            of_query.numpy(),
            of_key.numpy(),
            of_weight.numpy(),
        )
        return of_query.mul_(weight), of_key.mul_(weight), of_weight.sum(0)


def _exp_of_minus(tensor: Tensor) -> Tensor:
    return tensor.detach().clamp(-LIMIT, LIMIT).neg_().exp_().contiguous()


def _array(tensor: Tensor) -> Float32Array:
    array: Float32Array = tensor.detach().contiguous().numpy()
    return array


# sums may be taken in any order, so that they use vector instructions; NaN stays NaN
_FAST = {"reassoc", "nsz", "contract"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _energies(
    far_query: Float32Array, far_key: Float32Array, weight: Float32Array, energy: Float32Array
) -> None:
    """Fill the lower triangles of (B, T, T) `energy`."""
    one = np.float32(1.0)
    B, T, H = far_query.shape
    for b in range(B):
        for t in range(T):
            for j in range(t + 1):
                total = np.float32(0.0)
                for h in range(H):
                    total += weight[h] / (one + far_query[b, t, h] * far_key[b, j, h])
                energy[b, t, j] = total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _gradients(
    far_query: Float32Array,
    far_key: Float32Array,
    grad: Float32Array,
    of_query: Float32Array,
    of_key: Float32Array,
    of_weight: Float32Array,
) -> None:
    """Add to the gradients; those of query and key still lack the factor v_h."""
    one = np.float32(1.0)
    B, T, H = far_query.shape
    for b in range(B):
        for t in range(T):
            for j in range(t + 1):
                g = grad[b, t, j]
                for h in range(H):
                    s = one / (one + far_query[b, t, h] * far_key[b, j, h])
                    slope = g * s * (one - s)
                    of_query[b, t, h] += slope
                    of_key[b, j, h] += slope
                    of_weight[b, h] += g * s
