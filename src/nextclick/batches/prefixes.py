"""Evaluation samples: prefixes of sessions and the click after each prefix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from nextclick.core.earlier_sessions import EarlierSessions
from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import MS_PER_SECOND
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Float32Array, Int32Array, Int64Array

Mode: TypeAlias = Literal["all", "last", "first"]

CLICKS_PER_CHUNK = 1 << 20  # samples are computed chunk by chunk, to bound the memory


@dataclass(frozen=True, slots=True, eq=False)
class PrefixBlock:
    """P samples, each a prefix of a session and the next item.

    Attributes:
        batch: the P prefixes, without clicks on items unseen in training. The gap of the click
            after such a click is the time since the last known click.
        targets: (P,) int32, the next item in 1..N, 0 if it is unseen in training.
        session: (P,) int64, index of the session within the given sessions.
        position: (P,) int32, number of clicks before the target, including unknown items.
    """

    batch: SessionBatch
    targets: Int32Array
    session: Int64Array
    position: Int32Array

    def __len__(self) -> int:
        return len(self.targets)

    def select(self, rows: BoolArray) -> PrefixBlock:
        """The samples selected by the mask `rows` (P,), with unchanged padding."""
        return PrefixBlock(
            batch=self.batch.take(rows),
            targets=self.targets[rows],
            session=self.session[rows],
            position=self.position[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _KnownClicks:
    """The clicks on known items, and the range of each prefix within them.

    Attributes:
        items: (J,) int32 in 1..N.
        gaps: (J,) float32, seconds since the previous known click; None without times.
        first: (P,) int64, index of the first click of a prefix.
        length: (P,) int64, number of clicks of a prefix.
        time_since_last_click: (P,) float32, seconds from the last click of a prefix to its target;
            None unless the time of the target is leaked.
    """

    items: Int32Array
    gaps: Float32Array | None
    first: Int64Array
    length: Int64Array
    time_since_last_click: Float32Array | None


def prefix_blocks(
    sessions: Sessions,
    *,
    mode: Mode,
    max_length: int | None,
    max_cells: int,
    n_rows: int,
    leak_target_time: bool = False,
    earlier_sessions: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Iterator[PrefixBlock]:
    """Yield every sample of `sessions` once, session by session, shortest prefix first.

    Leakage guarantee: a prefix depends only on the clicks before its target. It contains neither
    the target, nor the target's time, nor later clicks. Gaps are between clicks of the prefix, so
    its first click has gap 0, even if `max_length` or an unknown item removed earlier clicks.

    Args:
        sessions: the log; its times and users, if any, are included in the batches.
        mode: "all" yields n - 1 samples for a session of n clicks, "last" only the last of them.
            "first" yields the first click of each session whose user has an earlier session; its
            prefix is empty.
        max_length: maximum number of known clicks of a prefix, the latest ones; None for no limit.
        max_cells: maximum number of cells P x T of a block; a single row may exceed it.
        n_rows: maximum number of rows P of a block.
        leak_target_time: set `time_since_last_click` of a batch to the seconds from the last click
            to the target, which a deployed recommender does not know. Use it only to measure the
            effect of this leak on models that are trained with it.
        earlier_sessions: number of latest earlier sessions of the user that the batches include. A
            session is earlier if it ended before the session of the prefix began.
        share: (rank, size) yields every size-th block, from block number rank on.

    Raises:
        ConfigError: an argument is out of range.
    """
    check_prefixes(mode, max_length)
    if max_cells < 1:
        raise ConfigError(f"max_cells must be at least 1, got {max_cells}")
    if n_rows < 1:
        raise ConfigError(f"n_rows must be at least 1, got {n_rows}")
    if leak_target_time and sessions.times is None:
        raise ConfigError(
            "leak_target_time needs sessions with times; prepare the log with --time-column"
        )
    has_history = sessions.users is not None and sessions.times is not None
    if mode == "first" and not has_history:
        raise ConfigError(
            "the first clicks of sessions are predicted from earlier sessions, and this log has no "
            "users or no times; prepare it with --user-column and --time-column"
        )
    blocks = _blocks(sessions, mode, max_length, max_cells, n_rows, leak_target_time, share)
    if mode == "first":
        complete = _with_history(blocks, sessions, max(earlier_sessions, 1))
        return (block for block in map(_returning, complete) if len(block))
    if not earlier_sessions or not has_history:
        return blocks
    return _with_history(blocks, sessions, earlier_sessions)


def count_samples(sessions: Sessions, mode: Mode) -> int:
    """The number of samples that `prefix_blocks` yields; with mode "first" at most."""
    if mode == "first":
        return int(np.count_nonzero(sessions.lengths()))
    if mode == "last":
        return int(np.count_nonzero(sessions.lengths() >= 2))
    return sessions.n_prefixes


def check_prefixes(mode: str, max_length: int | None) -> None:
    """Validate arguments of `prefix_blocks`.

    Raises:
        ConfigError: the mode is unknown, or the maximum length is not positive.
    """
    if mode not in ("all", "last", "first"):
        raise ConfigError(f"mode must be all, last or first, got {mode!r}")
    if max_length is not None and max_length < 1:
        raise ConfigError(f"max_length must be at least 1, or None for no limit; got {max_length}")


def _blocks(
    sessions: Sessions,
    mode: Mode,
    max_length: int | None,
    max_cells: int,
    n_rows: int,
    leak_target_time: bool,
    share: tuple[int, int],
) -> Iterator[PrefixBlock]:
    rank, size = share
    n_blocks = 0
    for begin, part in sessions.chunks(CLICKS_PER_CHUNK):
        session, target = _samples(part, mode)  # (P,), (P,)
        known = _known_clicks(part, session, target, max_length, leak_target_time)
        start = 0
        while start < len(target):
            stop = _block_end(known.length, start, max_cells, n_rows)
            rows = slice(start, stop)
            start, n_blocks = stop, n_blocks + 1
            if (n_blocks - 1) % size != rank:
                continue
            yield PrefixBlock(
                batch=_batch(
                    known, rows, None if part.users is None else part.users[session[rows]]
                ),
                targets=part.items[target[rows]].astype(np.int32),
                session=session[rows] + begin,
                position=(target[rows] - part.offsets[session[rows]]).astype(np.int32),
            )


def _with_history(
    blocks: Iterator[PrefixBlock], sessions: Sessions, n: int
) -> Iterator[PrefixBlock]:
    """The blocks with the last `n` earlier sessions of the user of each prefix."""
    assert sessions.users is not None and sessions.times is not None
    log, users = EarlierSessions.of(sessions), np.asarray(sessions.users, dtype=np.int64)
    for block in blocks:
        distinct, row_of = np.unique(block.session, return_inverse=True)
        starts = np.asarray(sessions.times)[sessions.offsets[distinct]]
        history = log.before(users[distinct], starts, n)
        yield replace(block, batch=replace(block.batch, history=history.take(row_of)))


def _returning(block: PrefixBlock) -> PrefixBlock:
    """The samples of users with an earlier session."""
    assert block.batch.history is not None
    return block.select(block.batch.history.counts > 0)


def _samples(part: Sessions, mode: Mode) -> tuple[Int64Array, Int64Array]:
    """(P,) index of the session and (P,) index of the target click of each sample."""
    lengths = part.lengths()
    if mode == "first":
        session = np.flatnonzero(lengths)
        return session, part.offsets[session]
    if mode == "last":
        session = np.flatnonzero(lengths >= 2)
        return session, part.offsets[session + 1] - 1
    click_session = np.repeat(np.arange(len(part)), lengths)  # (E,)
    is_target = np.ones(len(click_session), dtype=np.bool_)
    is_target[part.offsets[:-1][lengths > 0]] = False  # the first click has no prefix
    target = np.flatnonzero(is_target)
    return click_session[target], target


def _known_clicks(
    part: Sessions,
    session: Int64Array,
    target: Int64Array,
    max_length: int | None,
    leak_target_time: bool,
) -> _KnownClicks:
    known = np.flatnonzero(part.items != 0)  # (J,)
    n_known_before = np.zeros(len(part.items) + 1, dtype=np.int64)  # known clicks before each click
    np.cumsum(part.items != 0, out=n_known_before[1:])
    first = n_known_before[part.offsets[session]]  # (P,)
    length = n_known_before[target] - first
    if max_length is not None:
        first = first + np.maximum(length - max_length, 0)
        length = np.minimum(length, max_length)
    gaps = waited = None
    if part.times is not None:
        gaps = np.zeros(len(known), dtype=np.float32)
        gaps[1:] = np.diff(part.times[known]) / MS_PER_SECOND  # _batch sets the first of a row to 0
    if leak_target_time:
        assert part.times is not None
        waited = np.zeros(len(target), dtype=np.float32)
        nonempty = length > 0
        last = known[(first + length - 1)[nonempty]]
        waited[nonempty] = (part.times[target[nonempty]] - part.times[last]) / MS_PER_SECOND
    return _KnownClicks(part.items[known].astype(np.int32), gaps, first, length, waited)


def _block_end(length: Int64Array, start: int, max_cells: int, n_rows: int) -> int:
    """The largest stop such that rows start..stop - 1 satisfy both limits, at least start + 1."""
    window = 256
    while True:
        width = np.maximum(length[start : start + min(window, n_rows)], 1)
        cells = np.maximum.accumulate(width) * np.arange(1, len(width) + 1)
        n_fitting = int(np.searchsorted(cells, max_cells, side="right"))
        if n_fitting < len(width) or len(width) < window:
            return start + max(n_fitting, 1)
        window *= 4  # all rows of the window fit


def _batch(known: _KnownClicks, rows: slice, users: Int32Array | None) -> SessionBatch:
    first, length = known.first[rows], known.length[rows]
    steps = np.arange(max(int(length.max()), 1))  # (T,), T ≥ 1 also for empty prefixes
    mask = steps < length[:, None]  # (P, T)
    clicks = (first[:, None] + steps)[mask]
    items = np.zeros(mask.shape, dtype=np.int32)
    items[mask] = known.items[clicks]
    gaps = None
    if known.gaps is not None:
        gaps = np.zeros(mask.shape, dtype=np.float32)
        gaps[mask] = known.gaps[clicks]
        gaps[:, 0] = 0.0  # the first click of a prefix has no previous click
    return SessionBatch(
        items=items,
        lengths=length.astype(np.int32),
        gaps=gaps,
        users=None if users is None else users.astype(np.int32),
        time_since_last_click=None
        if known.time_since_last_click is None
        else known.time_since_last_click[rows],
    )
