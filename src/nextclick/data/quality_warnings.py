"""What in a log would mislead a model: looked for before anything is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.sessions import MS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import BoolArray, Int32Array, Int64Array
    from nextclick.data.readers.raw_log import RawLog
    from nextclick.data.sessionize import SessionTable
    from nextclick.data.split import Split

_SAMPLE_EVENTS = 5_000_000
_LONG_SESSION = 1_000
_SMALL_TEST = 0.005
_LONG_SPAN = 30.0  # years: longer than any shop has kept its log
_MS_PER_YEAR = 365.25 * MS_PER_DAY
_COMMON_GAP = 0.10  # one exact gap in every ten is no accident …
_AHEAD = 5.0  # … if it is this many times the next most frequent one


def warnings_of(log: RawLog, table: SessionTable) -> list[str]:
    """Return one sentence for each thing that a person should know before training."""
    found = []
    part_users = sum(part.several_users for part in log.parts)
    if log.unused_event is not None:
        found.append(
            f"the column {log.unused_event!r} was not looked at: every row counts as a click; "
            "choose with --events"
        )
    if log.relative_times:
        found.append(
            "the times are too small to be dates: they are taken as seconds from the start of "
            "the log; if they are something else, say --time-unit"
        )
    if log.bad.count:
        found.append(f"{log.bad.count:,} rows could not be read and were left out")
    if part_users:
        found.append(
            f"{part_users:,} clicks belong to sessions that began under another user; "
            "a session counts for its first user"
        )
    if table.out_of_order:
        found.append(
            f"{table.out_of_order:,} clicks stood in the log before an earlier click of their "
            "session; sessions were put in the order of time"
        )
    return found + _of_span(log, table) + _of_sessions(table)


def _of_span(log: RawLog, table: SessionTable) -> list[str]:
    assert table.times is not None
    years = (int(table.times.max()) - int(table.times.min())) / _MS_PER_YEAR
    if log.relative_times or years < _LONG_SPAN:
        return []
    warning = (
        f"the times span {years:.0f} years: are some of them in another unit, or invented? "
        "--split last-days and the blocks of time would go by them"
    )
    return [warning]


def split_warnings(splits: Sequence[Split], ends: Int64Array | None) -> list[str]:
    """Return a sentence for each split that cannot tell models apart, or that leaks."""
    found = []
    for split in splits:
        if ends is not None and len(split.train) and len(split.test):
            early = int((ends[split.test] < ends[split.train].max()).sum())
            if early:
                found.append(
                    f"{early:,} of {len(split.test):,} test sessions end before the last training "
                    "session: what is learned may come from their future; split the log by time"
                )
        share = len(split.test) / (len(split.test) + len(split.train))
        if share < _SMALL_TEST:
            found.append(
                f"{split.name or 'the test part'} has only {len(split.test):,} sessions, "
                f"{share:.2%} of the log: do a few late clicks stretch it? choose a --boundary, "
                "more --days, or --split fraction"
            )
    return found


def _of_sessions(table: SessionTable) -> list[str]:
    found = []
    lengths = np.diff(table.offsets)
    n_long = int((lengths >= _LONG_SESSION).sum())
    if n_long:
        found.append(
            f"{n_long:,} sessions have {_LONG_SESSION:,} clicks or more (the longest "
            f"{int(lengths.max()):,}): robots? --max-session-length drops them"
        )
    if table.times is None:
        return found
    repeated = _duplicates(table.items, table.times, table.offsets)
    if repeated:
        found.append(
            f"{repeated:,} rows repeat the item and the time of the click before them in their "
            "session: duplicated rows? --collapse-repeats counts them once"
        )
    return found + _of_gaps(table.times, table.offsets)


def _of_gaps(times: Int64Array, offsets: Int64Array) -> list[str]:
    every = max(1, len(times) // _SAMPLE_EVENTS)
    gaps, is_last = _sampled_gaps(times, offsets, every)
    if len(gaps) < 100:
        return []
    values, counts = np.unique(gaps, return_counts=True)
    order = np.argsort(counts)[::-1]
    top = int(values[order[0]])
    share = counts[order[0]] / len(gaps)
    runner_up = counts[order[1]] if len(order) > 1 else 0
    if share < _COMMON_GAP or counts[order[0]] < _AHEAD * runner_up:
        return []
    if top == 0:
        return [
            (
                f"{share:.0%} of the gaps between clicks are 0: the times are too coarse to order "
                "clicks or to tell how long an item was looked at"
            )
        ]
    at_end = float(is_last[gaps == top].mean())
    invented = (
        f", {at_end:.0%} of them before the last click of a session: an invented time, from "
        "which a model that sees the gap to its target would learn where sessions end"
        if at_end > 0.5
        else ": a default value or a timer?"
    )
    return [f"{share:.0%} of the gaps between clicks are exactly {top / 1000:g} seconds{invented}"]


def _duplicates(items: Int32Array, times: Int64Array, offsets: Int64Array) -> int:
    """How many clicks repeat the item and the time of the click before them."""
    same = np.zeros(len(items) + 1, dtype=np.bool_)
    same[1:-1] = (items[1:] == items[:-1]) & (times[1:] == times[:-1])
    same[offsets] = False
    return int(np.count_nonzero(same))


def _sampled_gaps(
    times: Int64Array, offsets: Int64Array, every: int
) -> tuple[Int64Array, BoolArray]:
    """(G,) the gaps in every n-th session, and (G,) whether each is its session's last."""
    first, stop = offsets[:-1][::every], offsets[1:][::every]
    counts = np.maximum(stop - first - 1, 0)
    ends = np.cumsum(counts)
    at = np.arange(counts.sum()) + np.repeat(first + 1 - (ends - counts), counts)
    is_last = np.zeros(len(at), dtype=np.bool_)
    is_last[ends[counts > 0] - 1] = True
    return times[at] - times[at - 1], is_last
