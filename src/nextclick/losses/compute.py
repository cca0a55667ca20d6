"""A loss by name, with its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from nextclick.errors import ConfigError
from nextclick.losses import loss_spec
from nextclick.losses.additions import add_to_candidates, full_softmax_with_additions
from nextclick.losses.blocks import MAX_CELLS
from nextclick.losses.candidates import score_candidates
from nextclick.losses.pairwise import activate
from nextclick.losses.sampled import sampled_softmax
from nextclick.losses.softmax import full_softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from nextclick.losses.additions import Additions

    Pairwise: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss with its parameters.

    Attributes:
        name: one of `nextclick.losses.LOSSES`.
        in_batch: use the other targets of a batch as negatives.
        regularization: λ of bpr-max.
        activation: none, tanh or elu: activation of the scores in pairwise losses.
        elu_alpha: α of elu, α (exp z - 1) for z < 0.
        correct_target: parameter of "sampled", see `losses.sampled`.
        sparse: give table and bias sparse gradients; not for "ce".
        matmul_dtype: parameter of "ce", see `full_softmax`.
        max_cells: parameter of "ce", see `full_softmax`.

    Raises:
        ConfigError: there is no loss of that name, or it has no `in_batch` or `sparse`.
    """

    name: str
    in_batch: bool = False
    regularization: float = 1.0
    activation: str = "none"
    elu_alpha: float = 1.0
    correct_target: bool = False
    sparse: bool = False
    matmul_dtype: torch.dtype | None = None
    max_cells: int = MAX_CELLS

    def __post_init__(self) -> None:
        if not loss_spec(self.name).negatives:
            for field in ("in_batch", "sparse"):
                if getattr(self, field):
                    raise ConfigError(f"loss {self.name!r} scores all items: set {field} to false")

    def __call__(
        self,
        query: Tensor,
        table: Tensor,
        targets: Tensor,
        *,
        bias: Tensor | None = None,
        negatives: Tensor | None = None,
        log_q: Tensor | None = None,
        log_p: Tensor | None = None,
        batch_targets: Tensor | None = None,
        valid: Tensor | None = None,
        additions: Additions | None = None,
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            query: (P, D), one row per prefix.
            table: (N + 1, D).
            targets: (P,) int64 in 1..N.
            bias: (N + 1,), or None.
            negatives: (M,) int64 shared by all rows, or (P, M).
            log_q: (N + 1,), for "sampled", log sampling probability of `negatives`.
            log_p: (N + 1,), for "sampled" with `in_batch`, log probability as a target.
            batch_targets: (Q,) targets of the whole batch, for rows that are a part of it.
            valid: (P, M) bool mask of `negatives`; None allows all.
            additions: values that are added to scores, see `losses.additions`.

        Raises:
            ConfigError: negatives for a loss that scores all items, or missing negatives.
        """
        if not loss_spec(self.name).negatives:
            if negatives is not None:
                raise ConfigError(f"loss {self.name!r} scores all items: pass no negatives")
            if additions is not None:
                return full_softmax_with_additions(query, table, targets, additions, bias)
            return full_softmax(
                query, table, targets,
                bias=bias, matmul_dtype=self.matmul_dtype, max_cells=self.max_cells,
            )  # fmt: skip
        if negatives is None and not self.in_batch:
            raise ConfigError(
                f"loss {self.name!r} needs negatives: pass at least one, or set in_batch to true"
            )
        if self.name == "sampled":
            return sampled_softmax(
                query, table, targets, negatives,
                bias=bias, log_q=log_q, log_p=log_p, in_batch=self.in_batch,
                batch_targets=batch_targets, correct_target=self.correct_target, valid=valid,
                sparse=self.sparse, additions=additions,
            )  # fmt: skip
        candidates = score_candidates(
            query, table, targets, negatives,
            bias=bias, in_batch=self.in_batch, batch_targets=batch_targets, valid=valid,
            sparse=self.sparse,
        )  # fmt: skip
        if additions is not None:
            candidates = add_to_candidates(candidates, targets, additions)
        positive, negative = (
            activate(scores, self.activation, self.elu_alpha)
            for scores in (candidates.positive, candidates.negative)
        )
        return self._pairwise()(positive, negative, candidates.valid)

    def _pairwise(self) -> Pairwise:
        spec = loss_spec(self.name)
        assert spec.pairwise is not None
        module, _, name = spec.pairwise.partition(":")
        function: Any = getattr(import_module(module), name)
        if spec.regularized:
            function = partial(function, regularization=self.regularization)
        pairwise: Pairwise = function
        return pairwise
