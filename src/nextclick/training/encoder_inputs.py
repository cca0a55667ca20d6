"""What an encoder is given besides the clicks, and when it is taken to be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.models.ops.gap_bins import shown_gaps

if TYPE_CHECKING:
    from nextclick.batches.session_order import TrainingBatch
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray
    from nextclick.models.neural_model import NeuralModel
    from nextclick.models.ops.prefix_inputs import TensorRecord

AT_CLICK = 0.5  # share of the targets that are asked for at the click before them


class EncoderInputs:
    """Gaps, waiting times and users of training batches, for a model that reads them; graphs.

    When a model is to know how long a visitor has been looking at the last item
    (`asked` "while-waiting"), it is trained with what a server would know while it waits. Half of
    the targets are asked for at the click. For each of the others a moment is drawn, of which the
    only source is how long gaps are in the log as a whole. Had the visitor clicked by then, nobody
    would have asked: that target is left out of the step. So among the targets that are asked for
    after w seconds the next clicks stand as they do among visitors who are still there after w
    seconds, and neither the presence of a target nor its moment says more about when it came.
    """

    def __init__(self, model: NeuralModel, sessions: Sessions):
        self._prepare_prefixes = model.prepare_prefixes
        self._reads = model.requires(model.config)
        self._asked = model.capabilities.prediction_moment
        self._gaps = shown_gaps(sessions) if self._asked == "while-waiting" else None

    def of(
        self, batch: TrainingBatch, rng: np.random.Generator
    ) -> tuple[TrainingBatch, dict[str, AnyArray | TensorRecord]]:
        """The batch, perhaps with fewer targets, and what its encoder is told by name."""
        context: dict[str, AnyArray | TensorRecord] = {}
        if "times" in self._reads:
            gaps = batch.gaps
            assert gaps is not None
            assert batch.dwell is not None
            waited: AnyArray = np.zeros_like(gaps)  # (B, T)
            if self._asked == "at-target":
                waited = batch.dwell
            elif self._gaps is not None and len(self._gaps):
                waited = self._moments(batch, rng)
                batch = _still_there(batch, waited)
            context["gaps"], context["waited"] = gaps, waited
        if "users" in self._reads:
            assert batch.users is not None
            context["users"] = batch.users
        prefixes = self._prepare_prefixes(batch.items, batch.where, batch.session, batch.block)
        if prefixes is not None:
            context["prefixes"] = prefixes
        return batch, context

    def _moments(self, batch: TrainingBatch, rng: np.random.Generator) -> AnyArray:
        assert self._gaps is not None
        shape = batch.items.shape
        waited = self._gaps[rng.integers(len(self._gaps), size=shape)]
        waited[rng.random(shape) < AT_CLICK] = 0.0
        return waited


def _still_there(batch: TrainingBatch, waited: AnyArray) -> TrainingBatch:
    """Without the targets that came before the moment of asking; one is left in any case."""
    assert batch.dwell is not None
    asked, dwell = waited.ravel()[batch.where], batch.dwell.ravel()[batch.where]  # (P,)
    there = (asked == 0.0) | (asked < dwell)
    if not there.any():
        there[0] = True
        waited.ravel()[batch.where[0]] = 0.0
    return replace(batch, where=batch.where[there], targets=batch.targets[there])
