"""Prefixes of sessions with the click that followed: the samples of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import MS_PER_SECOND
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Float32Array, Int32Array, Int64Array

Mode: TypeAlias = Literal["all", "last"]

CLICKS_AT_ONCE = (
    1 << 20
)  # clicks whose samples are listed at a time: bounds the memory of a long log


@dataclass(frozen=True, slots=True, eq=False)
class PrefixBlock:
    """P samples: what was clicked so far, and what was clicked next.

    Attributes:
        batch: the P prefixes. A click on an item unseen in training is left out of its row, and
            the gap of the click after it then reaches over it, back to the last known click.
        targets: (P,) int32, the next item in 1..N, 0 if it is unseen in training.
        session: (P,) int64, index of the session within the sessions that were asked for.
        position: (P,) int32, clicks before the target, those on unknown items included.
    """

    batch: SessionBatch
    targets: Int32Array
    session: Int64Array
    position: Int32Array

    def __len__(self) -> int:
        return len(self.targets)

    def select(self, rows: BoolArray) -> PrefixBlock:
        """The samples that `rows` ((P,) bool) marks, with the same padding."""
        batch = self.batch
        return PrefixBlock(
            batch=SessionBatch(
                items=batch.items[rows],
                lengths=batch.lengths[rows],
                gaps=None if batch.gaps is None else batch.gaps[rows],
                users=None if batch.users is None else batch.users[rows],
                waited=None if batch.waited is None else batch.waited[rows],
            ),
            targets=self.targets[rows],
            session=self.session[rows],
            position=self.position[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _KnownClicks:
    """The clicks on known items, and where in them each prefix begins and ends.

    Attributes:
        items: (J,) int32 in 1..N.
        gaps: (J,) float32, seconds since the known click before; None without times.
        first: (P,) int64, index of the first click that a prefix keeps.
        length: (P,) int64, how many it keeps.
        waited: (P,) float32, seconds from the last of them to the target; None if nobody may know.
    """

    items: Int32Array
    gaps: Float32Array | None
    first: Int64Array
    length: Int64Array
    waited: Float32Array | None


def prefix_blocks(
    sessions: Sessions,
    *,
    mode: Mode,
    max_length: int | None,
    max_cells: int,
    n_rows: int,
    leak_target_time: bool = False,
) -> Iterator[PrefixBlock]:
    """Yield every sample of `sessions` once, session by session, shortest prefix first.

    A row depends on the clicks before its target alone: neither the target, nor its time, nor
    anything later enters it. Its gaps lie between clicks of the row, so the first click of a row
    has gap 0 even where `max_length` or an unknown item cut off what was before.

    Args:
        sessions: the log; times and users are carried along where it has them.
        mode: "all" gives n - 1 samples for a session of n clicks, "last" the last of them.
        max_length: keep only that many of the latest known clicks of a prefix; None keeps all.
        max_cells: most cells (P x T) of a block; a single row may be longer.
        n_rows: most rows P of a block.
        leak_target_time: ask at the moment of the target: `waited` of a batch is then what nobody
            knows who recommends. For models that are trained so, and only to show what it is worth.

    Raises:
        ConfigError: an argument out of its range.
    """
    check_prefixes(mode, max_length)
    if max_cells < 1:
        raise ConfigError(f"max_cells must be at least 1, got {max_cells}")
    if n_rows < 1:
        raise ConfigError(f"n_rows must be at least 1, got {n_rows}")
    if leak_target_time and sessions.times is None:
        raise ConfigError("these sessions have no times, so no target has one")
    return _blocks(sessions, mode, max_length, max_cells, n_rows, leak_target_time)


def count_samples(sessions: Sessions, mode: Mode) -> int:
    """How many samples `prefix_blocks` gives."""
    if mode == "last":
        return int(np.count_nonzero(sessions.lengths() >= 2))
    return sessions.n_prefixes


def check_prefixes(mode: str, max_length: int | None) -> None:
    """Raise ConfigError unless `prefix_blocks` knows the mode and the length is positive."""
    if mode not in ("all", "last"):
        raise ConfigError(f"mode must be all or last, got {mode!r}")
    if max_length is not None and max_length < 1:
        raise ConfigError(f"max_length must be at least 1, or None for no limit; got {max_length}")


def _blocks(
    sessions: Sessions,
    mode: Mode,
    max_length: int | None,
    max_cells: int,
    n_rows: int,
    leak_target_time: bool,
) -> Iterator[PrefixBlock]:
    for begin, end in _stretches(sessions.offsets):
        part = sessions.slice(begin, end)
        session, target = _samples(part, mode)  # (P,), (P,)
        known = _known_clicks(part, session, target, max_length, leak_target_time)
        start = 0
        while start < len(target):
            stop = _block_end(known.length, start, max_cells, n_rows)
            rows = slice(start, stop)
            yield PrefixBlock(
                batch=_batch(
                    known, rows, None if part.users is None else part.users[session[rows]]
                ),
                targets=part.items[target[rows]].astype(np.int32),
                session=session[rows] + begin,
                position=(target[rows] - part.offsets[session[rows]]).astype(np.int32),
            )
            start = stop


def _stretches(offsets: Int64Array) -> Iterator[tuple[int, int]]:
    """Cut the sessions into runs of at most CLICKS_AT_ONCE clicks, at least one session each."""
    begin, n_sessions = 0, len(offsets) - 1
    while begin < n_sessions:
        reach = int(np.searchsorted(offsets, offsets[begin] + CLICKS_AT_ONCE, side="right")) - 1
        end = max(reach, begin + 1)
        yield begin, end
        begin = end


def _samples(part: Sessions, mode: Mode) -> tuple[Int64Array, Int64Array]:
    """(P,) session and (P,) index of the target among the clicks, in their order."""
    lengths = part.lengths()
    if mode == "last":
        session = np.flatnonzero(lengths >= 2)
        return session, part.offsets[session + 1] - 1
    of_click = np.repeat(np.arange(len(part)), lengths)  # (E,)
    is_target = np.ones(len(of_click), dtype=np.bool_)
    is_target[part.offsets[:-1][lengths > 0]] = False  # nothing comes before a first click
    target = np.flatnonzero(is_target)
    return of_click[target], target


def _known_clicks(
    part: Sessions,
    session: Int64Array,
    target: Int64Array,
    max_length: int | None,
    leak_target_time: bool,
) -> _KnownClicks:
    kept = np.flatnonzero(part.items != 0)  # (J,)
    n_before = np.zeros(len(part.items) + 1, dtype=np.int64)  # known clicks before each click
    np.cumsum(part.items != 0, out=n_before[1:])
    first = n_before[part.offsets[session]]  # (P,)
    length = n_before[target] - first
    if max_length is not None:
        first = first + np.maximum(length - max_length, 0)
        length = np.minimum(length, max_length)
    gaps = waited = None
    if part.times is not None:
        gaps = np.zeros(len(kept), dtype=np.float32)
        gaps[1:] = np.diff(part.times[kept]) / MS_PER_SECOND  # _batch zeroes the first of a row
    if leak_target_time:
        assert part.times is not None
        waited = np.zeros(len(target), dtype=np.float32)
        some = length > 0
        last = kept[(first + length - 1)[some]]
        waited[some] = (part.times[target[some]] - part.times[last]) / MS_PER_SECOND
    return _KnownClicks(part.items[kept].astype(np.int32), gaps, first, length, waited)


def _block_end(length: Int64Array, start: int, max_cells: int, n_rows: int) -> int:
    """The furthest stop such that rows start..stop - 1 stay within both bounds."""
    reach = 256
    while True:
        width = np.maximum(length[start : start + min(reach, n_rows)], 1)
        cells = np.maximum.accumulate(width) * np.arange(1, len(width) + 1)
        fitting = int(np.searchsorted(cells, max_cells, side="right"))
        if fitting < len(width) or len(width) < reach:
            return start + max(fitting, 1)
        reach *= 4  # all of them fit: look further


def _batch(known: _KnownClicks, rows: slice, users: Int32Array | None) -> SessionBatch:
    first, length = known.first[rows], known.length[rows]
    steps = np.arange(max(int(length.max()), 1))  # (T,), at least 1 even if no item is known
    filled = steps < length[:, None]  # (P, T)
    source = (first[:, None] + steps)[filled]
    items = np.zeros(filled.shape, dtype=np.int32)
    items[filled] = known.items[source]
    gaps = None
    if known.gaps is not None:
        gaps = np.zeros(filled.shape, dtype=np.float32)
        gaps[filled] = known.gaps[source]
        gaps[:, 0] = 0.0  # a row knows of no click before its first
    return SessionBatch(
        items=items,
        lengths=length.astype(np.int32),
        gaps=gaps,
        users=None if users is None else users.astype(np.int32),
        waited=None if known.waited is None else known.waited[rows],
    )
