"""Sums and attention over groups of rows, as the models of graphs need them.

G groups take from M rows. Group g takes the rows `source[bounds[g]:bounds[g + 1]]`, E in all; a row
may be in several groups, and several times in one: the neighbors of each node, the nodes of each
prefix. On a CPU compiled kernels walk the groups, so that nothing of the size (E, D) is stored;
elsewhere (and when a graph is exported) the formulas run as they stand, which do store it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit

from nextclick.models.ops.additive_attention import LIMIT

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
    if not _compiled(rows):
        return plain_group_sum(rows, source, bounds, weight)
    summed: Tensor = _GroupSum.apply(rows, source, bounds, weight)  # type: ignore[no-untyped-call]
    return summed


def group_energy(
    query: Tensor, key: Tensor, weight: Tensor, source: Tensor, bounds: Tensor
) -> Tensor:
    """(E,) float32 energies Σ_h v_h σ(q_gh + k_h) of each row that a group takes.

    Args:
        query: (G, H), q.
        key: (M, H), k is that of row source_e.
        weight: (H,), v.
        source: (E,) int64 in 0..M - 1.
        bounds: (G + 1,) int64.
    """
    query, key, weight = query.float(), key.float(), weight.float()
    if not _compiled(query):
        return plain_group_energy(query, key, weight, source, bounds)
    energy: Tensor = _GroupEnergy.apply(  # type: ignore[no-untyped-call]
        query, key, weight, source, bounds
    )
    return energy


def group_softmax(energy: Tensor, bounds: Tensor) -> Tensor:
    """(E,) float32, a softmax of the (E,) energies within each group."""
    energy = energy.float()
    if not _compiled(energy):
        return plain_group_softmax(energy, bounds)
    share: Tensor = _GroupSoftmax.apply(energy, bounds)  # type: ignore[no-untyped-call]
    return share


def plain_group_sum(rows: Tensor, source: Tensor, bounds: Tensor, weight: Tensor) -> Tensor:
    """The same by the formula."""
    taken = rows.index_select(0, source) * weight[:, None]  # (E, D)
    summed = rows.new_zeros(len(bounds) - 1, rows.shape[1])
    return summed.index_add(0, _group(bounds), taken)


def plain_group_energy(
    query: Tensor, key: Tensor, weight: Tensor, source: Tensor, bounds: Tensor
) -> Tensor:
    """The same by the formula."""
    of_group = query.index_select(0, _group(bounds))  # (E, H)
    return torch.sigmoid(of_group + key.index_select(0, source)) @ weight


def plain_group_softmax(energy: Tensor, bounds: Tensor) -> Tensor:
    """The same by the formula."""
    group, G = _group(bounds), len(bounds) - 1
    least = energy.new_full((G,), -torch.inf)
    highest = least.scatter_reduce(0, group, energy.detach(), "amax")  # (G,)
    powers = (energy - highest[group]).exp()
    return powers / energy.new_zeros(G).index_add(0, group, powers)[group]


def _group(bounds: Tensor) -> Tensor:
    """(E,) the group of each row that is taken."""
    numbers = torch.arange(len(bounds) - 1, device=bounds.device)
    return numbers.repeat_interleave(bounds.diff())


def _compiled(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def _array(tensor: Tensor) -> Float32Array:
    array: Float32Array = tensor.detach().contiguous().numpy()
    return array


class _GroupSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, source: Tensor, bounds: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows, source, bounds, weight)
        summed = np.zeros((len(bounds) - 1, rows.shape[1]), dtype=np.float32)
        _sum(_array(rows), source.numpy(), bounds.numpy(), _array(weight), summed)
        return torch.from_numpy(summed)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, source, bounds, weight = ctx.saved_tensors
        arrays = (_array(grad), source.numpy(), bounds.numpy())
        of_rows = of_weight = None
        if ctx.needs_input_grad[0]:
            of_rows = torch.zeros_like(rows, memory_format=torch.contiguous_format)
            _spread(*arrays, _array(weight), of_rows.numpy())
        if ctx.needs_input_grad[3]:
            of_weight = torch.empty(weight.shape)
            _meet(*arrays, _array(rows), of_weight.numpy())
        return of_rows, None, None, of_weight


class _GroupEnergy(torch.autograd.Function):
    """σ(q + k) = 1 / (1 + exp(-q) exp(-k)), as in `additive_attention`."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, weight: Tensor, source: Tensor, bounds: Tensor
    ) -> Tensor:
        far_query, far_key = _exp_of_minus(query), _exp_of_minus(key)
        ctx.save_for_backward(far_query, far_key, weight, source, bounds)
        energy = np.empty(len(source), dtype=np.float32)
        _energies(
            far_query.numpy(),
            far_key.numpy(),
            _array(weight),
            source.numpy(),
            bounds.numpy(),
            energy,
        )
        return torch.from_numpy(energy)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        far_query, far_key, weight, source, bounds = ctx.saved_tensors
        of_query, of_key = torch.zeros_like(far_query), torch.zeros_like(far_key)
        of_weight = torch.zeros(weight.shape)
        _energy_gradients(
            far_query.numpy(),
            far_key.numpy(),
            source.numpy(),
            bounds.numpy(),
            _array(grad),
            of_query.numpy(),
            of_key.numpy(),
            of_weight.numpy(),
        )
        return of_query.mul_(weight), of_key.mul_(weight), of_weight, None, None


