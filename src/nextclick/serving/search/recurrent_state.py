"""The state of a recurrent model for each live session, so that a click costs one step."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import torch

from nextclick.serving.search.dot_product import ProductBest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from nextclick.core.types import Int32Array
    from nextclick.models.neural_model import NeuralModel
    from nextclick.serving.request import Wish

KEPT = 100_000  # sessions
SECONDS = 3600.0  # that a state is kept after the last click


class RecurrentBest(ProductBest):
    """Keeps the state of live sessions, and reads only what was clicked since.

    What is kept is a copy of what the clicks say: it is used where the clicks that it has read are
    the first ones of the session, and made anew where they are not, as after an edit, or where
    another process answered. A session longer than the model reads is read whole each time, for
    then the first clicks fall out of what it knows.
    """

    def __init__(self, model: NeuralModel, *, kept: int = KEPT):
        super().__init__(model)
        self.encoder = model.encoder
        self.longest = model.max_length
        self.kept = kept
        self.steps = 0  # clicks read so far
        self._known: OrderedDict[str, tuple[float, Int32Array, Tensor, Tensor]] = OrderedDict()

    def queries(self, wishes: Sequence[Wish]) -> Tensor:
        """(B, D), of live sessions by steps and of the others at once."""
        live = [b for b, wish in enumerate(wishes) if self._steps_through(wish)]
        others = [b for b in range(len(wishes)) if b not in set(live)]
        if not live:
            return super().queries(wishes)
        stepped = self._stepped([wishes[b] for b in live])
        if not others:
            return stepped
        rest = super().queries([wishes[b] for b in others])
        return torch.cat([stepped, rest])[torch.tensor([*live, *others]).argsort()]

    def forget(self, live: str) -> None:
        """Drop what is kept of a session."""
        self._known.pop(live, None)

    def _steps_through(self, wish: Wish) -> bool:
        fits = self.longest is None or len(wish.clicks) <= self.longest
        return wish.query.live is not None and fits

    def _stepped(self, wishes: Sequence[Wish]) -> Tensor:
        begun = [self._begun(wish) for wish in wishes]
        read = np.array([n for n, _, _ in begun])
        ends = np.array([len(wish.clicks) for wish in wishes])
        state = torch.stack([state for _, state, _ in begun], dim=1)  # (L, B, H)
        queries = torch.stack([query for _, _, query in begun])  # (B, D)
        while (read < ends).any():
            rows = np.flatnonzero(read < ends)
            items = np.array([wishes[b].clicks[read[b]] for b in rows.tolist()], dtype=np.int64)
            at = torch.from_numpy(rows)
            queries[at], state[:, at] = self.encoder.step(torch.from_numpy(items), state[:, at])
            read[rows] += 1
            self.steps += len(rows)
        for b, wish in enumerate(wishes):
            self._keep(wish, state[:, b].clone(), queries[b].clone())
        return queries

    def _begun(self, wish: Wish) -> tuple[int, Tensor, Tensor]:
        """How many clicks were read, and the (L, H) state and (D,) query after those."""
        assert wish.query.live is not None
        known = self._known.get(wish.query.live)
        if known is not None:
            _, clicks, state, query = known
            n = len(clicks)
            if n <= len(wish.clicks) and np.array_equal(clicks, wish.clicks[:n]):
                return n, state, query
        return 0, self.encoder.initial_state(1)[:, 0], torch.zeros(self.table.shape[1])

    def _keep(self, wish: Wish, state: Tensor, query: Tensor) -> None:
        assert wish.query.live is not None
        now = time.monotonic()
        self._known.pop(wish.query.live, None)  # so that it stands last
        self._known[wish.query.live] = (now, wish.clicks, state, query)
        while len(self._known) > self.kept or self._oldest() < now - SECONDS:
            self._known.popitem(last=False)

    def _oldest(self) -> float:
        return next(iter(self._known.values()))[0]
