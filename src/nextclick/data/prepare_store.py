"""Prepares a store from a click log: reads, groups into sessions, filters, splits and writes."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.manifests import write_manifest
from nextclick.core.remote_upload import output_folder
from nextclick.core.types import silent
from nextclick.data.click_counts import ClickCounts
from nextclick.data.engines import LOCAL, check_engine, reader_of
from nextclick.data.filtered_split import FilteredSplit, filter_before_split, filtered_splits
from nextclick.data.item_file import read_item_rows
from nextclick.data.matched_items import check_item_options, match_items
from nextclick.data.options import DEFAULT_GAP_SECONDS, PrepareOptions
from nextclick.data.part_selection import select_parts
from nextclick.data.predicted_share import count_predicted
from nextclick.data.protocols import PROTOCOLS
from nextclick.data.quality_warnings import late_warnings, log_warnings, split_warnings
from nextclick.data.readers.frames import as_sources, is_frame
from nextclick.data.readers.kept_columns import with_session_values
from nextclick.data.readers.presplit import join_parts, read_srgnn
from nextclick.data.readers.raw_log import NO_TIMES, RawLog, read_log
from nextclick.data.remote_store import STORE
from nextclick.data.repeated_sessions import repeat_warnings
from nextclick.data.sessionize import SessionTable, cut_by_inactivity, session_ends
from nextclick.data.split import AUTO, PRE_SPLIT, iso
from nextclick.data.store import Store
from nextclick.data.store_manifest import WINDOWS_KIND
from nextclick.data.store_writer import write_store
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.types import Progress
    from nextclick.data.encode import IdEncoder
    from nextclick.data.filters import FilterStep
    from nextclick.data.matched_items import MatchedItems
    from nextclick.data.readers.log_parts import LogPart
    from nextclick.data.readers.raw_log import ReadParts


@dataclass(frozen=True, slots=True)
class Prepared:
    """Result of `prepare`.

    Attributes:
        stores: the store, or one store for each sliding window.
        report: what was read, the counts after each step, dropped rows, and warnings.
    """

    stores: tuple[Store, ...]
    report: dict[str, Any]

    @property
    def store(self) -> Store:
        """The store; the last one of sliding windows."""
        return self.stores[-1]


@dataclass(slots=True)
class SessionLog:
    """A log in memory, grouped into sessions and not yet filtered.

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

    table: SessionTable
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


def prepare(
    sources: Any,
    output: str | Path,
    *,
    test: Any = None,
    options: PrepareOptions | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    engine: str = LOCAL,
    master: str | None = None,
) -> Prepared:
    """Prepare a store from a click log.

    Args:
        sources: a path, folder, glob, address or table in memory, or a list of these.
        output: the folder to write, or an address in object storage, such as
            `s3://bucket/store`. It is written completely or not at all.
        test: sources of the test part of a pre-split log.
        options: all other options; the defaults suit a log with common column names.
        overwrite: replace `output`.
        progress: progress callback.
        engine: `local` reads and sorts the log in this process, `spark` with Apache Spark. The
            store is the same.
        master: address of the Spark cluster, such as `local[4]` or `spark://host:7077`; None is
            that of the active session, or of the configuration of Spark.

    Returns:
        The open store and the report.

    Raises:
        SourceError: the log cannot be read with these options.
        EmptyLogError: no session is left; the message has the counts after each step.
        ConfigError: options are invalid or contradict each other.
        OutputError: the output cannot be written.
    """
    start = time.perf_counter()
    options = _resolve_defaults((options or PrepareOptions()).checked(), test)
    parts = as_sources(sources), None if test is None else as_sources(test)
    check_engine(engine, master, [*parts[0], *(parts[1] or ())], options.read.format)
    # the output folder is created before reading, so that an unwritable path fails at once
    with (
        output_folder(
            STORE, output, overwrite=overwrite, replaces=(WINDOWS_KIND,), progress=progress
        ) as scratch,
        reader_of(engine, master) as read_tables,
    ):
        items = options.item_table
        check_item_options(items)
        rows = None if items.source is None else read_item_rows(items, options.read)
        log = read_sessions(*parts, options, progress, read_tables)
        if rows is not None:
            log.item_rows = match_items(rows, log.items, items)
            log.warnings += log.item_rows.notes
        if log.time_pattern is not None:  # a refresh reads later logs by the same pattern
            options = replace(options, read=replace(options.read, time_format=log.time_pattern))
        names, report = _filter_and_write(log, options, scratch, progress)
    report["seconds"] = time.perf_counter() - start
    paths = [f"{output}/{name}" if name else output for name in names]
    return Prepared(tuple(Store.open(path) for path in paths), report)


