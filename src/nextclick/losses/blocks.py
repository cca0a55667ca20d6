"""One sweep over all prefixes x items, a block at a time: the arithmetic of the full softmax.

A block of R rows by all N columns costs three matrix products and one pass of `exp2`:

    E = 2^(q log2(e) Wᵀ)        (R, N), unnormalized
    E[r, t_r] -= Σ_j E[r, j]    now p - onehot, times the sum of the row
    ∂q = E W / (P Σ_j E)
    ∂W += Eᵀ (q / (P Σ_j E))    dividing D columns instead of N

On a CPU `exp2` takes two thirds of the time of `exp`, and a row's maximum is found and subtracted
only if |q| max|w| + max|b|, which bounds every |z|, exceeds `CALM`.

Where `MIN_ROWS` rows of all columns are more than `max_cells`, columns are cut too. A first pass
over them then finds the logarithm of the partition sum, and a second one computes the exponentials
again: four products instead of three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch

if TYPE_CHECKING:
    from torch import Tensor

MAX_CELLS = 1 << 24  # 64 MiB of float32: full speed up to 130,000 items; more gives no more
MIN_ROWS = 128  # with fewer the products of a block wait for memory
TILE_ROWS = 2048
CALM = 50.0  # sums of e^±50 over 10^10 cells, and their inverses, are far from float32's ends
LOG2E = 1.0 / math.log(2.0)

Gradients: TypeAlias = "tuple[Tensor | None, Tensor | None, Tensor | None]"


@dataclass(frozen=True, slots=True)
class BlockSettings:
    """How to go about it.

    Attributes:
        dtype: precision of the products and of the cells.
        max_cells: most cells of a block.
        query, table, bias: whose gradient is wanted.
    """

    dtype: torch.dtype
    max_cells: int
    query: bool = False
    table: bool = False
    bias: bool = False

    def wanting(self, query: bool, table: bool, bias: bool) -> BlockSettings:
        """The same with these gradients."""
        return replace(self, query=query, table=table, bias=bias)

    @property
    def sums(self) -> torch.dtype:
        """Precision of sums over cells."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32


@torch.no_grad()
def sweep(
    query: Tensor, table: Tensor, bias: Tensor | None, targets: Tensor, settings: BlockSettings
) -> tuple[Tensor, Gradients]:
    """Return the mean cross entropy and its gradients, None where not wanted.

    Args:
        query: (P, D).
        table: (N + 1, D).
        bias: (N + 1,) or None.
        targets: (P,) int64 in 1..N.
        settings: precision, size of blocks, and which gradients.
    """
    with torch.autocast(query.device.type, enabled=False):
        sums = settings.sums
        own = (query.to(sums) * table[targets].to(sums)).sum(1)  # (P,), the target's logit
        if bias is not None:
            own += bias[targets].to(sums)
        cells = _Cells(query, table, bias, targets, settings)
        partition = cells.visit()  # (P,)
        return (partition - own).mean(), cells.gradients(query, table, bias)


