"""Warnings about properties of a log that mislead models, checked before any click is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.sessions import MS_PER_DAY
from nextclick.data.default_boundary import MIN_PREFIXES, find_late_sessions
from nextclick.data.split import iso

if TYPE_CHECKING:
    from nextclick.core.types import Int64Array
    from nextclick.data.click_table import ClickTable
    from nextclick.data.readers.raw_log import RawLog
    from nextclick.data.split import Split

_SAMPLE_EVENTS = 2_000_000
_MIN_GAPS = 100  # fewer gaps are too few for a warning
_LONG_SESSION = 1_000  # clicks
_SMALL_TEST = 0.005  # share of the sessions
_LONG_SESSIONS = 0.05  # share of sessions of more than a day that causes a warning
_LONG_SPAN = 20.0  # years; a longer span indicates invalid times
_FIRST_LOGS = 820_454_400_000  # 1996 in milliseconds; times since 2001 (Apple) are before it
_MS_PER_YEAR = 365.25 * MS_PER_DAY
_COMMON_GAP = 0.10  # share of a single gap value that causes a warning …
_DOMINANCE = 5.0  # … if it is this many times as frequent as the next value


def log_warnings(log: RawLog, table: ClickTable) -> list[str]:
    """Return one sentence for each property of a log to know before training."""
    warnings = list(log.notes)
    n_other_user = sum(part.n_other_user for part in log.parts)
    if log.relative_times:
        warnings.append(
            "the times are too small to be dates, so they are read as seconds from the start of "
            "the log; set another unit with --time-unit, such as excel for days since 1900"
        )
    if log.bad_rows.count:
        warnings.append(f"{log.bad_rows.count:,} rows could not be parsed and were dropped")
    if n_other_user:
        warnings.append(
            f"{n_other_user:,} clicks have another user than the first click of their session; "
            "a session belongs to its first user; if session ids are reused, name a key such as "
            "--session-column user_id+session_id"
        )
    if table.out_of_order:
        warnings.append(
            f"{table.out_of_order:,} clicks are earlier than the previous click of their session "
            "in the log; sessions were sorted by time"
        )
    return warnings + _span_warnings(log, table) + _session_warnings(table)


def late_warnings(ends: Int64Array | None, now_ms: int) -> list[str]:
    """Return one sentence about sessions that end later than now, and one about isolated ones."""
    if ends is None or not len(ends):
        return []
    ends, warnings = np.sort(ends), []
    late = find_late_sessions(ends, now_ms)
    effect = (
        "such sessions do not decide the default start of the test part; check the clock of the "
        "log, or drop them"
    )
    if late.future:
        warnings.append(
            f"{late.future:,} sessions end later than now, the last at {iso(int(ends[-1]))}; "
            + effect
        )
    elif ends[0] > now_ms:
        warnings.append(
            f"all sessions end later than now, the first at {iso(int(ends[0]))}; check the clock "
            "of the log and --time-unit"
        )
    if late.isolated:
        first = len(ends) - late.count
        warnings.append(
            f"{late.isolated:,} sessions end long after the others, from {iso(int(ends[first]))} "
            f"on, while the others end by {iso(int(ends[first - 1]))}; {effect}"
        )
    return warnings


def split_warnings(split: Split, ends: Int64Array | None, n_prefixes: int) -> list[str]:
    """Return one sentence for each of these: a leak, few test sessions, few test prefixes.

    Args:
        split: the sessions of both parts.
        ends: (S,) time of the last click of each session, None without times.
        n_prefixes: number of prefixes of the test part of the store.
    """
    warnings = []
    name = split.name or "the test part"
    if ends is not None:
        n_early = int((ends[split.test] < ends[split.train].max()).sum())
        if n_early:
            warnings.append(
                f"{n_early:,} of {len(split.test):,} test sessions end before the last "
                "training session, so training data may come from their future; split the "
                "log by time"
            )
    share = len(split.test) / (len(split.test) + len(split.train))
    if share < _SMALL_TEST:
        warnings.append(
            f"{name} has only {len(split.test):,} sessions, {share:.2%} of the log, possibly "
            "because of a few late clicks; choose a --boundary, more --days, or --split fraction"
        )
    if n_prefixes < MIN_PREFIXES:
        warnings.append(
            f"{name} has only {n_prefixes:,} prefixes, so most differences between models are "
            f"not significant; {MIN_PREFIXES:,} or more are better"
        )
    return warnings


def _span_warnings(log: RawLog, table: ClickTable) -> list[str]:
    starts, ends = table.starts(), table.ends()
    if starts is None or ends is None:
        return []
    first, last = int(starts.min()), int(ends.max())
    if not log.relative_times and last < _FIRST_LOGS:
        warning = (
            f"the log ends at {iso(last)}, which is early for a click log; check --time-unit, and "
            "from which year the times count"
        )
        return [warning]
    years = (last - first) / _MS_PER_YEAR
    if log.relative_times or years < _LONG_SPAN:
        return []
    warning = (
        f"the times span {years:.0f} years, so some may be invalid or in another unit; they "
        "affect --split last-days and the blocks of time"
    )
    return [warning]


def _session_warnings(table: ClickTable) -> list[str]:
    warnings = []
    lengths = np.diff(table.offsets)
    n_long = int((lengths >= _LONG_SESSION).sum())
    if n_long:
        warnings.append(
            f"{n_long:,} sessions have {_LONG_SESSION:,} clicks or more (the longest "
            f"{int(lengths.max()):,}), possibly of robots; --max-session-length drops them"
        )
    starts, ends = table.starts(), table.ends()
    if starts is None or ends is None:
        return warnings
    spans = ends[lengths > 0] - starts[lengths > 0]
    n_days = int((spans > MS_PER_DAY).sum())
    if n_days > _LONG_SESSIONS * len(spans):
        warnings.append(
            f"{n_days:,} of {len(spans):,} sessions last longer than a day; --gap 1800 divides "
            "them where no click occurs for half an hour"
        )
    n_repeated = table.count_repeated_rows()
    if n_repeated:
        warnings.append(
            f"{n_repeated:,} rows repeat the item and the time of the previous click of their "
            "session, possibly duplicate rows; --collapse-repeats counts them once"
        )
    return warnings + _gap_warnings(table)


def _gap_warnings(table: ClickTable) -> list[str]:
    step = max(1, int(table.offsets[-1]) // _SAMPLE_EVENTS)
    gaps, is_last = table.sample_gaps(step)
    if len(gaps) < _MIN_GAPS:
        return []
    values, counts = np.unique(gaps, return_counts=True)
    order = np.argsort(counts)[::-1]
    gap_ms = int(values[order[0]])
    share = counts[order[0]] / len(gaps)
    next_count = counts[order[1]] if len(order) > 1 else 0
    if share < _COMMON_GAP or counts[order[0]] < _DOMINANCE * next_count:
        return []
    if gap_ms == 0:
        warning = (
            f"{share:.0%} of the gaps between clicks are 0: the times are too coarse to order "
            "clicks or to measure dwell times"
        )
        return [warning]
    last_share = float(is_last[gaps == gap_ms].mean())
    cause = (
        f", {last_share:.0%} of them before the last click of a session: an invented time, which "
        "reveals the end of a session to a model that reads the gap to the target"
        if last_share > 0.5
        else ", possibly a default value or a timer"
    )
    return [f"{share:.0%} of the gaps between clicks are exactly {gap_ms / 1000:g} seconds{cause}"]
