"""Caches the state of a recurrent model for each live session, so that a click costs one step."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import torch

from nextclick.serving.search.dot_product import DotProductSearcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from nextclick.core.types import Int32Array
    from nextclick.models.neural_model import NeuralModel
    from nextclick.serving.request import ResolvedRequest

MAX_SESSIONS = 100_000
MAX_AGE = 3600.0  # seconds since the last click


class RecurrentSearcher(DotProductSearcher):
    """Encodes only the new clicks of a live session.

    A cached state is used if the clicks that it encodes are a prefix of the session; otherwise the
    session is encoded from its start, for example after an edit or after another process answered.
    A session longer than the model's maximum length is encoded whole each time, because its first
    clicks leave the window.
    """

    def __init__(self, model: NeuralModel, *, max_sessions: int = MAX_SESSIONS):
        super().__init__(model)
        self.encoder = model.encoder
        self.max_length = model.max_length
        self.max_sessions = max_sessions
        self.steps = 0  # encoded clicks
        self._states: OrderedDict[str, tuple[float, Int32Array, Tensor, Tensor]] = OrderedDict()

    def queries(self, requests: Sequence[ResolvedRequest]) -> Tensor:
        """(B, D); live sessions step by step, all others in one batch."""
        live = [b for b, request in enumerate(requests) if self._is_live(request)]
        others = [b for b in range(len(requests)) if b not in set(live)]
        if not live:
            return super().queries(requests)
        stepped = self._step_queries([requests[b] for b in live])
        if not others:
            return stepped
        rest = super().queries([requests[b] for b in others])
        return torch.cat([stepped, rest])[torch.tensor([*live, *others]).argsort()]

    def forget(self, session_id: str) -> None:
        """Drop the state of a live session."""
        self._states.pop(session_id, None)

    def _is_live(self, request: ResolvedRequest) -> bool:
        fits = self.max_length is None or len(request.clicks) <= self.max_length
        return request.original.session_id is not None and fits

    def _step_queries(self, requests: Sequence[ResolvedRequest]) -> Tensor:
        cached = [self._cached(request) for request in requests]
        read = np.array([n for n, _, _ in cached])
        ends = np.array([len(request.clicks) for request in requests])
        state = torch.stack([state for _, state, _ in cached], dim=1)  # (L, B, H)
        queries = torch.stack([query for _, _, query in cached])  # (B, D)
        while (read < ends).any():
            rows = np.flatnonzero(read < ends)
            items = np.array([requests[b].clicks[read[b]] for b in rows.tolist()], dtype=np.int64)
            active = torch.from_numpy(rows)
            queries[active], state[:, active] = self.encoder.step(
                torch.from_numpy(items), state[:, active]
            )
            read[rows] += 1
            self.steps += len(rows)
        for b, request in enumerate(requests):
            self._store(request, state[:, b].clone(), queries[b].clone())
        return queries

    def _cached(self, request: ResolvedRequest) -> tuple[int, Tensor, Tensor]:
        """The number of encoded clicks, and the (L, H) state and (D,) query after them."""
        assert request.original.session_id is not None
        entry = self._states.get(request.original.session_id)
        if entry is not None:
            _, clicks, state, query = entry
            n = len(clicks)
            if n <= len(request.clicks) and np.array_equal(clicks, request.clicks[:n]):
                return n, state, query
        return 0, self.encoder.initial_state(1)[:, 0], torch.zeros(self.table.shape[1])

    def _store(self, request: ResolvedRequest, state: Tensor, query: Tensor) -> None:
        session_id = request.original.session_id
        assert session_id is not None
        now = time.monotonic()
        self._states.pop(session_id, None)  # moves it to the end; `forget` may run meanwhile
        self._states[session_id] = (now, request.clicks, state, query)
        while len(self._states) > self.max_sessions or self._oldest() < now - MAX_AGE:
            self._states.popitem(last=False)

    def _oldest(self) -> float:
        return next(iter(self._states.values()))[0]
