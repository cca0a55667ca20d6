"""The computation that an exported graph contains: from padded sessions to the scores of all items.

It calls the encoder of the model, so that a model has one definition. Everything that the program
computes around the encoder in NumPy is repeated here in PyTorch: the masks of padding, the times of
a session, and the choice of the last prefix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nextclick.models.ops.exported_rnn import with_exported_rnns

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray
    from nextclick.models.encoder import Encoder


class ScoringGraph(nn.Module):
    """Scores of all items for B sessions of at most T clicks."""

    vectors: Tensor
    offsets: Tensor

    def __init__(self, encoder: Encoder, candidates: BoolArray | None = None):
        super().__init__()
        self.encoder = with_exported_rnns(encoder).eval()
        with torch.no_grad():
            table, bias = self.encoder.table()
            offsets = torch.zeros(len(table)) if bias is None else bias.detach().clone()
        offsets[0] = -torch.inf  # padding is no candidate
        if candidates is not None:
            offsets[torch.from_numpy(~candidates)] = -torch.inf
        if isinstance(table, nn.Parameter):
            self.vectors = table  # one array in the file, also where the input reads it
        else:
            self.register_buffer("vectors", table.detach())
        self.register_buffer("offsets", offsets)

    def forward(
        self,
        items: Tensor,
        lengths: Tensor,
        gaps: Tensor | None = None,
        waited: Tensor | None = None,
        users: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, N + 1) scores, -inf in column 0, and (B, D) queries.

        Args:
            items: (B, T) int64 in 1..N; positions from `lengths` on have no effect.
            lengths: (B,) int64 in 1..T.
            gaps: (B, T) float32, seconds since the click before, NaN if unknown.
            waited: (B,) float32, seconds from the last click to the prediction; None is 0.
            users: (B,) int64 in 0..U.
        """
        last = lengths - 1  # (B,)
        is_click = torch.arange(items.shape[1]) < lengths[:, None]  # (B, T)
        items = items.masked_fill(~is_click, 0)
        inputs: dict[str, Any] = {}
        if gaps is not None:
            inputs |= session_times(gaps, waited, last)
        if users is not None:
            inputs["users"] = users
        prefixes = self.encoder.last_prefixes(items, last)
        if prefixes is not None:
            inputs["prefixes"] = prefixes
        queries = self.encoder(items, **inputs)  # (B, T, D)
        index = last[:, None, None].expand(-1, 1, queries.shape[2])  # (B, 1, D)
        query = queries.gather(1, index)[:, 0]  # (B, D)
        return functional.linear(query, self.vectors, self.offsets), query


def session_times(gaps: Tensor, waited: Tensor | None, last: Tensor) -> dict[str, Tensor]:
    """The inputs `gaps` and `waited` of an encoder, both (B, T); see `Encoder`.

    Args:
        gaps: (B, T) seconds since the click before.
        waited: (B,) seconds from the last click to the prediction, or None for 0.
        last: (B,) the position of the last click.
    """
    position = torch.arange(gaps.shape[1])  # (T,)
    gaps = gaps.masked_fill(position > last[:, None], torch.nan)
    gaps = gaps.masked_fill(position == 0, 0.0)
    following = functional.pad(gaps, (0, 1))[:, 1:]  # (B, T), the gap after each click
    since_last = torch.zeros_like(gaps) if waited is None else waited[:, None].expand_as(gaps)
    return {"gaps": gaps, "waited": torch.where(position == last[:, None], since_last, following)}
