"""Batches of sessions for models that answer every prefix in one pass.

An epoch is a `BatchPlan`: which rows stand in which batch. It follows from (seed, epoch) alone, and any
batch of it can be built without those before it, so a run goes on in the middle of an epoch.

A row is a session, or a window of a session longer than the model reads. Windows overlap: the
first gives all its targets, each later one gives the next half of its length and shows the half
before it as context, so that every click but the first of a session is a target exactly once, and
none is asked for with less than half of what the model could read.

Where sessions have blocks of time, a batch is of one block. Who learns from a log whose blocks do
not matter leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from nextclick.core.sessions import MS_PER_SECOND
from nextclick.errors import ConfigError, EmptyLogError

if TYPE_CHECKING:
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Float32Array, Int32Array, Int64Array

LONGEST_ROW = 200  # clicks in a row where the model names no limit (as in ASARS)
BATCHES_IN_POOL = 64  # batches whose rows are sorted by length together


@dataclass(frozen=True, slots=True, eq=False)
class TrainingBatch:
    """B rows, right-padded to T clicks, with the P clicks that are to be predicted.

    Attributes:
        items: (B, T) int64 in 1..N, 0 beyond the end of a row. Last clicks are targets only.
        where: (P,) int64, the cell b * T + t after which each target was clicked, ascending.
        targets: (P,) int64 in 1..N.
        gaps: (B, T) float32, seconds since the click before in the row, 0 for its first; None
            where the log has no times.
        dwell: (B, T) float32, seconds to the click after, the target's of the cell included: known
            to nobody who is asked for that target. None where the log has no times.
        users: (B,) int64, 0 for an unknown visitor; None where the log has no users.
        session: (B,) int64, number of the session that each row is of.
        block: of time, that all of these sessions are of; None where the sessions have none.
    """

    items: Int64Array
    where: Int64Array
    targets: Int64Array
    gaps: Float32Array | None = None
    dwell: Float32Array | None = None
    users: Int64Array | None = None
    session: Int64Array | None = None
    block: int | None = None

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """R rows as stretches of clicks.

    Attributes:
        begin: (R,) int64, index of the first click among all clicks.
        length: (R,) int32, inputs: the click after each is in the row's stretch, too.
        context: (R,) int32, how many inputs in front give no target.
        session: (R,) int32, which session it is of.
    """

    begin: Int64Array
    length: Int32Array
    context: Int32Array
    session: Int32Array

    def __len__(self) -> int:
        return len(self.begin)


class SessionOrder:
    """Every prefix of every session once an epoch, in batches of about `batch_size` prefixes."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        batch_size: int,
        max_length: int | None,
        seed: int,
        shuffle: bool = True,
    ):
        """Cut the sessions into rows.

        Args:
            sessions: the log; clicks on unknown items (0) are left out, as in `prefix_blocks`. With
                blocks, a batch is of one of them.
            batch_size: most prefixes of a batch; a single row may have more.
            max_length: most clicks of a row, all but the last target; None is `LONGEST_ROW`.
            seed: of the shuffling.
            shuffle: False keeps the stored order, the order of time, and sorts nothing by length.

        Raises:
            ConfigError: a size out of its range.
            EmptyLogError: no session has two clicks.
        """
        for name, value in (("batch_size", batch_size), ("max_length", max_length or LONGEST_ROW)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        self._sessions = known_clicks(sessions)
        self._rows = _cut(self._sessions.offsets, max_length or LONGEST_ROW)
        self._n_targets = (self._rows.length - self._rows.context).astype(np.int64)  # (R,)
        blocks = self._sessions.blocks
        self._block = np.zeros(len(self._rows), np.int32)  # (R,)
        if blocks is not None:
            self._block = np.asarray(blocks)[self._rows.session].astype(np.int32)
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle = shuffle

    @property
    def n_samples(self) -> int:
        """Prefixes in an epoch."""
        return int(self._n_targets.sum())

    def plan(self, epoch: int) -> BatchPlan:
        """The batches of an epoch, the same for the same (seed, epoch)."""
        rng = np.random.default_rng([self._seed, epoch])
        order = self._bucketed(rng) if self._shuffle else np.arange(len(self._rows))
        bounds = _fill(self._n_targets[order], self._block[order], self._batch_size)
        batches = np.arange(len(bounds) - 1)
        if self._shuffle:
            rng.shuffle(batches)
        return BatchPlan(self._sessions, self._rows, order, bounds, batches)

    def _bucketed(self, rng: np.random.Generator) -> Int64Array:
        """(R,) rows, shuffled within their block; in a pool of many batches, sorted by length."""
        order = rng.permutation(len(self._rows))
        order = order[np.argsort(self._block[order], kind="stable")]
        starts = np.flatnonzero(np.diff(self._block[order], prepend=-1))
        length = np.minimum(self._rows.length[order], np.iinfo(np.uint16).max).astype(np.uint16)
        pool = max(int(BATCHES_IN_POOL * self._batch_size / self._n_targets.mean()), 1)
        for begin, end in pairwise([*starts.tolist(), len(order)]):
            for number, start in enumerate(range(begin, end, pool)):
                part = slice(start, min(start + pool, end))
                by_length = np.argsort(length[part], kind="stable")
                # down, up, down: a batch across two pools holds rows of like length
                order[part] = order[part][by_length if number % 2 else by_length[::-1]]
        return order


@dataclass(frozen=True, slots=True, eq=False)
class BatchPlan:
    """The batches of one epoch; `plan[k]` builds the one of step k.

    Attributes:
        sessions: all clicks.
        rows: the stretches of clicks.
        order: (R,) int64, rows in the order in which batches are cut.
        bounds: (K + 1,) int64; batch j has the rows `order[bounds[j]:bounds[j + 1]]`.
        batches: (K,) int64, which batch each step takes.
    """

    sessions: Sessions
    rows: _Rows
    order: Int64Array
    bounds: Int64Array
    batches: Int64Array

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> TrainingBatch:
        batch = self.batches[step]
        rows = self.order[self.bounds[batch] : self.bounds[batch + 1]]  # (B,)
        length, context = self.rows.length[rows], self.rows.context[rows]
        begin, width = self.rows.begin[rows], int(length.max())
        n_targets = int(length.sum()) - int(context.sum())
        log = self.sessions
        filled = _pad(log.items, begin, length, context, width, n_targets)
        gaps = dwell = users = None
        if log.times is not None:
            gaps, dwell = _pad_times(log.times, begin, length, width)
        session = self.rows.session[rows].astype(np.int64)
        block = None if log.blocks is None else int(log.blocks[session[0]])
        if log.users is not None:
            users = log.users[session].astype(np.int64)
        return TrainingBatch(*filled, gaps, dwell, users, session, block)


def known_clicks(sessions: Sessions) -> Sessions:
    """The sessions without clicks on items unseen in training.

    Raises:
        EmptyLogError: no session has two clicks on known items.
    """
    items, times = sessions.items, sessions.times
    offsets = np.asarray(sessions.offsets, dtype=np.int64)
    known = items != 0
    if not known.all():
        n_before = np.zeros(len(items) + 1, dtype=np.int64)
        np.cumsum(known, out=n_before[1:])
        items, offsets = items[known], n_before[offsets]
        times = None if times is None else times[known]
    if not (np.diff(offsets) >= 2).any():
        raise EmptyLogError(
            "no session has two clicks on known items, so there is nothing to predict; "
            "give a log with longer sessions"
        )
    return replace(sessions, items=items, offsets=offsets, times=times)


def _cut(offsets: Int64Array, max_length: int) -> _Rows:
    """The rows of all sessions, in their order."""
    inputs = np.diff(offsets) - 1  # (S,)
    kept = max_length // 2
    beyond = np.maximum(inputs - max_length, 0)
    n_rows = (inputs >= 1) + -(-beyond // (max_length - kept))  # (S,)
    rows = _Rows(
        np.empty(n_rows.sum(), dtype=np.int64),
        np.empty(n_rows.sum(), dtype=np.int32),
        np.zeros(n_rows.sum(), dtype=np.int32),
        np.repeat(np.arange(len(n_rows), dtype=np.int32), n_rows),
    )
    _cut_into(offsets, max_length, kept, rows.begin, rows.length, rows.context)
    return rows


@njit(cache=True, nogil=True)
def _cut_into(
    offsets: Int64Array,
    max_length: int,
    kept: int,
    begin: Int64Array,
    length: Int32Array,
    context: Int32Array,
) -> None:
    row = 0
    for session in range(len(offsets) - 1):
        n_inputs = offsets[session + 1] - offsets[session] - 1
        done = 0
        while done < n_inputs:
            shown = kept if done else 0
            begin[row] = offsets[session] + done - shown
            length[row] = min(max_length, n_inputs - done + shown)
            context[row] = shown
            done += length[row] - shown
            row += 1


@njit(cache=True, nogil=True)
def _fill(n_targets: Int64Array, block: Int32Array, batch_size: int) -> Int64Array:
    """(K + 1,) where batches begin and end: each takes rows of its block while it has room."""
    bounds = np.empty(len(n_targets) + 1, dtype=np.int64)
    bounds[0] = 0
    n_batches = 0
    held = 0
    for row in range(len(n_targets)):
        if held and (held + n_targets[row] > batch_size or block[row] != block[row - 1]):
            n_batches += 1
            bounds[n_batches] = row
            held = 0
        held += n_targets[row]
    bounds[n_batches + 1] = len(n_targets)
    return bounds[: n_batches + 2]


@njit(cache=True, nogil=True)
def _pad(
    items: Int32Array,
    begin: Int64Array,
    length: Int32Array,
    context: Int32Array,
    width: int,
    n_targets: int,
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """(B, T) items, (P,) cells and (P,) targets of the rows of a batch."""
    padded = np.zeros((len(begin), width), dtype=np.int64)
    where = np.empty(n_targets, dtype=np.int64)
    targets = np.empty(n_targets, dtype=np.int64)
    sample = 0
    for row in range(len(begin)):
        for step in range(length[row]):
            click = begin[row] + step
            padded[row, step] = items[click]
            if step >= context[row]:
                where[sample] = row * width + step
                targets[sample] = items[click + 1]
                sample += 1
    return padded, where, targets


@njit(cache=True, nogil=True)
def _pad_times(
    times: Int64Array, begin: Int64Array, length: Int32Array, width: int
) -> tuple[AnyArray, AnyArray]:
    """(B, T) seconds since the click before, and (B, T) to the click after."""
    gaps = np.zeros((len(begin), width), dtype=np.float32)
    dwell = np.zeros((len(begin), width), dtype=np.float32)
    for row in range(len(begin)):
        for step in range(length[row]):
            click = begin[row] + step
            if step > 0:
                gaps[row, step] = dwell[row, step - 1]
            dwell[row, step] = (times[click + 1] - times[click]) / MS_PER_SECOND
    return gaps, dwell
