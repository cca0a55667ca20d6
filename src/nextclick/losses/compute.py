"""The trainer's way to a loss: by name, whatever it needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from nextclick.errors import ConfigError
from nextclick.losses import loss_kind
from nextclick.losses.blocks import MAX_CELLS
from nextclick.losses.candidates import score_candidates
from nextclick.losses.pairwise import activate
from nextclick.losses.sampled import sampled_softmax
from nextclick.losses.softmax import full_softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    Pairwise: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss with its settings.

    Attributes:
        name: one of `nextclick.losses.LOSSES`.
        in_batch: the other targets of a batch are negatives too.
        regularization: λ of bpr-max.
        activation: none, tanh or elu: of the scores, in losses that compare pairs of them.
        elu_alpha: α of elu, α (exp z - 1) for z < 0.
        correct_target: of "sampled", see `losses.sampled`.
        sparse: give table and bias sparse gradients; not with "ce".
        matmul_dtype: of "ce", see `full_softmax`.
        max_cells: of "ce", see `full_softmax`.

    Raises:
        ConfigError: no loss has that name, or it has no use for `in_batch` or `sparse`.
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
        if not loss_kind(self.name).negatives:
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
        counted: Tensor | None = None,
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            query: (P, D), one row per prefix.
            table: (N + 1, D).
            targets: (P,) int64 in 1..N.
            bias: (N + 1,), or None.
            negatives: (M,) int64 shared by all rows, or (P, M).
            log_q: (N + 1,), for "sampled", log probability of a draw of `negatives`.
            log_p: (N + 1,), for "sampled" with `in_batch`, log probability as a target.
            counted: (P, M) bool, False where a negative must not count.

        Raises:
            ConfigError: negatives for a loss that has none, or none for one that needs them.
        """
        if not loss_kind(self.name).negatives:
            if negatives is not None:
                raise ConfigError(f"loss {self.name!r} scores all items: draw no negatives")
            return full_softmax(
                query, table, targets,
                bias=bias, matmul_dtype=self.matmul_dtype, max_cells=self.max_cells,
            )  # fmt: skip
        if negatives is None and not self.in_batch:
            raise ConfigError(
                f"loss {self.name!r} needs negatives: draw at least one, or set in_batch to true"
            )
        if self.name == "sampled":
            return sampled_softmax(
                query, table, targets, negatives,
                bias=bias, log_q=log_q, log_p=log_p, in_batch=self.in_batch,
                correct_target=self.correct_target, counted=counted, sparse=self.sparse,
            )  # fmt: skip
        found = score_candidates(
            query, table, targets, negatives,
            bias=bias, in_batch=self.in_batch, counted=counted, sparse=self.sparse,
        )  # fmt: skip
        positive, negative = (
            activate(scores, self.activation, self.elu_alpha)
            for scores in (found.positive, found.negative)
        )
        return self._pairwise()(positive, negative, found.counted)

    def _pairwise(self) -> Pairwise:
        kind = loss_kind(self.name)
        assert kind.pairwise is not None
        module, _, name = kind.pairwise.partition(":")
        function: Any = getattr(import_module(module), name)
        if kind.regularized:
            function = partial(function, regularization=self.regularization)
        pairwise: Pairwise = function
        return pairwise
