"""Sums and attention over groups of rows, for graph models.

G groups, such as the neighbors of each node or the nodes of each prefix, gather E of M rows in CSR
form: group g has the rows `source[bounds[g]:bounds[g + 1]]`. A row may be in several groups, and
several times in one. On a CPU compiled kernels loop over the groups and store nothing of size
(E, D). On other devices, and in an exported graph, the plain formulas run, which do store it.
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

    from nextclick.core.types import AnyArray, Float32Array, Int64Array


def group_sum(rows: Tensor, source: Tensor, bounds: Tensor, weight: Tensor) -> Tensor:
    """(G, D) float32, Σ_e w_e rows[source_e] of each group.

    Args:
        rows: (M, D).
        source: (E,) int64 in 0..M - 1.
        bounds: (G + 1,) int64.
        weight: (E,), w.
    """
    rows, weight = rows.float(), weight.float()
    if not _uses_kernels(rows):
        return plain_group_sum(rows, source, bounds, weight)
    summed: Tensor = _GroupSum.apply(rows, source, bounds, weight)  # type: ignore[no-untyped-call]
    return summed


def group_energy(
    query: Tensor, key: Tensor, weight: Tensor, source: Tensor, bounds: Tensor
) -> Tensor:
    """(E,) float32 energies Σ_h v_h σ(q_gh + k_h) of each row of each group.

    Args:
        query: (G, H), q.
        key: (M, H), k of the gathered row.
        weight: (H,), v.
        source: (E,) int64 in 0..M - 1.
        bounds: (G + 1,) int64.
    """
    query, key, weight = query.float(), key.float(), weight.float()
    if not _uses_kernels(query):
        return plain_group_energy(query, key, weight, source, bounds)
    energy: Tensor = _GroupEnergy.apply(  # type: ignore[no-untyped-call]
        query, key, weight, source, bounds
    )
    return energy


def group_softmax(energy: Tensor, bounds: Tensor) -> Tensor:
    """(E,) float32, a softmax of the (E,) energies within each group."""
    energy = energy.float()
    if not _uses_kernels(energy):
        return plain_group_softmax(energy, bounds)
    share: Tensor = _GroupSoftmax.apply(energy, bounds)  # type: ignore[no-untyped-call]
    return share


def plain_group_sum(rows: Tensor, source: Tensor, bounds: Tensor, weight: Tensor) -> Tensor:
    """The same by the plain formula."""
    weighted = rows.index_select(0, source) * weight[:, None]  # (E, D)
    summed = rows.new_zeros(len(bounds) - 1, rows.shape[1])
    return summed.index_add(0, _group_of(bounds), weighted)


def plain_group_energy(
    query: Tensor, key: Tensor, weight: Tensor, source: Tensor, bounds: Tensor
) -> Tensor:
    """The same by the plain formula."""
    group_query = query.index_select(0, _group_of(bounds))  # (E, H)
    return torch.sigmoid(group_query + key.index_select(0, source)) @ weight


def plain_group_softmax(energy: Tensor, bounds: Tensor) -> Tensor:
    """The same by the plain formula."""
    group, G = _group_of(bounds), len(bounds) - 1
    lowest = energy.new_full((G,), -torch.inf)
    highest = lowest.scatter_reduce(0, group, energy.detach(), "amax")  # (G,)
    exponentials = (energy - highest[group]).exp()  # (E,)
    return exponentials / energy.new_zeros(G).index_add(0, group, exponentials)[group]


def _group_of(bounds: Tensor) -> Tensor:
    """(E,) the group of each gathered row."""
    numbers = torch.arange(len(bounds) - 1, device=bounds.device)
    return numbers.repeat_interleave(bounds.diff())


def _uses_kernels(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


class _GroupSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, source: Tensor, bounds: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows, source, bounds, weight)
        summed = np.zeros((len(bounds) - 1, rows.shape[1]), dtype=np.float32)
        _sum(
            contiguous_array(rows), source.numpy(), bounds.numpy(), contiguous_array(weight), summed
        )
        return torch.from_numpy(summed)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, source, bounds, weight = ctx.saved_tensors
        arrays = (contiguous_array(grad), source.numpy(), bounds.numpy())
        grad_rows = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_rows = torch.zeros_like(rows, memory_format=torch.contiguous_format)
            _row_gradients(*arrays, contiguous_array(weight), grad_rows.numpy())
        if ctx.needs_input_grad[3]:
            grad_weight = torch.empty(weight.shape)
            _weight_gradients(*arrays, contiguous_array(rows), grad_weight.numpy())
        return grad_rows, None, None, grad_weight


class _GroupEnergy(torch.autograd.Function):
    """Uses σ(q + k) = 1 / (1 + exp(-q) exp(-k)), as `additive_attention`."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, weight: Tensor, source: Tensor, bounds: Tensor
    ) -> Tensor:
        exp_query, exp_key = exp_minus(query), exp_minus(key)
        ctx.save_for_backward(exp_query, exp_key, weight, source, bounds)
        energy = np.empty(len(source), dtype=np.float32)
        _energies(
            exp_query.numpy(),
            exp_key.numpy(),
            contiguous_array(weight),
            source.numpy(),
            bounds.numpy(),
            energy,
        )
        return torch.from_numpy(energy)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        exp_query, exp_key, weight, source, bounds = ctx.saved_tensors
        grad_query, grad_key = torch.zeros_like(exp_query), torch.zeros_like(exp_key)
        grad_weight = torch.zeros(weight.shape)
        _energy_gradients(
            exp_query.numpy(),
            exp_key.numpy(),
            source.numpy(),
            bounds.numpy(),
            contiguous_array(grad),
            grad_query.numpy(),
            grad_key.numpy(),
            grad_weight.numpy(),
        )
        return grad_query.mul_(weight), grad_key.mul_(weight), grad_weight, None, None


