"""What neural models share: an encoder that gives one query for every prefix, and its items.

Whatever the encoder, a score is a product: query (P, D) against a table (N + 1, D), plus a bias.
Bi-linear, tied, separate and fully connected decoders differ only in which table that is, so that
losses, negatives and ranking are written once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.batch import SessionBatch
    from nextclick.types import AnyArray, Float32Array


class Encoder(Protocol):
    """A torch module that reads sessions.

    Causal: row t of its output depends on clicks 0..t alone, so one pass answers every prefix.
    """

    def __call__(self, items: Tensor) -> Tensor:
        """(B, T, D) queries of (B, T) int64 items, right-padded with 0.

        What stands at a padded position means nothing.
        """
        ...

    def table(self) -> tuple[Tensor, Tensor | None]:
        """(N + 1, D) items to hold queries against, and (N + 1,) bias or None."""
        ...


class NeuralModel:
    """A trained encoder as a scorer; models inherit and name their config and their encoder."""

    name: ClassVar[str]
    Config: ClassVar[type[Any]]

    def __init__(self, config: Any, n_items: int):
        self.config = config
        self.n_items = n_items
        self.encoder: Any = self.make_encoder(config, n_items)

    @classmethod
    def make_encoder(cls, config: Any, n_items: int) -> nn.Module:
        """Build the encoder with fresh weights, drawn from torch's global generator."""
        raise NotImplementedError

    @property
    def max_length(self) -> int | None:
        """How many of the latest clicks the encoder reads; None for all."""
        length: int | None = getattr(self.config, "max_length", None)
        return length

    @torch.inference_mode()
    def score(self, batch: SessionBatch) -> Float32Array:
        """(B, N + 1) float32; an empty session scores 0 throughout."""
        self.encoder.eval()
        scores = np.zeros((len(batch), self.n_items + 1), dtype=np.float32)
        known = np.flatnonzero(batch.lengths > 0)
        if len(known):
            items, last = self._latest(batch, known)
            queries = self.encoder(items)[torch.arange(len(known)), last]  # (B, D)
            table, bias = self.encoder.table()
            logits = queries @ table.T if bias is None else torch.addmm(bias, queries, table.T)
            scores[known] = logits.float().cpu().numpy()
        return scores

    def _latest(self, batch: SessionBatch, known: AnyArray) -> tuple[Tensor, Tensor]:
        """(B, T) items of the latest clicks and (B,) where the last one stands."""
        device = next(self.encoder.parameters()).device
        lengths = batch.lengths[known].astype(np.int64)
        width = int(lengths.max())
        if self.max_length is not None:
            width = min(width, self.max_length)
        kept = np.minimum(lengths, width)
        at = (lengths - kept)[:, None] + np.arange(width)  # (B, T)
        inside = np.arange(width) < kept[:, None]
        rows = batch.items[known]
        items = np.where(inside, np.take_along_axis(rows, np.minimum(at, rows.shape[1] - 1), 1), 0)
        return (
            torch.from_numpy(items.astype(np.int64)).to(device),
            torch.from_numpy(kept - 1).to(device),
        )

    def state(self) -> dict[str, AnyArray]:
        """The weights by name."""
        weights = self.encoder.state_dict()
        return {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> Self:
        """Build the model that gave `state`; its table of items says how many there are."""
        model = cls(config, n_items=len(state["items.weight"]) - 1)
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        model.encoder.load_state_dict(tensors)
        return model
