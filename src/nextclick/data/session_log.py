"""Reads the sources of `prepare` and groups the clicks into sessions, before any filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextclick.data.quality_warnings import log_warnings
from nextclick.data.readers.frames import is_frame
from nextclick.data.readers.presplit import read_srgnn
from nextclick.data.readers.raw_log import NO_TIMES, RawLog, read_log
from nextclick.data.repeated_sessions import repeat_warnings
from nextclick.data.session_table import SessionTable
from nextclick.data.sessionize import Grouping
from nextclick.data.split import iso
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.core.types import Progress
    from nextclick.data.click_table import ClickTable
    from nextclick.data.encode import IdEncoder
    from nextclick.data.matched_items import MatchedItems
    from nextclick.data.options import PrepareOptions, SessionOptions
    from nextclick.data.readers.raw_log import ReadParts

_DEFAULT_GAP_SECONDS = 3600.0  # ends the session of a user; session ids are not divided by default


@dataclass(slots=True)
class SessionLog:
    """A log that is grouped into sessions and not yet filtered.

    Attributes:
        table: the sessions.
        items: encoder of the item codes.
        users: encoder of the user codes, None without users.
        columns: names of the kept columns, in the order of the table, to the encoders of their
            values.
        n_train: number of training sessions of a pre-split log, else None.
        time_pattern: inferred pattern of dates that a later log may not decide, else None.
        report: what was read, for the report of `prepare`.
        warnings: properties of the log that mislead models.
        item_rows: the item table, matched to the item codes; None without one.
    """

    table: ClickTable
    items: IdEncoder
    users: IdEncoder | None
    columns: dict[str, IdEncoder]
    n_train: int | None
    time_pattern: str | None
    report: dict[str, Any]
    warnings: list[str]
    item_rows: MatchedItems | None = None

    @property
    def n_users(self) -> int:
        """Number of known users."""
        return 0 if self.users is None else len(self.users)

    @property
    def memory_table(self) -> SessionTable:
        """The sessions of a log that this process has read."""
        assert isinstance(self.table, SessionTable)
        return self.table


def read_sessions(
    sources: list[Any],
    test: list[Any] | None,
    options: PrepareOptions,
    progress: Progress,
    read_tables: ReadParts | None = None,
) -> SessionLog:
    """Read all sources and group the clicks into sessions, without filters.

    Args:
        sources: sources of the log, or of its training part.
        test: sources of the test part of a pre-split log.
        options: the options of `prepare`.
        progress: progress callback.
        read_tables: see `read_log`.

    Raises:
        SourceError: the log cannot be read with these options.
        EmptyLogError: the log has no click.
        ConfigError: options contradict each other.
    """
    if options.read.format == "srgnn":
        if any(is_frame(source) for source in sources) or test is not None:
            raise ConfigError("format srgnn: pass the folder of the pickles, without --test")
        if options.read.keep_columns:
            raise ConfigError("format srgnn has no column to keep; omit --keep-column")
        progress("read", 0, None)
        given, items, n_given, warnings = read_srgnn(sources)
        read = {"rows": len(given.items), "columns": {}, "times": NO_TIMES}
        warnings += repeat_warnings(given, n_given)
        return SessionLog(given, items, None, {}, n_given, None, read, warnings)
    parts = [sources] if test is None else [sources, test]
    raw = read_log(parts, options.read, options.sessions, progress, read_tables)
    progress("sessions", 0, None)
    grouping = _grouping(raw, options.sessions)
    tables = [part.sessions(grouping) for part in raw.parts]
    table = tables[0] if test is None else tables[0].append(tables[1])
    n_first = None if test is None else len(tables[0])
    report = _read_report(raw, table)
    warnings = log_warnings(raw, table) + repeat_warnings(table, n_first)
    return SessionLog(
        table, raw.items, raw.users, raw.kept, n_first, raw.time_pattern, report, warnings
    )


def _grouping(raw: RawLog, sessions: SessionOptions) -> Grouping:
    """How groups become sessions; users are cut at gaps, sessions only on request."""
    gap_seconds = sessions.gap_seconds
    if raw.by_user:
        gap_seconds = gap_seconds or _DEFAULT_GAP_SECONDS
    gap_ms = None if gap_seconds is None else round(gap_seconds * 1000)
    return Grouping(gap_ms, raw.by_user, raw.users is not None, raw.has_times)


def _read_report(raw: RawLog, table: ClickTable) -> dict[str, Any]:
    report = {
        "rows": raw.counts.rows,
        "blank_rows": raw.counts.blank,
        "continuation_lines": raw.counts.continuation,
        "other_event_rows": raw.counts.other_events,
        "bad_rows": raw.bad_rows.count,
        "bad_row_examples": raw.bad_rows.examples,
        "columns": raw.columns,
        "times": raw.times,
    }
    starts, ends = table.starts(), table.ends()
    if starts is not None and ends is not None:
        report["first_time"] = iso(int(starts.min()))
        report["last_time"] = iso(int(ends.max()))
    return report
