"""Inputs of an encoder besides the clicks, and the moments of prediction in training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.earlier_sessions import EarlierSessions
from nextclick.models.ops.gap_bins import input_gaps

if TYPE_CHECKING:
    from nextclick.batches.session_order import TrainingBatch
    from nextclick.core.session_history import SessionHistory
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, BoolArray
    from nextclick.models.neural_model import NeuralModel
    from nextclick.models.ops.prefix_inputs import TensorRecord

AT_CLICK = 0.5  # share of the targets that are predicted at the time of the click before them


@dataclass(frozen=True, slots=True, eq=False)
class DrawnInputs:
    """Random inputs of a batch.

    Attributes:
        waited: (B, T) float32, seconds from each click to the prediction; None without times.
        hidden: (B,) bool, rows whose history is hidden; None for a model without a history.
    """

    waited: AnyArray | None
    hidden: AnyArray | None

    def take(self, rows: slice, width: int) -> DrawnInputs:
        """The inputs of consecutive rows, in their first columns."""
        waited = None if self.waited is None else np.ascontiguousarray(self.waited[rows, :width])
        return DrawnInputs(waited, None if self.hidden is None else self.hidden[rows])


class EncoderInputs:
    """What a model reads of training batches besides clicks: times, users, histories and graphs.

    With the moment of prediction "while-waiting", a model reads the time since the last click. A
    server knows this time while it waits for the next click, so training imitates the server. Half
    of the targets are predicted at the click before them. For each of the others a moment is drawn
    from the distribution of all gaps in the log. If the visitor clicked before that moment, there
    would have been no prediction, and the target is omitted from the step. The targets predicted
    after w seconds therefore have the distribution of the next clicks of visitors who are still
    waiting after w seconds. Neither the presence of a target nor its moment reveals more about the
    time of the target.
    """

    def __init__(self, model: NeuralModel, sessions: Sessions):
        self._prepare_prefixes = model.prepare_prefixes
        self._reads = model.requires(model.config)
        self._moment = model.capabilities.prediction_moment
        self._n_earlier = model.capabilities.earlier_sessions
        self._first_click = model.capabilities.first_click
        # every window of one click begins at a first cell
        self._trains_first_click = self._first_click and model.max_length != 1
        if self._n_earlier:
            self._earlier = EarlierSessions.of(sessions)
            self._history_inputs = model.history_inputs
            self._history_dropout = model.history_dropout
        self._gaps = input_gaps(sessions) if self._moment == "while-waiting" else None

    def build(
        self, batch: TrainingBatch, rng: np.random.Generator
    ) -> tuple[TrainingBatch, dict[str, AnyArray | TensorRecord]]:
        """The batch, possibly with fewer targets, and the further inputs of the encoder by name."""
        batch, drawn = self.draw(batch, rng)
        return batch, self.context(batch, drawn)

    def draw(
        self, batch: TrainingBatch, rng: np.random.Generator
    ) -> tuple[TrainingBatch, DrawnInputs]:
        """The batch, possibly with fewer targets, and all random inputs of its rows."""
        waited: AnyArray | None = None
        hidden: AnyArray | None = None
        if "times" in self._reads:
            assert batch.gaps is not None
            assert batch.dwell is not None
            waited = np.zeros_like(batch.gaps)  # (B, T)
            if self._moment == "at-target":
                waited = batch.dwell
            elif self._gaps is not None and len(self._gaps):
                waited = self._draw_moments(batch, rng)
                batch = _omit_past_targets(batch, waited)
        if self._n_earlier:
            hidden = rng.random(len(batch.items)) < self._history_dropout
        if self._first_click:
            returning = (self._history(batch).counts > 0) & self._trains_first_click
            batch = _with_start(batch, returning)
            waited = None if waited is None else np.pad(waited, ((0, 0), (1, 0)))
        return batch, DrawnInputs(waited, hidden)

    def context(
        self, batch: TrainingBatch, drawn: DrawnInputs
    ) -> dict[str, AnyArray | TensorRecord]:
        """The further inputs of the encoder by name, for a batch or for some of its rows."""
        context: dict[str, AnyArray | TensorRecord] = {}
        if "times" in self._reads:
            assert batch.gaps is not None
            assert drawn.waited is not None
            context["gaps"], context["waited"] = batch.gaps, drawn.waited
        if "users" in self._reads:
            assert batch.users is not None
            context["users"] = batch.users
        if self._n_earlier:
            assert drawn.hidden is not None
            context["history"] = self._history_inputs(self._history(batch).hide(drawn.hidden))
        prefixes = self._prepare_prefixes(batch.items, batch.where, batch.session, batch.block)
        if prefixes is not None:
            context["prefixes"] = prefixes
        return context

    def _history(self, batch: TrainingBatch) -> SessionHistory:
        assert batch.users is not None and batch.starts is not None
        return self._earlier.before(batch.users, batch.starts, self._n_earlier)

    def _draw_moments(self, batch: TrainingBatch, rng: np.random.Generator) -> AnyArray:
        assert self._gaps is not None
        shape = batch.items.shape
        waited = self._gaps[rng.integers(len(self._gaps), size=shape)]
        waited[rng.random(shape) < AT_CLICK] = 0.0
        return waited


def _with_start(batch: TrainingBatch, returning: BoolArray) -> TrainingBatch:
    """The batch with an item 0 before the first click of each row.

    Args:
        batch: B rows of T clicks.
        returning: (B,) the rows whose first click becomes a target, if they begin a session. A row
            that continues a session has no target at its first click.
    """
    B, T = batch.items.shape
    rows, steps = np.divmod(batch.where, T)
    begins = np.zeros(B, dtype=np.bool_)
    begins[rows[steps == 0]] = True
    first = np.flatnonzero(begins & returning)
    where = np.concatenate([first * (T + 1), rows * (T + 1) + steps + 1])
    targets = np.concatenate([batch.items[first, 0], batch.targets])
    order = np.argsort(where)
    return replace(
        batch,
        items=np.pad(batch.items, ((0, 0), (1, 0))),
        where=where[order],
        targets=targets[order],
        gaps=None if batch.gaps is None else np.pad(batch.gaps, ((0, 0), (1, 0))),
        dwell=None if batch.dwell is None else np.pad(batch.dwell, ((0, 0), (1, 0))),
    )


def _omit_past_targets(batch: TrainingBatch, waited: AnyArray) -> TrainingBatch:
    """Omit the targets clicked before the moment of prediction; at least one target remains."""
    assert batch.dwell is not None
    moment, dwell = waited.ravel()[batch.where], batch.dwell.ravel()[batch.where]  # (P,)
    waiting = (moment == 0.0) | (moment < dwell)
    if not waiting.any():
        waiting[0] = True
        waited.ravel()[batch.where[0]] = 0.0
    return replace(batch, where=batch.where[waiting], targets=batch.targets[waiting])
