"""Session-parallel mini-batches of GRU4Rec (Hidasi et al. 2016, section 3.1).

Each of the B rows of a mini-batch, the lanes, reads one session. A step has the next click of each
session as input and the click after it as target. When a session ends, its lane starts the next
session at the following step, and `starts` marks that the hidden state must be reset. The hidden
state is carried from step to step, without backpropagation through time.

When no sessions are left, lanes whose session has ended stay empty (input and target 0) while the
others continue, as in the authors' PyTorch code; their older code drops the remaining clicks. The
epoch ends when fewer than `min_active_lanes` lanes have a session. With 1 all clicks are used;
in-batch negatives require 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.batches.session_order import drop_unknown_items
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Int32Array, Int64Array

STEPS_PER_CHUNK = 256


@dataclass(frozen=True, slots=True, eq=False)
class LaneSteps:
    """K consecutive steps of B lanes.

    Attributes:
        inputs: (K, B) int64 in 1..N, 0 for an empty lane.
        targets: (K, B) int64 in 1..N, 0 for an empty lane.
        starts: (K, B) bool, True for the first click of a session.
        filled: (K,) int64, the number of lanes with a session.
    """

    inputs: Int64Array
    targets: Int64Array
    starts: BoolArray
    filled: Int64Array

    def __len__(self) -> int:
        return len(self.filled)


class LaneOrder:
    """Iterates over the steps of an epoch in B lanes."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        n_lanes: int,
        seed: int,
        shuffle: bool = False,
        min_active_lanes: int = 1,
    ):
        """Remove clicks on unknown items and select the sessions of at least two clicks.

        Args:
            sessions: the log; clicks on unknown items (0) are ignored.
            n_lanes: B, the number of lanes.
            seed: seed of the shuffling.
            shuffle: shuffle the sessions in every epoch; False keeps the stored order, by the time
                of the last click.
            min_active_lanes: minimum number of lanes with a session in a step.

        Raises:
            ConfigError: n_lanes or min_active_lanes is out of range.
            EmptyLogError: no session has two clicks.
        """
        if n_lanes < 1:
            raise ConfigError(f"batch_size must be at least 1 lane, got {n_lanes}")
        if not 1 <= min_active_lanes <= n_lanes:
            raise ConfigError(
                f"batch_size must be at least {min_active_lanes} with in-batch negatives only, got "
                f"{n_lanes}; increase it, or sample additional negatives"
            )
        self._sessions = drop_unknown_items(sessions)
        self._trainable = np.flatnonzero(self._sessions.lengths() >= 2)
        self._n_lanes = n_lanes
        self._seed = seed
        self._shuffle = shuffle
        self._min_active_lanes = min_active_lanes

    @property
    def n_samples(self) -> int:
        """The number of samples in an epoch; `min_active_lanes` above 1 may omit the last ones."""
        return self._sessions.n_prefixes

    def steps(self, epoch: int, chunk_size: int = STEPS_PER_CHUNK) -> Iterator[LaneSteps]:
        """Yield the steps of an epoch in chunks of `chunk_size`; the last chunk may be shorter."""
        order = self._trainable
        if self._shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(order)
        lanes = np.zeros(
            (2, self._n_lanes), dtype=np.int64
        )  # next input; last click of the session
        n_started = np.zeros(1, dtype=np.int64)  # sessions
        while True:
            steps = LaneSteps(
                np.zeros((chunk_size, self._n_lanes), dtype=np.int64),
                np.zeros((chunk_size, self._n_lanes), dtype=np.int64),
                np.zeros((chunk_size, self._n_lanes), dtype=np.bool_),
                np.zeros(chunk_size, dtype=np.int64),
            )
            items, offsets = self._sessions.items, self._sessions.offsets
            n_steps = _advance(
                items, offsets, order, lanes, n_started, self._min_active_lanes,
                steps.inputs, steps.targets, steps.starts, steps.filled,
            )  # fmt: skip
            if n_steps:
                yield LaneSteps(
                    steps.inputs[:n_steps],
                    steps.targets[:n_steps],
                    steps.starts[:n_steps],
                    steps.filled[:n_steps],
                )
            if n_steps < chunk_size:
                return


@njit(cache=True, nogil=True)
def _advance(
    items: Int32Array,
    offsets: Int64Array,
    order: Int64Array,
    lanes: Int64Array,
    n_started: Int64Array,
    min_active_lanes: int,
    inputs: Int64Array,
    targets: Int64Array,
    starts: BoolArray,
    filled: Int64Array,
) -> int:
    """Fill the arrays until they are full or the epoch ends; return the number of steps."""
    for step in range(len(filled)):
        for lane in range(lanes.shape[1]):
            if lanes[0, lane] == lanes[1, lane] and n_started[0] < len(order):
                session = order[n_started[0]]
                lanes[0, lane] = offsets[session]
                lanes[1, lane] = offsets[session + 1] - 1
                n_started[0] += 1
                starts[step, lane] = True
            if lanes[0, lane] < lanes[1, lane]:
                click = lanes[0, lane]
                inputs[step, lane] = items[click]
                targets[step, lane] = items[click + 1]
                lanes[0, lane] = click + 1
                filled[step] += 1
        if filled[step] < min_active_lanes:
            return step
    return len(filled)
