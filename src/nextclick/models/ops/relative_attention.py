"""Additive attention energies with a vector for the relation of two clicks, without (B, T, T, H).

    e_tj = Σ_h v_h σ(q_th + k_jh + r_h[c_tj])        j ≤ t

c_tj in 0..C - 1 is the relation of click j to the end t of the prefix, such as their distance. As
in `additive_attention`, the CPU kernel takes exponentials per click and relation instead of per
pair, stores nothing per pair, and the backward pass recomputes the sigmoids. On other devices, and
in an exported graph, the plain formula runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit

from nextclick.core.float32_math import FAST_SUMS
from nextclick.models.ops.additive_attention import contiguous_array, exp_minus

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.core.types import Float32Array, Int64Array


def relative_energy(
    query: Tensor, key: Tensor, relation: Tensor, relations: Tensor, weight: Tensor
) -> Tensor:
    """(B, T, T) float32 energies e_tj for j ≤ t, 0 for j > t.

    Args:
        query: (B, T, H), q of the last click of each prefix.
        key: (B, T, H), k of the click that is weighed.
        relation: (C, H), r.
        relations: (B, T, T) int64 in 0..C - 1, c.
        weight: (H,), v.
    """
    query, key, relation, weight = (x.float() for x in (query, key, relation, weight))
    if query.device.type != "cpu" or torch.compiler.is_compiling():
        return plain_relative_energy(query, key, relation, relations, weight)
    energy: Tensor = _RelativeEnergy.apply(query, key, relation, relations, weight)  # type: ignore[no-untyped-call]
    return energy


def plain_relative_energy(
    query: Tensor, key: Tensor, relation: Tensor, relations: Tensor, weight: Tensor
) -> Tensor:
    """The same by the plain formula, which stores B·T·T·H numbers."""
    inner = query[:, :, None] + key[:, None] + relation[relations]  # (B, T, T, H)
    return (torch.sigmoid(inner) @ weight).tril()  # (B, T, T)


class _RelativeEnergy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, relation: Tensor, relations: Tensor, weight: Tensor
    ) -> Tensor:
        exp_query, exp_key, exp_relation = map(exp_minus, (query, key, relation))
        relations = relations.contiguous()
        ctx.save_for_backward(exp_query, exp_key, exp_relation, relations, weight)
        B, T, _ = query.shape
        energy = np.zeros((B, T, T), dtype=np.float32)
        _energies(
            exp_query.numpy(),
            exp_key.numpy(),
            exp_relation.numpy(),
            relations.numpy(),
            contiguous_array(weight),
            energy,
        )
        return torch.from_numpy(energy)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, Tensor]:
        exp_query, exp_key, exp_relation, relations, weight = ctx.saved_tensors
        grads = [torch.zeros_like(x) for x in (exp_query, exp_key, exp_relation, weight)]
        _energy_gradients(
            exp_query.numpy(),
            exp_key.numpy(),
            exp_relation.numpy(),
            relations.numpy(),
            contiguous_array(grad),
            *(x.numpy() for x in grads),
        )
        grad_query, grad_key, grad_relation, grad_weight = grads
        return (
            grad_query.mul_(weight),
            grad_key.mul_(weight),
            grad_relation.mul_(weight),
            None,
            grad_weight,
        )


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _energies(
    exp_query: Float32Array,
    exp_key: Float32Array,
    exp_relation: Float32Array,
    relations: Int64Array,
    weight: Float32Array,
    energy: Float32Array,
) -> None:
    """Fill the lower triangles of (B, T, T) `energy`."""
    one = np.float32(1.0)
    B, T, H = exp_query.shape
    for b in range(B):
        for t in range(T):
            for j in range(t + 1):
                c = relations[b, t, j]
                total = np.float32(0.0)
                for h in range(H):
                    total += weight[h] / (
                        one + exp_query[b, t, h] * exp_key[b, j, h] * exp_relation[c, h]
                    )
                energy[b, t, j] = total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _energy_gradients(
    exp_query: Float32Array,
    exp_key: Float32Array,
    exp_relation: Float32Array,
    relations: Int64Array,
    grad: Float32Array,
    grad_query: Float32Array,
    grad_key: Float32Array,
    grad_relation: Float32Array,
    grad_weight: Float32Array,
) -> None:
    """Add to the gradients; those of query, key and relation still lack the factor v_h."""
    one = np.float32(1.0)
    B, T, H = exp_query.shape
    for b in range(B):
        for t in range(T):
            for j in range(t + 1):
                g = grad[b, t, j]
                c = relations[b, t, j]
                for h in range(H):
                    s = one / (one + exp_query[b, t, h] * exp_key[b, j, h] * exp_relation[c, h])
                    slope = g * s * (one - s)
                    grad_query[b, t, h] += slope
                    grad_key[b, j, h] += slope
                    grad_relation[c, h] += slope
                    grad_weight[h] += g * s
