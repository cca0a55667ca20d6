"""Training batches of whole sessions, for models that score all prefixes of a session in one pass.

A `BatchPlan` assigns rows to the batches of an epoch. It depends only on (seed, epoch), and each
batch can be built independently, so training resumes in the middle of an epoch.

A row is a session, or a window of a session that is longer than the maximum length. Windows overlap
by half: the first predicts all its targets, each later one predicts targets in its second half and
reads the first half as context. Thus every click except the first of a session is a target exactly
once, with at least half of the maximum length as input.

If the sessions have time blocks, each batch contains sessions of one block only.
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

LONGEST_ROW = 200  # default maximum length of a row, in clicks (as in ASARS)
BATCHES_IN_POOL = 64  # rows are sorted by length within a pool of this many batches


@dataclass(frozen=True, slots=True, eq=False)
class TrainingBatch:
    """B rows, right-padded to T clicks, and the P targets to predict.

    Attributes:
        items: (B, T) int64 in 1..N, 0 for padding. The last click of a session is only a target.
        where: (P,) int64, the cell b * T + t of the last input before each target, ascending.
        targets: (P,) int64 in 1..N.
        gaps: (B, T) float32, seconds since the previous click of the row, 0 for its first; None
            without times.
        dwell: (B, T) float32, seconds to the next click. The dwell of a target's cell is unknown
            at prediction time, because the target ends it. None without times.
        users: (B,) int64, 0 for an unknown user; None without users.
        session: (B,) int64, index of the session of each row.
        starts: (B,) int64, time of the first click of the session of each row in milliseconds; None
            without times.
        block: the time block of all sessions; None without blocks.
    """

    items: Int64Array
    where: Int64Array
    targets: Int64Array
    gaps: Float32Array | None = None
    dwell: Float32Array | None = None
    users: Int64Array | None = None
    session: Int64Array | None = None
    starts: Int64Array | None = None
    block: int | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def share(self, rank: int, size: int) -> tuple[slice, slice]:
        """The rows and the targets of one of `size` processes; each has about as many targets.

        >>> batch = TrainingBatch(np.ones((3, 2), int), np.array([0, 1, 2, 4]), np.ones(4, int))
        >>> batch.share(0, 2), batch.share(1, 2)
        ((slice(0, 1, None), slice(0, 2, None)), (slice(1, 3, None), slice(2, 4, None)))
        """
        B, T = self.items.shape
        ends = np.searchsorted(self.where, np.arange(1, B + 1) * T)  # (B,), targets up to each row
        cuts = np.searchsorted(ends, len(self) * np.arange(size + 1) / size, side="right")
        cuts[0], cuts[-1] = 0, B
        first, stop = cuts[rank : rank + 2].tolist()
        targets = slice(*np.searchsorted(self.where, [first * T, stop * T]).tolist())
        return slice(first, stop), targets

    def take(self, rows: slice, targets: slice) -> TrainingBatch:
        """Consecutive rows and their targets, without columns of padding."""
        T = self.items.shape[1]
        items = self.items[rows]
        width = int(np.flatnonzero((items != 0).any(axis=0)).max(initial=0)) + 1
        row, column = np.divmod(self.where[targets], T)

        def trimmed(array: AnyArray | None) -> AnyArray | None:
            return None if array is None else np.ascontiguousarray(array[rows, :width])

        def of_rows(array: AnyArray | None) -> AnyArray | None:
            return None if array is None else array[rows]

        return TrainingBatch(
            np.ascontiguousarray(items[:, :width]),
            (row - rows.start) * width + column,
            self.targets[targets],
            trimmed(self.gaps),
            trimmed(self.dwell),
            of_rows(self.users),
            of_rows(self.session),
            of_rows(self.starts),
            self.block,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """R rows as ranges of clicks.

    Attributes:
        begin: (R,) int64, index of the first click among all clicks.
        length: (R,) int32, number of inputs; each input is followed by another click.
        context: (R,) int32, number of inputs at the start of a row without a target.
        session: (R,) int32, index of the session.
    """

    begin: Int64Array
    length: Int32Array
    context: Int32Array
    session: Int32Array

    def __len__(self) -> int:
        return len(self.begin)


class SessionOrder:
    """Yields every prefix of every session once per epoch, in batches of `batch_size` prefixes."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        batch_size: int,
        max_length: int | None,
        seed: int,
        shuffle: bool = True,
        length_window: int = 1,
    ):
        """Split the sessions into rows.

        Args:
            sessions: the log; clicks on unknown items (0) are ignored, as in `prefix_blocks`. If
                the sessions have blocks, each batch is from one block.
            batch_size: maximum number of prefixes in a batch; a single row may exceed it.
            max_length: maximum number of inputs of a row; None is `LONGEST_ROW`.
            seed: seed of the shuffling.
            shuffle: shuffle the rows and group them by length; False keeps the order of time.
            length_window: without shuffling, rows are grouped by length within the rows of so many
                consecutive batches, and these batches are in random order; 1 keeps the order of
                time exactly.

        Raises:
            ConfigError: a size is out of range.
            EmptyLogError: no session has two clicks.
        """
        for name, value in (
            ("batch_size", batch_size),
            ("max_length", max_length or LONGEST_ROW),
            ("length_window", length_window),
        ):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        self._starts: Int64Array | None = None  # (S,)
        if sessions.times is not None:
            first = np.minimum(sessions.offsets[:-1], len(sessions.items) - 1)
            self._starts = np.asarray(sessions.times)[first]
        self._sessions = drop_unknown_items(sessions)
        self._rows = _split_into_rows(self._sessions.offsets, max_length or LONGEST_ROW)
        self._n_targets = (self._rows.length - self._rows.context).astype(np.int64)  # (R,)
        blocks = self._sessions.blocks
        self._block = np.zeros(len(self._rows), np.int32)  # (R,)
        if blocks is not None:
            self._block = np.asarray(blocks)[self._rows.session].astype(np.int32)
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        self._window = length_window

    @property
    def n_samples(self) -> int:
        """The number of prefixes in an epoch."""
        return int(self._n_targets.sum())

    def plan(self, epoch: int) -> BatchPlan:
        """The batches of an epoch; they depend only on (seed, epoch)."""
        rng = np.random.default_rng([self._seed, epoch])
        order = self._bucket_by_length(rng) if self._shuffle else self._sort_within_windows()
        bounds = _batch_bounds(self._n_targets[order], self._block[order], self._batch_size)
        batches = np.arange(len(bounds) - 1)
        if self._shuffle:
            rng.shuffle(batches)
        elif self._window > 1:
            block = self._block[order[bounds[:-1]]]  # batches stay in the order of blocks
            batches = np.lexsort((rng.random(len(batches)), batches // self._window, block))
        return BatchPlan(self._sessions, self._starts, self._rows, order, bounds, batches)

    def _bucket_by_length(self, rng: np.random.Generator) -> Int64Array:
        """(R,) rows, shuffled within their block and sorted by length within each pool."""
        order = rng.permutation(len(self._rows))
        order = order[np.argsort(self._block[order], kind="stable")]
        starts = np.flatnonzero(np.diff(self._block[order], prepend=-1))
        length = np.minimum(self._rows.length[order], np.iinfo(np.uint16).max).astype(np.uint16)
        pool = max(int(BATCHES_IN_POOL * self._batch_size / self._n_targets.mean()), 1)
        for begin, end in pairwise([*starts.tolist(), len(order)]):
            for number, start in enumerate(range(begin, end, pool)):
                part = slice(start, min(start + pool, end))
                by_length = np.argsort(length[part], kind="stable")
                # alternate descending and ascending: a batch across two pools has similar lengths
                order[part] = order[part][by_length if number % 2 else by_length[::-1]]
        return order

    def _sort_within_windows(self) -> Int64Array:
        """(R,) rows in the order of time, sorted by length within each window."""
        if self._window == 1:
            return np.arange(len(self._rows))
        window = np.cumsum(self._n_targets) // (self._window * self._batch_size)
        # alternate ascending and descending: a batch across two windows has similar lengths
        length = np.where(window % 2, -self._rows.length, self._rows.length)
        return np.lexsort((length, window, self._block))


@dataclass(frozen=True, slots=True, eq=False)
class BatchPlan:
    """The batches of one epoch; `plan[k]` builds the batch of step k.

    Attributes:
        sessions: the sessions without clicks on unknown items.
        starts: (S,) int64, time of the first click of each session, known or not; None without
            times.
        rows: the R rows as ranges of clicks.
        order: (R,) int64, the rows in the order in which they fill the batches.
        bounds: (K + 1,) int64; batch j has the rows `order[bounds[j]:bounds[j + 1]]`.
        batches: (K,) int64, the index of the batch of each step.
    """

    sessions: Sessions
    starts: Int64Array | None
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
        items_and_targets = _pad(log.items, begin, length, context, width, n_targets)
        gaps = dwell = users = None
        if log.times is not None:
            gaps, dwell = _pad_times(log.times, begin, length, width)
        session = self.rows.session[rows].astype(np.int64)
        block = None if log.blocks is None else int(log.blocks[session[0]])
        if log.users is not None:
            users = log.users[session].astype(np.int64)
        starts = None if self.starts is None else self.starts[session]
        return TrainingBatch(*items_and_targets, gaps, dwell, users, session, starts, block)


def drop_unknown_items(sessions: Sessions) -> Sessions:
    """Remove the clicks on items unseen in training.

    Raises:
        EmptyLogError: no session has two clicks on known items.
    """
    items, times = sessions.items, sessions.times
    offsets = np.asarray(sessions.offsets, dtype=np.int64)
    known = items != 0
    if not known.all():
        n_known_before = np.zeros(len(items) + 1, dtype=np.int64)
        np.cumsum(known, out=n_known_before[1:])
        items, offsets = items[known], n_known_before[offsets]
        times = None if times is None else times[known]
    if not (np.diff(offsets) >= 2).any():
        raise EmptyLogError(
            "no session has two clicks on known items, so there is nothing to predict; "
            "use a log with longer sessions"
        )
    return replace(sessions, items=items, offsets=offsets, times=times)


def _split_into_rows(offsets: Int64Array, max_length: int) -> _Rows:
    """The rows of all sessions, in the order of the sessions."""
    n_inputs = np.diff(offsets) - 1  # (S,)
    overlap = max_length // 2
    excess = np.maximum(n_inputs - max_length, 0)
    n_rows = (n_inputs >= 1) + -(-excess // (max_length - overlap))  # (S,)
    rows = _Rows(
        np.empty(n_rows.sum(), dtype=np.int64),
        np.empty(n_rows.sum(), dtype=np.int32),
        np.zeros(n_rows.sum(), dtype=np.int32),
        np.repeat(np.arange(len(n_rows), dtype=np.int32), n_rows),
    )
    _fill_rows(offsets, max_length, overlap, rows.begin, rows.length, rows.context)
    return rows


@njit(cache=True, nogil=True)
def _fill_rows(
    offsets: Int64Array,
    max_length: int,
    overlap: int,
    begin: Int64Array,
    length: Int32Array,
    context: Int32Array,
) -> None:
    row = 0
    for session in range(len(offsets) - 1):
        n_inputs = offsets[session + 1] - offsets[session] - 1
        done = 0
        while done < n_inputs:
            n_context = overlap if done else 0
            begin[row] = offsets[session] + done - n_context
            length[row] = min(max_length, n_inputs - done + n_context)
            context[row] = n_context
            done += length[row] - n_context
            row += 1


@njit(cache=True, nogil=True)
def _batch_bounds(n_targets: Int64Array, block: Int32Array, batch_size: int) -> Int64Array:
    """(K + 1,) bounds of the batches: consecutive rows of a block, at most `batch_size` targets."""
    bounds = np.empty(len(n_targets) + 1, dtype=np.int64)
    bounds[0] = 0
    n_batches = 0
    size = 0
    for row in range(len(n_targets)):
        if size and (size + n_targets[row] > batch_size or block[row] != block[row - 1]):
            n_batches += 1
            bounds[n_batches] = row
            size = 0
        size += n_targets[row]
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
    """(B, T) items, (P,) cells of the last inputs and (P,) targets of a batch."""
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
    """(B, T) seconds since the previous click, and (B, T) seconds to the next click."""
    gaps = np.zeros((len(begin), width), dtype=np.float32)
    dwell = np.zeros((len(begin), width), dtype=np.float32)
    for row in range(len(begin)):
        for step in range(length[row]):
            click = begin[row] + step
            if step > 0:
                gaps[row, step] = dwell[row, step - 1]
            dwell[row, step] = (times[click + 1] - times[click]) / MS_PER_SECOND
    return gaps, dwell
