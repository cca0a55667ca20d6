"""Session-parallel lanes, the order in which GRU4Rec reads a log (Hidasi et al. 2016, section 3.1).

B lanes hold one session each. A step takes the next click of every lane as input and the click
after it as target; a lane whose session has ended takes the next session at the next step, and
`starts` says that its state is to be zeroed. So a state is carried over steps without ever going
back through time.

The tail: when no session is left, a lane that ends stays empty (input and target 0) and the others
go on, as in the authors' PyTorch code (their older code dropped them). The epoch ends when fewer
than `at_least` lanes have a session: 1 reads every click, 2 is what negatives from the batch alone
need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.batches.session_order import known_clicks
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Int32Array, Int64Array

STEPS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class LaneSteps:
    """K steps of B lanes.

    Attributes:
        inputs: (K, B) int64 in 1..N, 0 where a lane has no session.
        targets: (K, B) int64 in 1..N, 0 where a lane has no session.
        starts: (K, B) bool, where a session begins.
        filled: (K,) int64, lanes with a session.
    """

    inputs: Int64Array
    targets: Int64Array
    starts: BoolArray
    filled: Int64Array

    def __len__(self) -> int:
        return len(self.filled)


class LaneOrder:
    """The steps of an epoch over B lanes."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        n_lanes: int,
        seed: int,
        shuffle: bool = False,
        at_least: int = 1,
    ):
        """Prepare the sessions.

        Args:
            sessions: the log; clicks on unknown items (0) are left out.
            n_lanes: B.
            seed: of the shuffling.
            shuffle: take sessions in an order drawn for each epoch; False keeps the stored order,
                which is that of their last clicks.
            at_least: how many lanes must have a session for a step.

        Raises:
            ConfigError: n_lanes or at_least out of its range.
            EmptyLogError: no session has two clicks.
        """
        if n_lanes < 1:
            raise ConfigError(f"batch_size must be at least 1 lane, got {n_lanes}")
        if not 1 <= at_least <= n_lanes:
            raise ConfigError(
                f"batch_size must be at least {at_least} lanes where negatives come from the "
                f"batch alone, got {n_lanes}; raise it, or draw negatives"
            )
        self._sessions = known_clicks(sessions)
        self._readable = np.flatnonzero(self._sessions.lengths() >= 2)
        self._n_lanes = n_lanes
        self._seed = seed
        self._shuffle = shuffle
        self._at_least = at_least

    @property
    def n_samples(self) -> int:
        """Prefixes in an epoch; with `at_least` 2 the end of one session may be missing."""
        return self._sessions.n_prefixes

    def steps(self, epoch: int, at_once: int = STEPS_AT_ONCE) -> Iterator[LaneSteps]:
        """Yield all steps of an epoch, `at_once` at a time; the last part may be shorter."""
        order = self._readable
        if self._shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(order)
        lanes = np.zeros((2, self._n_lanes), dtype=np.int64)  # next input; last click of the lane
        taken = np.zeros(1, dtype=np.int64)  # sessions
        while True:
            steps = LaneSteps(
                np.zeros((at_once, self._n_lanes), dtype=np.int64),
                np.zeros((at_once, self._n_lanes), dtype=np.int64),
                np.zeros((at_once, self._n_lanes), dtype=np.bool_),
                np.zeros(at_once, dtype=np.int64),
            )
            items, offsets = self._sessions.items, self._sessions.offsets
            done = _advance(
                items, offsets, order, lanes, taken, self._at_least,
                steps.inputs, steps.targets, steps.starts, steps.filled,
            )  # fmt: skip
            if done:
                yield LaneSteps(
                    steps.inputs[:done],
                    steps.targets[:done],
                    steps.starts[:done],
                    steps.filled[:done],
                )
            if done < at_once:
                return


@njit(cache=True, nogil=True)
def _advance(
    items: Int32Array,
    offsets: Int64Array,
    order: Int64Array,
    lanes: Int64Array,
    taken: Int64Array,
    at_least: int,
    inputs: Int64Array,
    targets: Int64Array,
    starts: BoolArray,
    filled: Int64Array,
) -> int:
    """Fill steps until they are full or the epoch ends; how many were filled."""
    for step in range(len(filled)):
        for lane in range(lanes.shape[1]):
            if lanes[0, lane] == lanes[1, lane] and taken[0] < len(order):
                session = order[taken[0]]
                lanes[0, lane] = offsets[session]
                lanes[1, lane] = offsets[session + 1] - 1
                taken[0] += 1
                starts[step, lane] = True
            if lanes[0, lane] < lanes[1, lane]:
                click = lanes[0, lane]
                inputs[step, lane] = items[click]
                targets[step, lane] = items[click + 1]
                lanes[0, lane] = click + 1
                filled[step] += 1
        if filled[step] < at_least:
            return step
    return len(filled)
