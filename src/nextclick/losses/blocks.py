"""Loss and gradients of the full softmax over prefixes x items, one block at a time.

A block of R rows and all N columns costs three matrix products and one pass of `exp2`:

    E = 2^(q log2(e) Wᵀ)        (R, N), unnormalized
    E[r, t_r] -= Σ_j E[r, j]    now (p - onehot) times the sum of the row
    ∂q = E W / (P Σ_j E)
    ∂W += Eᵀ (q / (P Σ_j E))    divides D columns instead of N

On a CPU `exp2` takes two thirds of the time of `exp`. The maximum of a row is subtracted only if
the bound |q| max|w| + max|b| of all |z| exceeds `MAX_SAFE_LOGIT`.

If `MIN_ROWS` rows of all columns exceed `max_cells`, the columns are split as well. The first pass
over them computes the logarithm of the partition sum. The second pass computes the exponentials
again, which makes four products instead of three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch

if TYPE_CHECKING:
    from torch import Tensor

MAX_CELLS = 1 << 24  # 64 MiB of float32: full speed up to 130,000 items; larger is not faster
MIN_ROWS = 128  # with fewer rows the products are limited by memory bandwidth
TILE_ROWS = 2048
MAX_SAFE_LOGIT = 50.0  # sums of e^±50 over 10^10 cells and their inverses fit into float32
LOG2E = 1.0 / math.log(2.0)

Gradients: TypeAlias = "tuple[Tensor | None, Tensor | None, Tensor | None]"


@dataclass(frozen=True, slots=True)
class BlockSettings:
    """Precision, block size and required gradients.

    Attributes:
        dtype: precision of products and cells.
        max_cells: maximum number of cells of a block.
        query: whether the gradient of the queries is required.
        table: whether the gradient of the table is required.
        bias: whether the gradient of the bias is required.
    """

    dtype: torch.dtype
    max_cells: int
    query: bool = False
    table: bool = False
    bias: bool = False

    def with_gradients(self, query: bool, table: bool, bias: bool) -> BlockSettings:
        """A copy with these required gradients."""
        return replace(self, query=query, table=table, bias=bias)

    @property
    def sum_dtype(self) -> torch.dtype:
        """Precision of sums over cells."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32


@torch.no_grad()
def sweep(
    query: Tensor, table: Tensor, bias: Tensor | None, targets: Tensor, settings: BlockSettings
) -> tuple[Tensor, Gradients]:
    """Return the mean cross entropy and its gradients; a gradient not required is None.

    Args:
        query: (P, D).
        table: (N + 1, D).
        bias: (N + 1,) or None.
        targets: (P,) int64 in 1..N.
        settings: precision, block size and required gradients.
    """
    with torch.autocast(query.device.type, enabled=False):
        dtype = settings.sum_dtype
        target_logit = (query.to(dtype) * table[targets].to(dtype)).sum(1)  # (P,)
        if bias is not None:
            target_logit += bias[targets].to(dtype)
        cells = _Cells(query, table, bias, targets, settings)
        log_partition = cells.log_partition()  # (P,)
        return (log_partition - target_logit).mean(), cells.gradients(query, table, bias)


