"""Splits of whole sessions into training and test, by the time of their last click.

A kind of split is one function and one entry in `SPLITS`. The options and the command line read
their names from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nextclick.core.sessions import MS_PER_DAY
from nextclick.data.default_boundary import default_boundary
from nextclick.errors import ConfigError, EmptyLogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nextclick.core.time_blocks import TimeBlocks
    from nextclick.core.types import BoolArray, Int64Array
    from nextclick.data.options import SplitOptions


PrefixCounter: TypeAlias = "Callable[[Int64Array, Int64Array], int]"


@dataclass(frozen=True, slots=True)
class Split:
    """The sessions of the training and of the test part.

    No session is in both parts. The sessions of `train` end before the boundary (with `fraction`,
    at the boundary or earlier); those of `test` end at the boundary or later.

    Attributes:
        name: `window-1`, `window-2`, … for sliding windows, empty for a single split.
        train: (n,) session numbers, sorted by end.
        test: (m,) session numbers, sorted by end.
        boundary_ms: milliseconds since the epoch, None if the split is not by time.
        n_edge: number of sessions on the boundary, in neither part.
        stop_ms: end of the test, milliseconds since the epoch; None is the end of the log.
        kind: how the boundary was found: the kind of split, or a rule of `default_boundary`.
        reason: why the default boundary is where it is; None with a chosen kind of split.
    """

    name: str
    train: Int64Array
    test: Int64Array
    boundary_ms: int | None
    n_edge: int = 0
    stop_ms: int | None = None
    kind: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SplitInput:
    """The sessions to split.

    Attributes:
        order: (n,) session numbers, sorted by end.
        ends: (n,) int64 milliseconds, ascending, time of the last click of each.
        options: lengths, fractions and boundaries.
        blocks: blocks of time, from that of the first click on.
        now_ms: present time, milliseconds since the epoch.
        count_prefixes: returns the number of prefixes of test sessions, given the numbers of the
            training and of the test sessions.
    """

    order: Int64Array
    ends: Int64Array
    options: SplitOptions
    blocks: TimeBlocks
    now_ms: int
    count_prefixes: PrefixCounter


@dataclass(frozen=True, slots=True)
class SplitKind:
    """A kind of split.

    Attributes:
        name: value of `--split`.
        summary: description of the test part for help texts.
        split: returns one split of the sessions, or several with different names.
    """

    name: str
    summary: str
    split: Callable[[SplitInput], Iterable[Split]]


def split_by_time(
    ends: Int64Array,
    alive: BoolArray,
    options: SplitOptions,
    blocks: TimeBlocks,
    now_ms: int,
    count_prefixes: PrefixCounter,
) -> Iterator[Split]:
    """Split sessions by the time of their last click.

    Args:
        ends: (S,) int64, time of the last click in milliseconds.
        alive: (S,) bool, False for sessions that the filters dropped.
        options: the kind of split and its parameters.
        blocks: blocks of time, from that of the first click on.
        now_ms: present time, milliseconds since the epoch; later sessions do not decide the
            default boundary.
        count_prefixes: see `SplitInput`.

    Raises:
        ConfigError: the boundary is not a time.
        EmptyLogError: a part is empty.
    """
    options = options.resolved()
    order = np.argsort(ends, kind="stable")
    order = order[alive[order]]
    sessions = SplitInput(order, ends[order], options, blocks, now_ms, count_prefixes)
    for split in SPLITS[options.kind].split(sessions):
        _check_not_empty(split, sessions.ends)
        yield split if split.kind else replace(split, kind=options.kind)


def _by_default(sessions: SplitInput) -> list[Split]:
    order = sessions.order

    def count_prefixes(start: int, stop: int) -> int:
        return sessions.count_prefixes(order[:start], order[start:stop])

    chosen = default_boundary(sessions.ends, count_prefixes, sessions.now_ms)
    train, test = order[: chosen.n_train], order[chosen.n_train :]
    return [Split("", train, test, chosen.boundary_ms, kind=chosen.rule, reason=chosen.reason)]


def _by_fraction(sessions: SplitInput) -> list[Split]:
    order, ends = sessions.order, sessions.ends
    assert sessions.options.fraction is not None
    n_train = len(order) - max(1, round(sessions.options.fraction * len(order)))
    boundary = int(ends[n_train]) if len(order) else None
    return [Split("", order[:n_train], order[n_train:], boundary)]


def _by_blocks(sessions: SplitInput) -> list[Split]:
    n_blocks = sessions.blocks.block_of(int(sessions.ends[-1])) + 1
    assert sessions.options.fraction is not None
    n_train = n_blocks - round(sessions.options.fraction * n_blocks)
    return _split_at(sessions, sessions.blocks.start_ms(n_train))


def _by_boundary(sessions: SplitInput) -> list[Split]:
    return _split_at(sessions, parse_boundary(sessions.options.boundary))


def _by_last_days(sessions: SplitInput) -> list[Split]:
    options, last = sessions.options, int(sessions.ends[-1])
    assert options.days is not None
    if not options.whole_days:
        return _split_at(sessions, last - round(options.days * MS_PER_DAY))
    # with drop_edge, the boundary is the day before the last n days, which is dropped
    first_day = last // MS_PER_DAY - round(options.days) + (not options.drop_edge)
    return _split_at(sessions, first_day * MS_PER_DAY, unit_ms=MS_PER_DAY)


def _split_at(sessions: SplitInput, boundary: int, unit_ms: int = 1) -> list[Split]:
    """Split at a boundary; times are compared in whole units of `unit_ms`."""
    order, keys, edge = sessions.order, sessions.ends // unit_ms, boundary // unit_ms
    before, after = keys < edge, keys > edge
    on_edge = ~before & ~after
    if not sessions.options.drop_edge:
        after |= on_edge
    n_edge = int(on_edge.sum()) if sessions.options.drop_edge else 0
    return [Split("", order[before], order[after], boundary, n_edge)]


def _by_windows(sessions: SplitInput) -> Iterator[Split]:
    order, ends, options = sessions.order, sessions.ends, sessions.options
    assert options.days is not None
    assert options.windows is not None
    test_ms = round(options.days * MS_PER_DAY)
    train_ms = None if options.train_days is None else round(options.train_days * MS_PER_DAY)
    last = int(ends[-1])
    for number in range(1, options.windows + 1):
        boundary = last - (options.windows - number + 1) * test_ms
        stop = boundary + test_ms if number < options.windows else last + 1
        test = (ends >= boundary) & (ends < stop)
        train = ends < boundary
        if train_ms is not None:
            train &= ends >= boundary - train_ms
        yield Split(f"window-{number}", order[train], order[test], boundary, stop_ms=stop)


AUTO = "auto"  # the kind of an option group that names no other
SPLITS: dict[str, SplitKind] = {
    kind.name: kind
    for kind in (
        SplitKind(AUTO, "the last day, or a longer period if it has few sessions", _by_default),
        SplitKind("last-days", "the last --days", _by_last_days),
        SplitKind("boundary", "the sessions that end at --boundary or later", _by_boundary),
        SplitKind("fraction", "the last --fraction of the sessions", _by_fraction),
        SplitKind("blocks", "the last --fraction of the blocks of time", _by_blocks),
        SplitKind("windows", "--days after each of several boundaries", _by_windows),
    )
}
PRE_SPLIT = "pre-split"  # the log consists of a training and a test part


def parse_boundary(text: str | None) -> int:
    """Return milliseconds since the epoch of an ISO time (UTC without a time zone) or a number.

    Raises:
        ConfigError: the text is neither.
    """
    if text is None:
        raise ConfigError("split boundary: a time is required; set --boundary 2024-05-01")
    return parse_time("split boundary", text)


def parse_time(name: str, text: str) -> int:
    """Return milliseconds since the epoch of an ISO time (UTC without a time zone) or a number.

    Args:
        name: what the time is, for the message of an error.
        text: the time.

    Raises:
        ConfigError: the text is neither.
    """
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{name} must be ISO 8601 or milliseconds since the epoch, got {text!r}"
        ) from None
    with_zone = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round(with_zone.timestamp() * 1000)


def recent_samples(lengths: Int64Array, recent: int) -> tuple[int, int]:
    """Return the start of the most recent 1/recent of the training samples.

    A session of n clicks has n - 1 samples. As in the papers, the last ⌊samples / recent⌋ samples
    are kept of a list with the longest prefix of each session first, so the first kept session
    keeps its short prefixes.

    Args:
        lengths: (S,) clicks of the training sessions, oldest first.
        recent: reciprocal of the fraction.

    Returns:
        The first session that is kept, and the number of its clicks that are kept.

    >>> recent_samples(np.array([3, 4, 2]), 2)  # keeps 3 of 2 + 3 + 1 samples
    (1, 3)
    """
    samples = np.maximum(lengths - 1, 0)
    n_kept = int(samples.sum()) // recent
    samples_from_end = np.cumsum(samples[::-1])
    n_whole = int(np.searchsorted(samples_from_end, n_kept))  # sessions that are kept whole
    first = len(lengths) - 1 - n_whole
    n_first = int(samples[first]) - (int(samples_from_end[n_whole]) - n_kept)
    return first, n_first + 1


def _check_not_empty(split: Split, ends: Int64Array) -> None:
    for name, part in (("training", split.train), ("test", split.test)):
        if len(part) == 0:
            window = f" of {split.name}" if split.name else ""
            boundary = ""
            if split.boundary_ms is not None:
                boundary = f"the boundary is {iso(split.boundary_ms)}, and "
            raise EmptyLogError(
                f"the {name} part{window} is empty: {boundary}the sessions end between "
                f"{iso(int(ends[0]))} and {iso(int(ends[-1]))}; "
                "choose another --boundary or --days, or --split fraction"
            )


def iso(ms: int) -> str:
    """Format milliseconds since the epoch as ISO 8601 in UTC."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, OSError, ValueError):
        return f"{ms} ms"