def block_shape(P: int, N: int, max_cells: int) -> tuple[int, int]:
    """Rows and columns of a block: all columns if that leaves `MIN_ROWS` rows, else a tile."""
    rows = max_cells // N
    if rows >= min(P, MIN_ROWS):
        return math.ceil(P / math.ceil(P / rows)), N  # of equal size
    rows = min(P, TILE_ROWS, max_cells)
    return rows, min(N, max_cells // rows)


class _Cells:
    """The logits of P rows x N columns, of which one block (R, C) exists at a time."""

    def __init__(
        self,
        query: Tensor,
        table: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        settings: BlockSettings,
    ):
        dtype, self.sums = settings.dtype, settings.sums
        self.P, self.N = len(query), len(table) - 1
        self.shape = block_shape(self.P, self.N, settings.max_cells)
        self.room = torch.empty(math.prod(self.shape), dtype=dtype, device=query.device)
        self.calm = bool(_bound(query, table, bias) <= CALM)
        self.queries = query.to(dtype)  # (P, D)
        self.scaled = (query.to(self.sums) * LOG2E).to(dtype)  # (P, D)
        self.items = table[1:].to(dtype)  # (N, D)
        self.bias = None if bias is None else (bias[1:].to(self.sums) * LOG2E).to(dtype)  # (N,)
        self.columns = targets - 1  # (P,), in 0..N - 1
        self.d_query = torch.empty_like(query, dtype=self.sums) if settings.query else None
        self.d_table = torch.empty_like(table, dtype=self.sums) if settings.table else None
        self.d_bias = None
        if bias is not None and settings.bias:
            self.d_bias = torch.empty_like(bias, dtype=self.sums)

    def visit(self) -> Tensor:
        """(P,), log of the partition sum of each row; fills the gradients on the way."""
        R, C = self.shape
        tiles = [slice(first, min(first + C, self.N)) for first in range(0, self.N, C)]
        chunks = [slice(start, min(start + R, self.P)) for start in range(0, self.P, R)]
        one_pass = len(tiles) == 1
        found = []
        for rows in chunks:
            cells, total, shift = self._exponentials(rows, tiles)
            if self.d_query is not None or self.d_table is not None or self.d_bias is not None:
                for columns in tiles:
                    if not one_pass:
                        cells = self._logits(rows, columns)
                        cells = (cells if self.calm else cells.sub_(shift)).exp2_()
                    self._add(cells, total, rows, columns)
            found.append((total.log2() + shift)[:, 0] / LOG2E)
        return torch.cat(found)

    def gradients(self, query: Tensor, table: Tensor, bias: Tensor | None) -> Gradients:
        """With respect to each of them, in its dtype."""
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
        """(R, C), to base 2."""
        queries, items = self.scaled[rows], self.items[columns]
        cells = self.room[: len(queries) * len(items)].view(len(queries), len(items))
        if self.bias is None:
            return torch.mm(queries, items.T, out=cells)
        return torch.addmm(self.bias[columns], queries, items.T, out=cells)

    def _exponentials(self, rows: slice, tiles: list[slice]) -> tuple[Tensor, Tensor, Tensor]:
        """Return 2^(logit - shift) of the last tile (R, C), its sum over all tiles, and shift.

        Both are (R, 1); shift is the row's highest logit, or 0 where calm.
        """
        R = rows.stop - rows.start
        total = torch.zeros(R, 1, dtype=self.sums, device=self.room.device)
        shift = torch.full_like(total, 0.0 if self.calm else -math.inf)
        for columns in tiles:
            cells = self._logits(rows, columns)
            if not self.calm:
                highest = torch.maximum(shift, cells.amax(1, keepdim=True))
                total *= (shift - highest).exp2()
                shift = highest
                cells.sub_(shift)
            total += cells.exp2_().sum(1, keepdim=True, dtype=self.sums)
        return cells, total, shift

    def _add(self, cells: Tensor, total: Tensor, rows: slice, columns: slice) -> None:
        """Add to the gradients what a block gives whose cells (R, C) hold p times total (R, 1)."""
        _subtract_onehot(cells, self.columns[rows] - columns.start, total)
        weight = 1.0 / (total * self.P)  # (R, 1)
        new_rows, new_columns = columns.start == 0, rows.start == 0
        at = slice(columns.start + 1, columns.stop + 1)
        if self.d_query is not None:
            _accumulate(self.d_query[rows], cells, self.items[columns], new=new_rows)
            if columns.stop == self.N:
                self.d_query[rows] *= weight
        if self.d_table is not None:
            weighted = (self.queries[rows] * weight).to(cells.dtype)  # (R, D)
            _accumulate(self.d_table[at], cells.T, weighted, new=new_columns)
        if self.d_bias is not None:
            _accumulate(self.d_bias[at, None], cells.T, weight.to(cells.dtype), new=new_columns)


def _bound(query: Tensor, table: Tensor, bias: Tensor | None) -> Tensor:
    """No logit is larger in size (Cauchy-Schwarz)."""
    longest_query: Tensor = torch.linalg.vector_norm(query, dim=1).amax()
    longest_item: Tensor = torch.linalg.vector_norm(table, dim=1).amax()
    bound = longest_query * longest_item
    return bound if bias is None else bound + bias.abs().amax()


def _subtract_onehot(cells: Tensor, columns: Tensor, total: Tensor) -> None:
    """Take total (R, 1) from the target's cell of each row, if it lies within these (R, C)."""
    C = cells.shape[1]
    inside = ((columns >= 0) & (columns < C))[:, None]
    at = columns.clamp(0, C - 1)[:, None]  # (R, 1)
    less = cells.gather(1, at) - torch.where(inside, total, 0.0).to(cells.dtype)
    cells.scatter_(1, at, less)


def _accumulate(out: Tensor, a: Tensor, b: Tensor, *, new: bool) -> None:
    """Add a @ b to `out`, whatever their dtypes; `new` takes what is in `out` for 0."""
    if out.dtype == a.dtype:
        out.addmm_(a, b, beta=0 if new else 1)
    elif new:
        out.copy_(a @ b)
    else:
        out.add_(a @ b)
