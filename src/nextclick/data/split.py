"""Training before, test after: whole sessions, by the time of their last click.

A kind of split is one function and one entry in `SPLITS`; options, `--split` and the checks read
the registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.sessions import MS_PER_DAY
from nextclick.errors import ConfigError, EmptyLogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nextclick.core.types import BoolArray, Int64Array
    from nextclick.data.options import SplitOptions


@dataclass(frozen=True, slots=True)
class Split:
    """Which sessions are in which part.

    No session is in both; every session of `train` ended before the boundary (or, for `fraction`,
    at it), every one of `test` at it or later.

    Attributes:
        name: `` for the only split, `window-1`, `window-2`, … for sliding windows.
        train: (n,) session numbers, the one that ended first in front.
        test: (m,) session numbers, likewise.
        boundary_ms: milliseconds since the epoch, None where the log has no times.
        n_edge: sessions on the boundary, in neither part.
    """

    name: str
    train: Int64Array
    test: Int64Array
    boundary_ms: int | None
    n_edge: int = 0


@dataclass(frozen=True, slots=True)
class SplitInput:
    """The sessions to split.

    Attributes:
        order: (n,) session numbers, the one that ended first in front.
        ends: (n,) int64 milliseconds, ascending, time of the last click of each.
        options: lengths, fractions and boundaries.
        block_ms: length of a block of time.
        origin_ms: start of the first block.
    """

    order: Int64Array
    ends: Int64Array
    options: SplitOptions
    block_ms: int
    origin_ms: int


@dataclass(frozen=True, slots=True)
class SplitKind:
    """A way to split sessions by time.

    Attributes:
        name: as typed after `--split`.
        summary: what the test part holds, for help texts.
        split: from the sessions to one split, or to several with different names.
    """

    name: str
    summary: str
    split: Callable[[SplitInput], Iterable[Split]]


def split_by_time(
    ends: Int64Array, alive: BoolArray, options: SplitOptions, block_ms: int, origin_ms: int
) -> Iterator[Split]:
    """Split sessions by the times at which they ended.

    Args:
        ends: (S,) int64, milliseconds, time of the last click.
        alive: (S,) bool, False for a session that the filters dropped.
        options: the kind of split and its values.
        block_ms: length of a block of time.
        origin_ms: start of the first block.

    Raises:
        ConfigError: the boundary is not a time.
        EmptyLogError: a part would be empty.
    """
    order = np.argsort(ends, kind="stable")
    order = order[alive[order]]
    sessions = SplitInput(order, ends[order], options, block_ms, origin_ms)
    for split in SPLITS[options.kind].split(sessions):
        _refuse_empty(split, sessions.ends)
        yield split


def _by_fraction(sessions: SplitInput) -> list[Split]:
    order, ends = sessions.order, sessions.ends
    at = len(order) - max(1, round(sessions.options.fraction * len(order)))
    boundary = int(ends[at]) if len(order) else None
    return [Split("", order[:at], order[at:], boundary)]


def _by_blocks(sessions: SplitInput) -> list[Split]:
    n_blocks = (int(sessions.ends[-1]) - sessions.origin_ms) // sessions.block_ms + 1
    n_train = n_blocks - round(sessions.options.fraction * n_blocks)
    return _at(sessions, sessions.origin_ms + int(n_train) * sessions.block_ms)


def _by_boundary(sessions: SplitInput) -> list[Split]:
    return _at(sessions, parse_boundary(sessions.options.boundary))


def _by_last_days(sessions: SplitInput) -> list[Split]:
    options, last = sessions.options, int(sessions.ends[-1])
    if not options.whole_days:
        return _at(sessions, last - round(options.days * MS_PER_DAY))
    # the last n days; where the day before them is dropped, it is the boundary
    first_day = last // MS_PER_DAY - round(options.days) + (not options.drop_edge)
    return _at(sessions, first_day * MS_PER_DAY, unit_ms=MS_PER_DAY)


def _at(sessions: SplitInput, boundary: int, unit_ms: int = 1) -> list[Split]:
    """Split at a boundary, comparing times in whole units."""
    order, keys, edge = sessions.order, sessions.ends // unit_ms, boundary // unit_ms
    before, after = keys < edge, keys > edge
    on_edge = ~before & ~after
    if not sessions.options.drop_edge:
        after |= on_edge
    n_edge = int(on_edge.sum()) if sessions.options.drop_edge else 0
    return [Split("", order[before], order[after], boundary, n_edge)]


def _by_windows(sessions: SplitInput) -> Iterator[Split]:
    order, ends, options = sessions.order, sessions.ends, sessions.options
    test_ms = round(options.days * MS_PER_DAY)
    train_ms = None if options.train_days is None else round(options.train_days * MS_PER_DAY)
    last = int(ends[-1])
    for number in range(1, options.windows + 1):
        boundary = last - (options.windows - number + 1) * test_ms
        until = boundary + test_ms if number < options.windows else last + 1
        test = (ends >= boundary) & (ends < until)
        train = ends < boundary
        if train_ms is not None:
            train &= ends >= boundary - train_ms
        yield Split(f"window-{number}", order[train], order[test], boundary)


SPLITS: dict[str, SplitKind] = {
    kind.name: kind
    for kind in (
        SplitKind("last-days", "the last --days", _by_last_days),
        SplitKind("boundary", "what ends at --boundary or later", _by_boundary),
        SplitKind("fraction", "the last --fraction of the sessions", _by_fraction),
        SplitKind("blocks", "the last --fraction of the blocks of time", _by_blocks),
        SplitKind("windows", "--days after each of several boundaries", _by_windows),
    )
}
PRE_SPLIT = "pre-split"  # the log comes in two parts: nothing is left to split


def parse_boundary(text: str | None) -> int:
    """Return milliseconds since the epoch for ISO text (UTC where it names no zone) or a number.

    Raises:
        ConfigError: it is neither.
    """
    if text is None:
        raise ConfigError("split boundary: a time is needed; give --boundary 2024-05-01")
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"split boundary must be ISO 8601 or milliseconds since the epoch, got {text!r}"
        ) from None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(zoned.timestamp() * 1000)


def recent_samples(lengths: Int64Array, recent: int) -> tuple[int, int]:
    """Find where the most recent 1/recent of the training samples begin.

    A session of n clicks gives n - 1 samples. The papers take the last ⌊samples / recent⌋ of a
    list in which each session's longest prefix stands first, so that a session cut by the border
    keeps its short prefixes.

    Args:
        lengths: (S,) clicks of the training sessions, oldest first.
        recent: k of 1/k.

    Returns:
        The first session that stays, and how many of its clicks stay.

    >>> recent_samples(np.array([3, 4, 2]), 2)  # 2 + 3 + 1 samples, of which 3 stay
    (1, 3)
    """
    samples = np.maximum(lengths - 1, 0)
    wanted = int(samples.sum()) // recent
    tail = np.cumsum(samples[::-1])
    back = int(np.searchsorted(tail, wanted))
    first = len(lengths) - 1 - back
    rest = int(samples[first]) - (int(tail[back]) - wanted)
    return first, rest + 1


def _refuse_empty(split: Split, ends: Int64Array) -> None:
    for name, part in (("training", split.train), ("test", split.test)):
        if len(part) == 0:
            where = f" of {split.name}" if split.name else ""
            edge = "" if split.boundary_ms is None else f" at {iso(split.boundary_ms)}"
            raise EmptyLogError(
                f"the {name} part{where} is empty: the boundary lies{edge}, the sessions end "
                f"between {iso(int(ends[0]))} and {iso(int(ends[-1]))}; "
                "choose another --boundary or --days, or --split fraction"
            )


def iso(ms: int) -> str:
    """Write milliseconds since the epoch as ISO 8601 in UTC."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, OSError, ValueError):
        return f"{ms} ms"
