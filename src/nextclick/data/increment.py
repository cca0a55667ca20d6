"""What came after: a new log for a model that has learned from an older one.

Sessions are read, cut and filtered as the older log's were, but for two rules. An item that the
model knows stays, however rare it is now; another one needs its minimum of clicks in the new log
alone. And a user of few sessions stays: on one day everybody has few.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from nextclick.core.sessions import MS_PER_DAY, Sessions
from nextclick.core.types import silent
from nextclick.data.filters import apply_filters
from nextclick.data.options import FilterOptions, PrepareOptions, ReadOptions, SessionOptions
from nextclick.data.prepare_store import listed, read_sessions, session_ends
from nextclick.data.readers.columns import Columns
from nextclick.data.split import iso
from nextclick.errors import ConfigError, EmptyLogError, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.types import BoolArray, Int32Array, Int64Array, Progress
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.prepare_store import SessionLog

Overlap: TypeAlias = Literal["whole", "cut"]
_FAR = 366 * MS_PER_DAY  # a log that goes on after more than this is one of something else
_KNOWN = 1 << 40  # clicks that no minimum asks for


@dataclass(frozen=True, slots=True)
class PriorLog:
    """What is known of the log that a model has learned from.

    Attributes:
        items: raw ids of its items.
        last_ms: the time of its last click.
        block_ms: length of a block of time, None if it had none.
        block_origin_ms: where the first block begins.
    """

    items: Vocabulary
    last_ms: int
    block_ms: int | None = None
    block_origin_ms: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LogIncrement:
    """The sessions of a new log, in the order in which they ended.

    Attributes:
        sessions: in the indices of `items` and `users`.
        items: raw ids of their items.
        users: raw ids of their users, None where the log names nobody.
        report: what was read, and what was left out.
        warnings: sentences for people.
    """

    sessions: Sessions
    items: Vocabulary
    users: Vocabulary | None
    report: dict[str, Any]
    warnings: list[str]


def options_of(protocol: Mapping[str, Any], prepared: Mapping[str, Any] | None) -> PrepareOptions:
    """Return how a store was prepared, out of its manifest; its split has no meaning here."""
    told = prepared or {}
    read = dict(told.get("read", {}))
    read["columns"] = Columns(**read.get("columns", {}))
    if read.get("events") is not None:
        read["events"] = tuple(read["events"])
    return PrepareOptions(
        read=ReadOptions(**read),
        sessions=SessionOptions(**told.get("sessions", {})),
        filters=FilterOptions(**protocol.get("filters", {})),
    ).checked()


def read_increment(
    sources: Any,
    older: PriorLog,
    options: PrepareOptions,
    *,
    overlap: Overlap = "whole",
    progress: Progress = silent,
) -> LogIncrement:
    """Read a new log.

    Args:
        sources: a path, folder, glob, frame, or a list of these.
        older: what the model has learned from.
        options: how to read, cut and filter it.
        overlap: sessions that begin before the older log's last click and end after it stay
            "whole", or lose the clicks up to it: "cut".
        progress: told how far it has come.

    Raises:
        SourceError: it cannot be read, is no newer than the older log, or has no known item.
        EmptyLogError: no session is left.
        ConfigError: `overlap` or an option that does not exist.
    """
    if overlap not in ("whole", "cut"):
        raise ConfigError(f"overlap must be whole or cut, got {overlap!r}")
    if options.read.format == "srgnn":
        raise ConfigError("format srgnn has no times: nothing says that its clicks are newer")
    log = read_sessions(listed(sources), None, options, progress)
    ends, _ = session_ends(log.table)
    assert ends is not None
    starts = log.table.times[log.table.offsets[:-1]]  # type: ignore[index]
    _check_times(starts, ends, older.last_ms)
    report, warnings = dict(log.read), list(log.warnings)
    warnings += _leave_out_old(log, starts, ends, older.last_ms, overlap, report)
    known = _known(log, older.items)
    _filter(log, options, known, report)
    return _gathered(log, ends, older, report, warnings)


def _check_times(starts: Int64Array, ends: Int64Array, last_ms: int) -> None:
    """Refuse a log that is older, or whose times are in another unit.

    Raises:
        SourceError: with both times.
    """
    first, last = int(starts.min()), int(ends.max())
    told = f"the new log's clicks are from {iso(first)} to {iso(last)}"
    too_small = last <= last_ms < last * 1000 < last_ms + _FAR
    too_large = first > last_ms + _FAR and last_ms < last // 1000 < last_ms + _FAR
    if too_small or too_large:
        raise SourceError(
            f"{told}, 1000 times too {'small' if too_small else 'large'} to follow the artifact's "
            f"last click at {iso(last_ms)}: they look like another unit; name it with --time-unit"
        )
    if last <= last_ms:
        raise SourceError(
            f"{told}, none after the artifact's last click at {iso(last_ms)}: this log is no "
            "newer; give the log of the days since"
        )
    if first - last_ms > _FAR:
        raise SourceError(
            f"{told}, more than a year after the artifact's last click at {iso(last_ms)}: check "
            "--time-unit, or train again on a log of these days"
        )


def _leave_out_old(
    log: SessionLog,
    starts: Int64Array,
    ends: Int64Array,
    last_ms: int,
    overlap: Overlap,
    report: dict[str, Any],
) -> list[str]:
    """Drop sessions that were over by then; keep or cut those that were not."""
    table, lengths = log.table, np.diff(log.table.offsets)
    assert table.times is not None
    old = ends <= last_ms
    across = ~old & (starts <= last_ms)
    table.keep &= ~np.repeat(old, lengths)
    report["old_sessions"] = int(old.sum())
    report["overlapping_sessions"] = int(across.sum())
    when, found = iso(last_ms), []
    if old.any():
        found.append(
            f"{int(old.sum()):,} sessions ended by {when}, the artifact's last click: they were "
            "left out, because it has learned from that time"
        )
    if across.any() and overlap == "whole":
        found.append(
            f"{int(across.sum()):,} sessions began by {when} and went on after it: they were kept "
            "whole; if the older log had their first clicks, say --overlap cut"
        )
    if across.any() and overlap == "cut":
        again = np.repeat(across, lengths) & (table.times <= last_ms)
        table.keep &= ~again
        report["overlapping_clicks"] = int(again.sum())
        found.append(
            f"{int(again.sum()):,} clicks up to {when} of {int(across.sum()):,} sessions that "
            "went on after it were left out"
        )
    return found


def _known(log: SessionLog, items: Vocabulary) -> BoolArray:
    """(codes,) bool, whether the model knows an item.

    Raises:
        SourceError: it knows none.
    """
    everything = np.arange(len(log.items), dtype=np.int32)
    vocabulary, place = log.items.vocabulary(everything)
    found = items.indices(vocabulary.ids()) > 0  # by place in the vocabulary
    if not found.any():
        raise SourceError(
            f"none of the {len(vocabulary):,} items of the new log, such as "
            f"{vocabulary.raw(1)!r}, is among the {len(items):,} of the artifact, such as "
            f"{items.raw(1)!r}: is it the log of another shop, or is --item-column another one?"
        )
    known: BoolArray = found[place - 1]
    return known


def _filter(
    log: SessionLog, options: PrepareOptions, known: BoolArray, report: dict[str, Any]
) -> None:
    """Drop what is too rare or too short.

    Raises:
        EmptyLogError: no session is left.
    """
    support = options.filters.min_item_support
    rules = replace(options.filters, min_user_sessions=1)
    prior = np.where(known, _KNOWN, 0).astype(np.int64)
    steps = apply_filters(
        log.table, rules, 5 if support is None else support, len(log.items), 0, prior=prior
    )
    report["steps"] = [{"name": step.name, **asdict(step.left)} for step in steps]
    if not log.table.keep.any():
        raise EmptyLogError(
            f"the new log has no new session: {report['old_sessions']:,} were over by the "
            "artifact's last click, the others have too few clicks on items that are known or "
            "clicked often enough; give a longer log, or lower --min-item-support"
        )


def _gathered(
    log: SessionLog, ends: Int64Array, older: PriorLog, report: dict[str, Any], warnings: list[str]
) -> LogIncrement:
    """The kept clicks as sessions, by the time of their last click in the log."""
    table = log.table
    assert table.times is not None
    session = np.repeat(np.arange(len(table)), np.diff(table.offsets))[table.keep]
    lengths = np.bincount(session, minlength=len(table))
    order = np.argsort(ends, kind="stable")
    order = order[lengths[order] > 0]  # (S,)
    offsets = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(lengths[order], out=offsets[1:])
    first = np.cumsum(lengths) - lengths  # where a session begins among the kept clicks
    at = np.repeat(first[order] - offsets[:-1], lengths[order]) + np.arange(offsets[-1])
    codes, times = table.items[table.keep][at], table.times[table.keep][at]
    items, place = log.items.vocabulary(np.unique(codes))
    users = of_session = None
    if log.users is not None and table.users is not None:
        of_session = table.users[order]
        named = np.unique(of_session[of_session >= 0])
        users, index = log.users.vocabulary(named.astype(np.int32))
        of_session = np.append(index, np.int32(0))[of_session]  # code -1, nobody, is the last
    blocks: Int32Array | None = None
    if older.block_ms is not None and older.block_origin_ms is not None:
        blocks = ((ends[order] - older.block_origin_ms) // older.block_ms).astype(np.int32)
    return LogIncrement(
        Sessions(
            items=place[codes],
            offsets=offsets,
            n_items=len(items),
            times=times,
            users=of_session,
            n_users=0 if users is None else len(users),
            blocks=blocks,
        ),
        items,
        users,
        report,
        warnings,
    )
