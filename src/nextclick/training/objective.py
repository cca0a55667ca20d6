"""The training objective: the loss of a config and the sampling of its negatives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from nextclick.batches.negatives import NegativeSampler
from nextclick.losses import loss_spec
from nextclick.losses.compute import Loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from nextclick.core.types import BoolArray, Int64Array
    from nextclick.models.ops.earlier_sessions import ScoreAdditions
    from nextclick.training.training_config import TrainingConfig


class Objective:
    """Samples negatives and computes the mean loss of queries and targets."""

    def __init__(
        self,
        config: TrainingConfig,
        support: Int64Array,
        device: torch.device,
        *,
        clicked_only: bool = False,
    ):
        """Set up the loss and its negative sampler.

        Args:
            config: names the loss and the distribution of negatives.
            support: (N + 1,) clicks per item, the base of that distribution.
            device: where the loss is computed.
            clicked_only: draw no item without a click, also with a uniform distribution.
        """
        self._n_negatives = config.negatives
        self._loss = Loss(
            config.loss,
            in_batch=config.in_batch,
            regularization=config.regularization,
            activation=config.score_activation,
            elu_alpha=config.elu_alpha,
            correct_target=config.correct_target,
            sparse=config.sparse,
        )
        weights, alpha = support, config.negative_alpha
        if clicked_only and alpha == 0:
            weights, alpha = np.minimum(support, 1), 1.0
        self._sampler = (
            NegativeSampler(weights, alpha)
            if config.negatives and config.negative_source == "log"
            else None
        )
        self._log_q: Tensor | None = None
        self._log_p: Tensor | None = None
        if config.log_q and loss_spec(config.loss).log_q:
            if self._sampler is not None:
                self._log_q = torch.from_numpy(self._sampler.log_q).to(device)
            if config.in_batch:
                log_p = NegativeSampler(support, 1.0).log_q  # targets come in proportion to clicks
                self._log_p = torch.from_numpy(log_p).to(device)
        self._q, self._p = (
            None if log is None else log.exp() for log in (self._log_q, self._log_p)
        )

    @property
    def in_batch(self) -> bool:
        """Whether the targets of a step are negatives of its other prefixes."""
        return self._loss.in_batch

    def counts(self, targets: Int64Array, negatives: Int64Array | None) -> BoolArray:
        """(P,) which prefixes of a step the mean loss counts: those with a negative, or all.

        Args:
            targets: (P,) of the whole step.
            negatives: (M,) or (P, M) sampled items of the whole step, or None.
        """
        if loss_spec(self._loss.name).pairwise is None:
            return np.ones(len(targets), dtype=np.bool_)
        shared = targets[: len(targets) * self._loss.in_batch]
        if negatives is None or negatives.ndim == 1:
            shared = shared if negatives is None else np.concatenate([shared, negatives])
        items = np.unique(shared[shared != 0])
        valid = np.full(len(targets), len(items) > 1)
        if len(items) == 1:
            valid = targets != items[0]
        if negatives is not None and negatives.ndim == 2:
            valid = valid | ((negatives != targets[:, None]) & (negatives != 0)).any(axis=1)
        return valid

    def expected_counts(self, items: Tensor, n_targets: int) -> Tensor | None:
        """(C,) how often each of (C,) items is expected among a prefix's negatives, for log Q.

        Args:
            items: (C,) int64.
            n_targets: number of targets of the step.

        Returns:
            Float32 counts; None if the loss does not correct for them.
        """
        if self._log_q is None and self._log_p is None:
            return None
        sources = ((self._n_negatives, self._q), (n_targets - 1, self._p))
        counts = [n * p.index_select(0, items) for n, p in sources if p is not None]
        return counts[0] if len(counts) == 1 else counts[0].add_(counts[1])

    def draw(self, rng: np.random.Generator, n_steps: int) -> Int64Array | None:
        """(K, M) int64 negatives for K steps; None if the loss needs none from the sampler."""
        if self._sampler is None:
            return None
        return self._sampler.draw((n_steps, self._n_negatives), rng)

    def __call__(
        self,
        queries: Tensor,
        table: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        negatives: Tensor | None,
        additions: ScoreAdditions | None = None,
        batch_targets: Tensor | None = None,
        step_items: Tensor | None = None,
    ) -> Tensor:
        """() loss of (P, D) queries and (P,) targets against the (N + 1, D) table.

        Args:
            queries: (P, D).
            table: (N + 1, D).
            bias: (N + 1,), or None.
            targets: (P,) in 1..N.
            negatives: (M,) or (P, M) sampled items, or None.
            additions: what the encoder adds to scores, or None.
            batch_targets: (Q,) targets of the whole step, if other processes have some of them.
            step_items: (U,) the items of the rows of the table, if it has those of a step only; all
                other arguments then number the rows.
        """
        log_q, log_p = self._logs(step_items)
        return self._loss(
            queries, table, targets,
            bias=bias, negatives=negatives, log_q=log_q, log_p=log_p,
            batch_targets=batch_targets, additions=additions,
        )  # fmt: skip

    def of_candidates(
        self,
        queries: Tensor,
        rows_of: Callable[[Tensor], Tensor],
        targets: Tensor,
        negatives: Tensor,
        batch_targets: Tensor | None = None,
        step_items: Tensor | None = None,
    ) -> Tensor:
        """() loss against the vectors that `rows_of` computes of (U,) distinct items.

        The loss sees a table of these items alone, so nothing of the size of the catalog is
        computed.
        """
        P = len(targets)
        pool = targets[:0] if batch_targets is None else batch_targets
        first = P + len(pool)  # of the sampled negatives
        every = torch.cat([targets, pool, negatives.flatten()])
        used, index = torch.unique(every, return_inverse=True)
        rows = rows_of(used)  # (U, D)
        table = torch.cat([rows.new_zeros(1, rows.shape[1]), rows])
        log_q, log_p = (
            None if log is None else torch.cat([log[:1], log[used]])
            for log in self._logs(step_items)
        )
        local = torch.where(used == 0, 0, torch.arange(1, len(table), device=used.device))[index]
        return replace(self._loss, sparse=False)(
            queries, table, local[:P],
            negatives=local[first:].view_as(negatives), log_q=log_q, log_p=log_p,
            batch_targets=None if batch_targets is None else local[P:first],
        )  # fmt: skip

    def _logs(self, step_items: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Log probability of each row of the table as a sampled negative, and as a target."""
        log_q, log_p = (
            log if log is None or step_items is None else log[step_items]
            for log in (self._log_q, self._log_p)
        )
        return log_q, log_p
