"""Training before, test after: whole sessions, by the time of their last click."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.sessions import MS_PER_DAY
from nextclick.errors import ConfigError, EmptyLogError

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def split_by_time(
    ends: Int64Array, alive: BoolArray, options: SplitOptions, block_ms: int, origin_ms: int
) -> Iterator[Split]:
    """Split sessions by the times at which they ended.

    Args:
        ends: (S,) int64, milliseconds, time of the last click.
        alive: (S,) bool, False for a session that the filters dropped.
        options: how.
        block_ms: length of a block, for `blocks`.
        origin_ms: where the first block begins.

    Raises:
        ConfigError: the boundary is not a time.
        EmptyLogError: a part would be empty.
    """
    order = np.argsort(ends, kind="stable")
    order = order[alive[order]]
    if options.kind == "windows":
        yield from _windows(order, ends[order], options)
        return
    if options.kind == "fraction":
        split = _by_fraction(order, ends[order], options.fraction)
    else:
        split = _by_boundary(order, ends[order], options, block_ms, origin_ms)
    _refuse_empty(split, ends[order])
    yield split


def _by_fraction(order: Int64Array, ends: Int64Array, fraction: float) -> Split:
    at = len(order) - max(1, round(fraction * len(order)))
    boundary = int(ends[at]) if len(order) else None
    return Split("", order[:at], order[at:], boundary)


def _by_boundary(
    order: Int64Array, ends: Int64Array, options: SplitOptions, block_ms: int, origin_ms: int
) -> Split:
    unit, origin = 1, 0
    last = int(ends[-1])
    if options.kind == "blocks":
        n_blocks = (last - origin_ms) // block_ms + 1
        n_train = n_blocks - round(options.fraction * n_blocks)
        boundary = origin_ms + int(n_train) * block_ms
    elif options.kind == "boundary":
        boundary = parse_boundary(options.boundary)
    elif options.whole_days:
        unit, origin = MS_PER_DAY, 0
        # the last n days; where the day before them is dropped, it is the boundary
        boundary = (last // unit - round(options.days) + (not options.drop_edge)) * unit
    else:
        boundary = last - round(options.days * MS_PER_DAY)
    keys, edge = (ends - origin) // unit, (boundary - origin) // unit
    before, after = keys < edge, keys > edge
    on_edge = ~before & ~after
    if not options.drop_edge:
        after |= on_edge
    n_edge = int(on_edge.sum()) if options.drop_edge else 0
    return Split("", order[before], order[after], boundary, n_edge)


def _windows(order: Int64Array, ends: Int64Array, options: SplitOptions) -> Iterator[Split]:
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
        split = Split(f"window-{number}", order[train], order[test], boundary)
        _refuse_empty(split, ends)
        yield split


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