def _filter_and_write(
    log: SessionLog, options: PrepareOptions, folder: Path, progress: Progress
) -> tuple[list[str], dict[str, Any]]:
    """Filter and split a log and write a store for each split.

    Returns:
        The names of the stores in `folder`, and the report.
    """
    part_counts = _count_presplit_parts(log)
    progress("filter", 0, None)
    steps = _as_json(filter_before_split(log, options))
    now_ms = round(time.time() * 1000)
    report: dict[str, Any] = {
        **log.report,
        "steps": steps,
        **part_counts,
        "warnings": [*log.warnings, *late_warnings(session_ends(log.table), now_ms)],
        "published": PROTOCOLS[options.protocol].published if options.protocol else {},
    }
    if log.item_rows is not None:
        report["item_table"] = log.item_rows.report()
    names, added = [], report
    for number, part in enumerate(filtered_splits(log, options, now_ms)):
        progress("write", number, None)
        of_split = _write_split(log, part, options, folder / part.split.name, report)
        added = _extended(added, *of_split)
        names.append(part.split.name)
    if names != [""]:
        write_manifest(folder, {"kind": WINDOWS_KIND, "windows": names})
    return names, added


def _write_split(
    log: SessionLog,
    part: FilteredSplit,
    options: PrepareOptions,
    folder: Path,
    report: dict[str, Any],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Write the store of a split; return the steps of its filters and its warnings."""
    listed = None if log.item_rows is None else log.item_rows.listed(len(log.items))
    selection = select_parts(part.table, part.split, options, len(log.items), listed)
    predicted = count_predicted(part.table, log.n_train, part.split, selection)
    warnings = split_warnings(part.split, session_ends(part.table), predicted.targets)
    steps = _as_json(part.steps)
    write_store(
        folder,
        part,
        selection,
        predicted,
        items=log.items,
        users=log.users,
        columns=log.columns,
        item_rows=log.item_rows,
        options=options,
        report=_extended(report, steps, warnings),
    )
    return steps, warnings


def _extended(
    report: dict[str, Any], steps: list[dict[str, Any]], warnings: list[str]
) -> dict[str, Any]:
    return report | {
        "steps": [*report["steps"], *steps],
        "warnings": [*report["warnings"], *warnings],
    }


def _as_json(steps: list[FilterStep]) -> list[dict[str, Any]]:
    return [{"name": step.name, **asdict(step.counts)} for step in steps]


def _resolve_defaults(options: PrepareOptions, test: Any) -> PrepareOptions:
    """Return the options with the defaults that depend on whether the log is pre-split."""
    filters, split = options.filters, options.split.resolved()
    is_presplit = test is not None or options.read.format == "srgnn"
    if not is_presplit and split.kind == PRE_SPLIT:
        raise ConfigError(
            "split pre-split: name the test part with --test, or choose --format srgnn"
        )
    if is_presplit and split.kind not in (PRE_SPLIT, AUTO):
        raise ConfigError(
            f"split {split.kind}: the log is pre-split and cannot be split again; omit --split"
        )
    if filters.min_item_support is None:
        filters = replace(filters, min_item_support=1 if is_presplit else 5)
    if is_presplit:
        split = replace(split, kind=PRE_SPLIT, unseen=split.unseen or "miss")
    return replace(options, filters=filters, split=split)


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
        table, items, n_given, warnings = read_srgnn(sources)
        read = {"rows": len(table.items), "columns": {}, "times": NO_TIMES}
        warnings += repeat_warnings(table, n_given)
        return SessionLog(table, items, None, {}, n_given, None, read, warnings)
    parts = [sources] if test is None else [sources, test]
    raw = read_log(parts, options.read, options.sessions, progress, read_tables)
    progress("sessions", 0, None)
    tables = [_group_part(part, raw, options.sessions.gap_seconds) for part in raw.parts]
    table = tables[0] if test is None else join_parts(tables[0], tables[1])
    if not raw.has_times:
        table = replace(table, times=None)
    n_first = None if test is None else len(tables[0])
    report = _read_report(raw, table)
    warnings = log_warnings(raw, table) + repeat_warnings(table, n_first)
    return SessionLog(
        table, raw.items, raw.users, raw.kept, n_first, raw.time_pattern, report, warnings
    )


def _group_part(part: LogPart, raw: RawLog, gap_seconds: float | None) -> SessionTable:
    """Group the clicks of a part into sessions; users are cut at gaps, sessions only on request."""
    table = part.gather()
    if raw.by_user:
        table = replace(table, users=np.arange(len(table), dtype=np.int32))
        gap_seconds = gap_seconds or DEFAULT_GAP_SECONDS
    elif raw.users is None:
        table = replace(table, users=None)
    if gap_seconds is not None:
        table = cut_by_inactivity(table, round(gap_seconds * 1000))
    return with_session_values(table)


def _read_report(raw: RawLog, table: SessionTable) -> dict[str, Any]:
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
    if table.times is not None:
        report["first_time"] = iso(int(table.times.min()))
        report["last_time"] = iso(int(table.times.max()))
    return report


def _count_presplit_parts(log: SessionLog) -> dict[str, Any]:
    """Return the counts of both parts of a pre-split log, else nothing."""
    if log.n_train is None:
        return {}
    is_train = np.arange(len(log.table.items)) < int(log.table.offsets[log.n_train])
    counts = {
        name: asdict(ClickCounts(replace(log.table, keep=keep), len(log.items)).counts(log.n_users))
        for name, keep in (("train", is_train), ("test", ~is_train))
    }
    return {"read_parts": counts}
