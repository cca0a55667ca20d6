"""The loss and the gradients of a step of lanes, by compiled kernels instead of autograd.

A step of GRU4Rec has the rows of some thousand items, the gates, the scores of all candidates, the
loss, and the gradients of all of these. As tensor operations these are over a hundred calls, which
take several times as long as the products among them. Here the targets, negatives and inputs of a
step are reduced to their distinct items first. Then every table row is gathered, multiplied and
updated once, however often its item occurs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numba import njit

from nextclick.losses import pool_kernels
from nextclick.losses.pool_kernels import ACTIVATIONS, PAIRWISE

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nextclick.core.types import AnyArray, Float32Array, Int64Array
    from nextclick.models.encoder import Encoder
    from nextclick.models.ops.gru_step import GRUStack
    from nextclick.training.batch_source import TrainingStep
    from nextclick.training.objective import Objective
    from nextclick.training.training_config import TrainingConfig

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_TINY = np.finfo(np.float32).tiny


class CompiledStep:
    """Computes the loss of a step of lanes and sets the gradients of all parameters."""

    @staticmethod
    def create(
        encoder: Encoder, config: TrainingConfig, objective: Objective, device: torch.device
    ) -> CompiledStep | None:
        """The compiled step of a run; None if it does not cover the encoder, config or device."""
        stack = encoder.gru_stack()
        is_covered = (
            stack is not None
            and device.type == "cpu"
            and config.sparse
            and config.loss in ("sampled", *PAIRWISE)
            and config.precision != "bf16"
            and all(weight.dtype == torch.float32 for weight in encoder.parameters())
        )
        return CompiledStep(encoder, stack, config, objective) if is_covered and stack else None

    def __init__(
        self, encoder: Encoder, stack: GRUStack, config: TrainingConfig, objective: Objective
    ):
        self._stack, self._config, self._objective = stack, config, objective
        self._items = cast("nn.Embedding", encoder.items).weight
        self._table, self._bias = encoder.table()
        self._slots = np.full(len(self._items), -1, dtype=np.int64)

    @torch.no_grad()
    def __call__(self, step: TrainingStep, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the () mean loss of a step and the (L, B, H) states after it.

        The parameters have the gradients of the loss times the weight and share of the step.

        Args:
            step: of lanes.
            state: (L, B, H) states before the step, zero in lanes whose session begins.
        """
        table, bias = self._table, self._bias
        assert bias is not None
        is_tied = table is self._items
        pool = _Pool(step, in_batch=self._config.in_batch, with_inputs=is_tied, slots=self._slots)
        rows = table.index_select(0, pool.items)  # (C, D)
        if is_tied:
            x = rows.index_select(0, pool.inputs)  # (B, D)
        else:
            x = self._items.index_select(0, step.items)
        states, gradients = self._stack.forward(x, state)
        if not len(step.targets):  # other processes have all of them
            return torch.zeros(()), states
        queries = states[-1]
        if step.where is not None:
            queries = queries.index_select(0, step.where)  # (P, D)
        scores = torch.addmm(bias.index_select(0, pool.items), queries, rows.T)  # (P, C)
        loss = self._loss(scores, pool)  # scores has its gradient from here on
        factor = step.weight * step.share
        if factor != 1:
            scores.mul_(factor)
        d_queries = scores @ rows
        if step.where is not None:
            d_queries = torch.zeros_like(states[-1]).index_copy_(0, step.where, d_queries)
        d_rows = scores.T @ queries  # (C, D)
        d_x = gradients.backward(d_queries)  # (B, D)
        if is_tied:
            d_rows.index_add_(0, pool.inputs, d_x)
        else:
            self._items.grad = _sparse(step.items, d_x, self._items)
        table.grad = _sparse(pool.items, d_rows, table, is_distinct=True)
        bias.grad = _sparse(pool.items, scores.sum(0), bias, is_distinct=True)
        return torch.tensor(loss), states

    def _loss(self, scores: Tensor, pool: _Pool) -> float:
        """The mean loss; replaces the (P, C) scores by its gradient."""
        config, own, counts = self._config, pool.own, pool.counts
        if config.loss == "sampled":
            expected = self._objective.expected_counts(pool.items, pool.n_targets)
            shifts = np.zeros(len(own), dtype=np.float32)
            if expected is not None:
                counts = counts / np.maximum(expected.numpy(), _TINY)  # padding is never expected
                if config.correct_target:
                    shifts = np.log(expected.numpy()[own])
            return pool_kernels.sampled(scores.numpy(), own, counts, shifts)
        slopes = None
        if config.score_activation != "none":
            slopes = torch.empty_like(scores)
            pool_kernels.activate(
                scores.numpy(),
                slopes.numpy(),
                ACTIVATIONS[config.score_activation],
                np.float32(config.elu_alpha),
            )
        loss = pool_kernels.pairwise(
            scores.numpy(), own, counts, PAIRWISE[config.loss], config.regularization
        )
        if slopes is not None:
            scores.mul_(slopes)
        return float(loss)


class _Pool:
    """The distinct items of a step.

    Attributes:
        items: (C,) int64.
        counts: (C,) float32, how often each is a negative.
        own: (P,) int64, the position of each target in `items`.
        inputs: (B,) int64, the position of each input, with `with_inputs`.
        n_targets: number of targets of the step in all processes.
    """

    def __init__(self, step: TrainingStep, *, in_batch: bool, with_inputs: bool, slots: Int64Array):
        targets = step.targets if step.batch_targets is None else step.batch_targets
        nothing = targets[:0]
        negatives = nothing if step.negatives is None else step.negatives
        inputs = step.items if with_inputs else nothing
        items, self.counts = _number_items(
            targets.numpy(), negatives.numpy(), inputs.numpy(), np.float32(in_batch), slots
        )
        self.items = torch.from_numpy(items)
        self.own: AnyArray = slots[step.targets.numpy()]
        self.inputs = torch.from_numpy(slots[inputs.numpy()])
        self.n_targets = len(targets)
        slots[items] = -1


def _sparse(rows: Tensor, values: Tensor, weight: Tensor, *, is_distinct: bool = False) -> Tensor:
    """The gradient of a table with values in some of its rows.

    Distinct rows are marked as coalesced. They are not sorted; no optimizer needs that.
    """
    return torch.sparse_coo_tensor(
        rows[None], values, weight.shape, check_invariants=False, is_coalesced=is_distinct
    )


@njit(cache=True, nogil=True)
def _number_items(
    targets: Int64Array,
    negatives: Int64Array,
    inputs: Int64Array,
    in_batch: np.float32,
    slots: Int64Array,
) -> tuple[Int64Array, Float32Array]:
    """The distinct items in the order of their first occurrence, and how often each is a negative.

    Args:
        targets: of the step.
        negatives: sampled items.
        inputs: further items.
        in_batch: how often a target is a negative, 0 or 1.
        slots: (N + 1,) all -1; receives the position of each distinct item.
    """
    distinct = np.empty(len(targets) + len(negatives) + len(inputs), dtype=np.int64)
    counts = np.zeros(len(distinct), dtype=np.float32)
    n = 0
    for items, count in ((targets, in_batch), (negatives, _ONE), (inputs, _ZERO)):
        for item in items:
            if slots[item] < 0:
                slots[item] = n
                distinct[n] = item
                n += 1
            counts[slots[item]] += count
    return distinct[:n], counts[:n]