class _GroupSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, energy: Tensor, bounds: Tensor) -> Tensor:
        share = np.empty(len(energy), dtype=np.float32)
        _softmax(contiguous_array(energy), bounds.numpy(), share)
        weights = torch.from_numpy(share)
        ctx.save_for_backward(weights, bounds)
        return weights

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        share, bounds = ctx.saved_tensors
        grad_energy = torch.empty(share.shape)
        _softmax_gradient(
            share.numpy(), bounds.numpy(), contiguous_array(grad), grad_energy.numpy()
        )
        return grad_energy, None


@njit(cache=True, nogil=True)
def _sum(
    rows: Float32Array,
    source: Int64Array,
    bounds: Int64Array,
    weight: Float32Array,
    summed: Float32Array,
) -> None:
    for g in range(len(bounds) - 1):
        total = summed[g]  # numba does not vectorize the loop over summed[g, d]
        for e in range(bounds[g], bounds[g + 1]):
            w, row = weight[e], rows[source[e]]
            for d in range(len(row)):
                total[d] += w * row[d]


@njit(cache=True, nogil=True)
def _row_gradients(
    grad: Float32Array,
    source: Int64Array,
    bounds: Int64Array,
    weight: Float32Array,
    grad_rows: Float32Array,
) -> None:
    for g in range(len(bounds) - 1):
        row = grad[g]
        for e in range(bounds[g], bounds[g + 1]):
            w, total = weight[e], grad_rows[source[e]]
            for d in range(len(row)):
                total[d] += w * row[d]


@njit(cache=True, nogil=True, fastmath=FAST_SUMS)
def _weight_gradients(
    grad: Float32Array,
    source: Int64Array,
    bounds: Int64Array,
    rows: Float32Array,
    grad_weight: Float32Array,
) -> None:
    for g in range(len(bounds) - 1):
        for e in range(bounds[g], bounds[g + 1]):
            total = np.float32(0.0)
            for d in range(grad.shape[1]):
                total += grad[g, d] * rows[source[e], d]
            grad_weight[e] = total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _energies(
    exp_query: Float32Array,
    exp_key: Float32Array,
    weight: Float32Array,
    source: Int64Array,
    bounds: Int64Array,
    energy: AnyArray,
) -> None:
    one = np.float32(1.0)
    for g in range(len(bounds) - 1):
        for e in range(bounds[g], bounds[g + 1]):
            total = np.float32(0.0)
            for h in range(len(weight)):
                total += weight[h] / (one + exp_query[g, h] * exp_key[source[e], h])
            energy[e] = total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_SUMS)
def _energy_gradients(
    exp_query: Float32Array,
    exp_key: Float32Array,
    source: Int64Array,
    bounds: Int64Array,
    grad: Float32Array,
    grad_query: Float32Array,
    grad_key: Float32Array,
    grad_weight: Float32Array,
) -> None:
    """Add to the gradients; those of query and key still lack the factor v_h."""
    one = np.float32(1.0)
    for g in range(len(bounds) - 1):
        for e in range(bounds[g], bounds[g + 1]):
            k = source[e]
            for h in range(exp_query.shape[1]):
                s = one / (one + exp_query[g, h] * exp_key[k, h])
                slope = grad[e] * s * (one - s)
                grad_query[g, h] += slope
                grad_key[k, h] += slope
                grad_weight[h] += grad[e] * s


@njit(cache=True, nogil=True)
def _softmax(energy: Float32Array, bounds: Int64Array, share: AnyArray) -> None:
    for g in range(len(bounds) - 1):
        highest = np.float32(-np.inf)
        for e in range(bounds[g], bounds[g + 1]):
            highest = max(highest, energy[e])
        total = np.float32(0.0)
        for e in range(bounds[g], bounds[g + 1]):
            share[e] = np.exp(energy[e] - highest)
            total += share[e]
        for e in range(bounds[g], bounds[g + 1]):
            share[e] /= total


@njit(cache=True, nogil=True)
def _softmax_gradient(
    share: Float32Array, bounds: Int64Array, grad: Float32Array, grad_energy: Float32Array
) -> None:
    for g in range(len(bounds) - 1):
        mean = np.float32(0.0)
        for e in range(bounds[g], bounds[g + 1]):
            mean += share[e] * grad[e]
        for e in range(bounds[g], bounds[g + 1]):
            grad_energy[e] = share[e] * (grad[e] - mean)