class _GroupSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, energy: Tensor, bounds: Tensor) -> Tensor:
        share = np.empty(len(energy), dtype=np.float32)
        _softmax(_array(energy), bounds.numpy(), share)
        found = torch.from_numpy(share)
        ctx.save_for_backward(found, bounds)
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        share, bounds = ctx.saved_tensors
        of_energy = torch.empty(share.shape)
        _softmax_gradient(share.numpy(), bounds.numpy(), _array(grad), of_energy.numpy())
        return of_energy, None


def _exp_of_minus(tensor: Tensor) -> Tensor:
    return tensor.detach().clamp(-LIMIT, LIMIT).neg_().exp_().contiguous()


# sums may be taken in any order, so that they use vector instructions; NaN stays NaN
_FAST = {"reassoc", "nsz", "contract"}


@njit(cache=True, nogil=True)
def _sum(
    rows: Float32Array,
    source: Int64Array,
    bounds: Int64Array,
    weight: Float32Array,
    summed: Float32Array,
) -> None:
    for g in range(len(bounds) - 1):
        into = summed[g]  # by name: with two indices the compiler makes no vectors of it
        for e in range(bounds[g], bounds[g + 1]):
            w, row = weight[e], rows[source[e]]
            for d in range(len(row)):
                into[d] += w * row[d]


@njit(cache=True, nogil=True)
def _spread(
    grad: Float32Array,
    source: Int64Array,
    bounds: Int64Array,
    weight: Float32Array,
    of_rows: Float32Array,
) -> None:
    for g in range(len(bounds) - 1):
        row = grad[g]
        for e in range(bounds[g], bounds[g + 1]):
            w, into = weight[e], of_rows[source[e]]
            for d in range(len(row)):
                into[d] += w * row[d]


@njit(cache=True, nogil=True, fastmath=_FAST)
def _meet(
    grad: Float32Array,
    source: Int64Array,
    bounds: Int64Array,
    rows: Float32Array,
    of_weight: Float32Array,
) -> None:
    for g in range(len(bounds) - 1):
        for e in range(bounds[g], bounds[g + 1]):
            total = np.float32(0.0)
            for d in range(grad.shape[1]):
                total += grad[g, d] * rows[source[e], d]
            of_weight[e] = total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _energies(
    far_query: Float32Array,
    far_key: Float32Array,
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
                total += weight[h] / (one + far_query[g, h] * far_key[source[e], h])
            energy[e] = total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _energy_gradients(
    far_query: Float32Array,
    far_key: Float32Array,
    source: Int64Array,
    bounds: Int64Array,
    grad: Float32Array,
    of_query: Float32Array,
    of_key: Float32Array,
    of_weight: Float32Array,
) -> None:
    """Add to the gradients; those of query and key still lack the factor v_h."""
    one = np.float32(1.0)
    for g in range(len(bounds) - 1):
        for e in range(bounds[g], bounds[g + 1]):
            k = source[e]
            for h in range(far_query.shape[1]):
                s = one / (one + far_query[g, h] * far_key[k, h])
                slope = grad[e] * s * (one - s)
                of_query[g, h] += slope
                of_key[k, h] += slope
                of_weight[h] += grad[e] * s


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
    share: Float32Array, bounds: Int64Array, grad: Float32Array, of_energy: Float32Array
) -> None:
    for g in range(len(bounds) - 1):
        mean = np.float32(0.0)
        for e in range(bounds[g], bounds[g + 1]):
            mean += share[e] * grad[e]
        for e in range(bounds[g], bounds[g + 1]):
            of_energy[e] = share[e] * (grad[e] - mean)