def block_shape(P: int, N: int, max_cells: int) -> tuple[int, int]:
    """Rows and columns of a block: all columns if at least `MIN_ROWS` rows fit, else a tile."""
    rows = max_cells // N
    if rows >= min(P, MIN_ROWS):
        return math.ceil(P / math.ceil(P / rows)), N  # blocks of equal size
    rows = min(P, TILE_ROWS, max_cells)
    return rows, min(N, max_cells // rows)


class _Cells:
    """The logits of P rows x N columns; one block (R, C) is in memory at a time."""

    def __init__(
        self,
        query: Tensor,
        table: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        settings: BlockSettings,
    ):
        dtype, self.sum_dtype = settings.dtype, settings.sum_dtype
        self.P, self.N = len(query), len(table) - 1
        self.shape = block_shape(self.P, self.N, settings.max_cells)
        self.buffer = torch.empty(math.prod(self.shape), dtype=dtype, device=query.device)
        self.is_safe = bool(logit_bound(query, table, bias) <= MAX_SAFE_LOGIT)
        self.queries = query.to(dtype)  # (P, D)
        self.scaled = (query.to(self.sum_dtype) * LOG2E).to(dtype)  # (P, D)
        self.items = table[1:].to(dtype)  # (N, D)
        self.bias = None
        if bias is not None:
            self.bias = (bias[1:].to(self.sum_dtype) * LOG2E).to(dtype)  # (N,)
        self.columns = targets - 1  # (P,), in 0..N - 1
        self.d_query = torch.empty_like(query, dtype=self.sum_dtype) if settings.query else None
        self.d_table = torch.empty_like(table, dtype=self.sum_dtype) if settings.table else None
        self.d_bias = None
        if bias is not None and settings.bias:
            self.d_bias = torch.empty_like(bias, dtype=self.sum_dtype)

    def log_partition(self) -> Tensor:
        """(P,) log of the partition sum of each row; also accumulates the required gradients."""
        R, C = self.shape
        tiles = [slice(first, min(first + C, self.N)) for first in range(0, self.N, C)]
        chunks = [slice(start, min(start + R, self.P)) for start in range(0, self.P, R)]
        one_pass = len(tiles) == 1
        logs = []
        for rows in chunks:
            cells, total, shift = self._exponentials(rows, tiles)
            if self.d_query is not None or self.d_table is not None or self.d_bias is not None:
                for columns in tiles:
                    if not one_pass:
                        cells = self._logits(rows, columns)
                        cells = (cells if self.is_safe else cells.sub_(shift)).exp2_()
                    self._accumulate_gradients(cells, total, rows, columns)
            logs.append((total.log2() + shift)[:, 0] / LOG2E)
        return torch.cat(logs)

    def gradients(self, query: Tensor, table: Tensor, bias: Tensor | None) -> Gradients:
        """Gradients with respect to each argument, in its dtype."""
        d_query, d_table, d_bias = self.d_query, self.d_table, self.d_bias
        if d_table is not None:
            d_table[0] = 0.0
        if d_bias is not None:
            d_bias[0] = 0.0
        return (
            None if d_query is None else d_query.to(query.dtype),
            None if d_table is None else d_table.to(table.dtype),
            None if d_bias is None or bias is None else d_bias.to(bias.dtype),
        )

    def _logits(self, rows: slice, columns: slice) -> Tensor:
        """(R, C) logits to base 2."""
        queries, items = self.scaled[rows], self.items[columns]
        cells = self.buffer[: len(queries) * len(items)].view(len(queries), len(items))
        if self.bias is None:
            return torch.mm(queries, items.T, out=cells)
        return torch.addmm(self.bias[columns], queries, items.T, out=cells)

    def _exponentials(self, rows: slice, tiles: list[slice]) -> tuple[Tensor, Tensor, Tensor]:
        """Return 2^(logit - shift) of the last tile (R, C), and the sum over all tiles and shift.

        Sum and shift are (R, 1). The shift is the maximum logit of the row, or 0 if the logits are
        safe.
        """
        R = rows.stop - rows.start
        total = torch.zeros(R, 1, dtype=self.sum_dtype, device=self.buffer.device)
        shift = torch.full_like(total, 0.0 if self.is_safe else -math.inf)
        for columns in tiles:
            cells = self._logits(rows, columns)
            if not self.is_safe:
                highest = torch.maximum(shift, cells.amax(1, keepdim=True))
                total *= (shift - highest).exp2()
                shift = highest
                cells.sub_(shift)
            total += cells.exp2_().sum(1, keepdim=True, dtype=self.sum_dtype)
        return cells, total, shift

    def _accumulate_gradients(
        self, cells: Tensor, total: Tensor, rows: slice, columns: slice
    ) -> None:
        """Accumulate the gradients of a block; its cells (R, C) are p times total (R, 1)."""
        _subtract_onehot(cells, self.columns[rows] - columns.start, total)
        weight = 1.0 / (total * self.P)  # (R, 1)
        new_rows, new_columns = columns.start == 0, rows.start == 0
        items = slice(columns.start + 1, columns.stop + 1)
        if self.d_query is not None:
            _accumulate(self.d_query[rows], cells, self.items[columns], new=new_rows)
            if columns.stop == self.N:
                self.d_query[rows] *= weight
        if self.d_table is not None:
            weighted = (self.queries[rows] * weight).to(cells.dtype)  # (R, D)
            _accumulate(self.d_table[items], cells.T, weighted, new=new_columns)
        if self.d_bias is not None:
            _accumulate(self.d_bias[items, None], cells.T, weight.to(cells.dtype), new=new_columns)


def logit_bound(query: Tensor, table: Tensor, bias: Tensor | None) -> Tensor:
    """Upper bound of the absolute values of all logits (Cauchy-Schwarz)."""
    longest_query: Tensor = torch.linalg.vector_norm(query, dim=1).amax()
    longest_item: Tensor = torch.linalg.vector_norm(table, dim=1).amax()
    bound = longest_query * longest_item
    return bound if bias is None else bound + bias.abs().amax()


def _subtract_onehot(cells: Tensor, columns: Tensor, total: Tensor) -> None:
    """Subtract total (R, 1) from the target's cell of each row, if it is among these (R, C)."""
    C = cells.shape[1]
    inside = ((columns >= 0) & (columns < C))[:, None]
    target = columns.clamp(0, C - 1)[:, None]  # (R, 1)
    difference = cells.gather(1, target) - torch.where(inside, total, 0.0).to(cells.dtype)
    cells.scatter_(1, target, difference)


def _accumulate(out: Tensor, a: Tensor, b: Tensor, *, new: bool) -> None:
    """Add a @ b to `out`, of any dtypes; with `new`, overwrite `out`."""
    if out.dtype == a.dtype:
        out.addmm_(a, b, beta=0 if new else 1)
    elif new:
        out.copy_(a @ b)
    else:
        out.add_(a @ b)
