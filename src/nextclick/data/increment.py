"""Reads a newer log for a model that was trained on an older one.

Sessions are read, grouped and filtered as those of the older log, with two exceptions. Items that
the model knows are kept regardless of their support; other items need the minimum support in the
new log alone. Users with few sessions are kept, because a log of one day has few sessions per user.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import polars as pl

from nextclick.core.sessions import MS_PER_DAY, Sessions
from nextclick.core.types import silent
from nextclick.data.click_counts import ClickCounts
from nextclick.data.default_boundary import find_late_sessions
from nextclick.data.filters import apply_filters
from nextclick.data.options import FilterOptions, PrepareOptions, ReadOptions, SessionOptions
from nextclick.data.readers.columns import Columns
from nextclick.data.readers.formats import get_log_format
from nextclick.data.readers.frames import as_sources
from nextclick.data.readers.raw_ids import whole_numbers
from nextclick.data.session_log import read_sessions
from nextclick.data.split import iso
from nextclick.errors import ConfigError, EmptyLogError, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.time_blocks import TimeBlocks
    from nextclick.core.types import BoolArray, Int32Array, Int64Array, Progress
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.session_log import SessionLog
    from nextclick.data.session_table import SessionTable

Overlap: TypeAlias = Literal["whole", "cut", "all"]
_MAX_GAP_MS = 366 * MS_PER_DAY  # a longer gap to the new log indicates another unit or another log
_KNOWN_SUPPORT = 1 << 40  # support of known items, above every minimum


@dataclass(frozen=True, slots=True)
class PriorLog:
    """Properties of the log that a model was trained on.

    Attributes:
        items: raw ids of its items.
        last_ms: time of its last click, milliseconds since the epoch.
        blocks: its blocks of time, None without.
    """

    items: Vocabulary
    last_ms: int
    blocks: TimeBlocks | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LogIncrement:
    """The sessions of a new log, sorted by end.

    Attributes:
        sessions: sessions with the indices of `items` and `users`.
        items: raw ids of the items.
        users: raw ids of the users, None if the log has no users.
        report: what was read and what was dropped.
        warnings: warnings about the log.
        ends_with_block: whether the last block of time of the sessions is over; False without
            blocks.
    """

    sessions: Sessions
    items: Vocabulary
    users: Vocabulary | None
    report: dict[str, Any]
    warnings: list[str]
    ends_with_block: bool = False

    def last_block_over(self, n_sessions: int) -> int:
        """The last block that is over in a log of the first `n_sessions`; -1 without blocks."""
        blocks = self.sessions.blocks
        if blocks is None:
            return -1
        last = int(blocks[n_sessions - 1])
        if n_sessions < len(blocks):
            return last if blocks[n_sessions] > last else last - 1
        return last if self.ends_with_block else last - 1


def options_from_manifest(
    protocol: Mapping[str, Any], prepared: Mapping[str, Any] | None
) -> PrepareOptions:
    """Return the options by which a store was prepared, without its split.

    Args:
        protocol: field `protocol` of the manifest of the store or artifact.
        prepared: field `prepared` of the manifest, None in an older manifest.
    """
    groups = prepared or {}
    read = dict(groups.get("read", {}))
    read["columns"] = Columns(**read.get("columns", {}))
    for name in ("events", "names"):
        if read.get(name) is not None:
            read[name] = tuple(read[name])
    return PrepareOptions(
        read=ReadOptions(**read),
        sessions=SessionOptions(**groups.get("sessions", {})),
        filters=FilterOptions(**protocol.get("filters", {})),
    ).checked()


def read_increment(
    sources: Any,
    prior: PriorLog,
    options: PrepareOptions,
    *,
    overlap: Overlap = "whole",
    until_ms: int | None = None,
    progress: Progress = silent,
) -> LogIncrement:
    """Read a log that is newer than the log of a model.

    Args:
        sources: a path, folder, glob, frame, or a list of these.
        prior: the log that the model was trained on.
        options: options for reading, grouping and filtering.
        overlap: sessions that begin at or before the last click of the prior log and end after it
            are kept "whole", or lose their clicks up to that time ("cut"). With "all", clicks
            before that time are new, too, because the source identifies new clicks otherwise.
        until_ms: the time until which the log is complete, milliseconds since the epoch; None is
            its last click. It decides whether the last block of time is over.
        progress: progress callback.

    Raises:
        SourceError: the log cannot be read, is not newer than the prior log, or has no known item.
        EmptyLogError: no session is left.
        ConfigError: `overlap` or an option is invalid.
    """
    if overlap not in ("whole", "cut", "all"):
        raise ConfigError(f"overlap must be whole or cut, got {overlap!r}")
    options = replace(options, read=replace(options.read, keep_columns=()))
    if not get_log_format(options.read.format).has_times:
        raise _no_times(options)
    log = read_sessions(as_sources(sources), None, options, progress)
    starts, ends = log.table.starts(), log.table.ends()
    if starts is None or ends is None:
        raise _no_times(options)
    report, warnings = dict(log.report), list(log.warnings)
    now_ms = round(time.time() * 1000)
    is_late = _drop_late_sessions(log, ends, now_ms, report, warnings)
    last_ms = prior.last_ms if overlap != "all" else int(starts.min()) - 1
    if last_ms > now_ms:
        warnings.append(
            f"the last click of the artifact is in the future, at {iso(last_ms)}, so no session "
            "of the new log is dropped as old"
        )
        last_ms = int(starts.min()) - 1
    _check_times(starts[~is_late], ends[~is_late], last_ms)
    warnings += _drop_old_clicks(log, starts, ends, last_ms, overlap, report)
    known = _known_items(log, prior.items)
    _filter(log, options, known, report)
    if until_ms is None:
        until_ms = int(ends[~is_late].max())
    increment = _build_increment(log, ends, prior, until_ms, report, warnings)
    _check_id_types(prior.items, increment.items)
    return increment


def _check_id_types(known: Vocabulary, new: Vocabulary) -> None:
    """Check that new ids do not turn the integer ids of a model into text.

    Raises:
        SourceError: the ids of the model are integers and new ids are not.
    """
    if known.is_text or not new.is_text:
        return
    texts = [str(raw) for raw in new.ids() if not isinstance(raw, int)]
    others = [text for text in texts if whole_numbers(pl.Series([text])) is None][:3]
    raise SourceError(
        f"the items of the model are integers, such as {known.raw(1)!r}, and the new log has "
        f"{', '.join(map(repr, others))}; all ids of the answers would become text. Correct these "
        "ids, name them with --missing, or train a new model"
    )


def _no_times(options: PrepareOptions) -> ConfigError:
    return ConfigError(
        f"format {options.read.format} has no times, so the log cannot be shown to be newer; use a "
        "format with times"
    )


def _check_times(starts: Int64Array, ends: Int64Array, last_ms: int) -> None:
    """Check that the log is newer and has the unit of time of the prior log.

    Raises:
        SourceError: the log is older, or its times seem to have another unit.
    """
    first, last = int(starts.min()), int(ends.max())
    span = f"the clicks of the new log are from {iso(first)} to {iso(last)}"
    too_small = last <= last_ms < last * 1000 < last_ms + _MAX_GAP_MS
    too_large = first > last_ms + _MAX_GAP_MS and last_ms < last // 1000 < last_ms + _MAX_GAP_MS
    if too_small or too_large:
        raise SourceError(
            f"{span}, 1000 times too {'small' if too_small else 'large'} to follow the last click "
            f"of the artifact at {iso(last_ms)}, probably because of another unit; set it with "
            "--time-unit"
        )
    if last <= last_ms:
        raise SourceError(
            f"{span}, none after the last click of the artifact at {iso(last_ms)}, so the log is "
            "not newer; pass a log of later days"
        )
    if first - last_ms > _MAX_GAP_MS:
        raise SourceError(
            f"{span}, more than a year after the last click of the artifact at {iso(last_ms)}; "
            "check --time-unit, or train a new model on a log of these days"
        )


def _drop_late_sessions(
    log: SessionLog, ends: Int64Array, now_ms: int, report: dict[str, Any], warnings: list[str]
) -> BoolArray:
    """Drop the sessions whose doubtful times would become the end of the model's log.

    Returns:
        (S,) whether a session was dropped.
    """
    order = np.argsort(ends, kind="stable")
    n_late = find_late_sessions(ends[order], now_ms).count
    is_late = np.zeros(len(ends), dtype=np.bool_)
    is_late[order[len(ends) - n_late :]] = True
    log.memory_table.keep &= ~np.repeat(is_late, np.diff(log.table.offsets))
    report["late_sessions"] = n_late
    if n_late:
        warnings.append(
            f"{n_late:,} sessions end in the future or long after the others, the last at "
            f"{iso(int(ends.max()))}, and were dropped, because later logs would not be newer; "
            "correct their times"
        )
    return is_late


def _drop_old_clicks(
    log: SessionLog,
    starts: Int64Array,
    ends: Int64Array,
    last_ms: int,
    overlap: Overlap,
    report: dict[str, Any],
) -> list[str]:
    """Drop sessions that end by `last_ms`; keep or cut those that begin by it. Returns warnings."""
    table, lengths = log.memory_table, np.diff(log.table.offsets)
    assert table.times is not None
    old = ends <= last_ms
    overlapping = ~old & (starts <= last_ms)
    table.keep &= ~np.repeat(old, lengths)
    n_old, n_overlapping = int(old.sum()), int(overlapping.sum())
    report["old_sessions"] = n_old
    report["overlapping_sessions"] = n_overlapping
    end, warnings = iso(last_ms), []
    if n_old:
        warnings.append(
            f"{n_old:,} sessions ended by {end}, the last click of the artifact, and were "
            "dropped, because the model was trained on that time"
        )
    if n_overlapping and overlap == "whole":
        warnings.append(
            f"{n_overlapping:,} sessions began by {end} and ended after it, and were kept whole; "
            "if the older log contains their first clicks, use --overlap cut"
        )
    if n_overlapping and overlap == "cut":
        old_clicks = np.repeat(overlapping, lengths) & (table.times <= last_ms)
        table.keep &= ~old_clicks
        report["overlapping_clicks"] = int(old_clicks.sum())
        warnings.append(
            f"{int(old_clicks.sum()):,} clicks up to {end} of {n_overlapping:,} sessions that "
            "ended after it were dropped"
        )
    return warnings


def _known_items(log: SessionLog, items: Vocabulary) -> BoolArray:
    """Return (codes,) bool, whether the model knows the item of each code.

    Raises:
        SourceError: the model knows none of the items.
    """
    codes = np.arange(len(log.items), dtype=np.int32)
    vocabulary, index = log.items.vocabulary(codes)
    is_known = items.indices(vocabulary.ids()) > 0  # (items,) in the order of the vocabulary
    if not is_known.any():
        raise SourceError(
            f"none of the {len(vocabulary):,} items of the new log, such as "
            f"{vocabulary.raw(1)!r}, is among the {len(items):,} of the artifact, such as "
            f"{items.raw(1)!r}; check the log and --item-column"
        )
    known: BoolArray = is_known[index - 1]
    return known


def _filter(
    log: SessionLog, options: PrepareOptions, known: BoolArray, report: dict[str, Any]
) -> None:
    """Apply the filters; known items are kept regardless of their support.

    Raises:
        EmptyLogError: no session is left.
    """
    support = options.filters.min_item_support
    filters = replace(options.filters, min_user_sessions=1)
    prior = np.where(known, _KNOWN_SUPPORT, 0).astype(np.int64)
    clicks = ClickCounts(log.table, len(log.items))
    steps = apply_filters(clicks, filters, 5 if support is None else support, 0, prior=prior)
    report["steps"] = [{"name": step.name, **asdict(step.counts)} for step in steps]
    if not log.memory_table.keep.any():
        raise EmptyLogError(
            f"the new log has no new session: {report['old_sessions']:,} ended by the last click "
            "of the artifact, and the others have too few clicks on items that are known or have "
            "enough clicks; pass a longer log, or lower --min-item-support"
        )


def _build_increment(
    log: SessionLog,
    ends: Int64Array,
    prior: PriorLog,
    until_ms: int,
    report: dict[str, Any],
    warnings: list[str],
) -> LogIncrement:
    """Return the kept clicks as sessions, sorted by the time of their last click in the log."""
    table = log.memory_table
    assert table.times is not None
    order, offsets, clicks = _sort_sessions(table, ends)
    codes, times = table.items[table.keep][clicks], table.times[table.keep][clicks]
    items, item_index = log.items.vocabulary(np.unique(codes))
    users = user_index = None
    if log.users is not None and table.users is not None:
        user_codes = table.users[order]
        users, index = log.users.vocabulary(np.unique(user_codes[user_codes >= 0]))
        user_index = np.append(index, np.int32(0))[user_codes]  # code -1, unknown, is the last
    blocks: Int32Array | None = None
    is_over = False
    if prior.blocks is not None:
        blocks = prior.blocks.of(ends[order])
        is_over = prior.blocks.is_over(int(blocks[-1]), until_ms)
    sessions = Sessions(
        items=item_index[codes],
        offsets=offsets,
        n_items=len(items),
        times=times,
        users=user_index,
        n_users=0 if users is None else len(users),
        blocks=blocks,
    )
    return LogIncrement(sessions, items, users, report, warnings, is_over)


def _sort_sessions(
    table: SessionTable, ends: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Sort the sessions that have a kept click by end.

    Returns:
        (S,) session numbers, (S + 1,) offsets, and (E,) the number of each click among the kept
        clicks of the table.
    """
    session = np.repeat(np.arange(len(table)), np.diff(table.offsets))[table.keep]
    lengths = np.bincount(session, minlength=len(table))
    order = np.argsort(ends, kind="stable")
    order = order[lengths[order] > 0]
    offsets = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(lengths[order], out=offsets[1:])
    first = np.cumsum(lengths) - lengths  # first kept click of each session
    clicks = np.repeat(first[order] - offsets[:-1], lengths[order]) + np.arange(offsets[-1])
    return order, offsets, clicks
