"""Prepares a store from a click log: reads, groups into sessions, filters, splits and writes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.manifests import write_manifest
from nextclick.core.sessions import MS_PER_DAY
from nextclick.core.storage import atomic_folder
from nextclick.core.types import silent
from nextclick.data.filters import FilterStep, TableCounts, apply_filters, count_table
from nextclick.data.options import PrepareOptions, SplitOptions
from nextclick.data.protocols import PROTOCOLS
from nextclick.data.quality_warnings import log_warnings, split_warnings
from nextclick.data.readers.frames import is_frame
from nextclick.data.readers.kept_columns import with_session_values
from nextclick.data.readers.presplit import join_parts, presplit_parts, read_srgnn
from nextclick.data.readers.raw_log import RawLog, RawPart, read_log
from nextclick.data.sessionize import SessionTable, cut_by_inactivity, gather_sessions
from nextclick.data.split import PRE_SPLIT, Split, iso, split_by_time
from nextclick.data.store import KIND, WINDOWS_KIND, Store
from nextclick.data.store_writer import TimeBlocks, write_store
from nextclick.errors import ConfigError, EmptyLogError

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int64Array, Progress
    from nextclick.data.encode import IdEncoder


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
        report: what was read, for the report of `prepare`.
        warnings: properties of the log that mislead models.
    """

    table: SessionTable
    items: IdEncoder
    users: IdEncoder | None
    columns: dict[str, IdEncoder]
    n_train: int | None
    report: dict[str, Any]
    warnings: list[str]

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
) -> Prepared:
    """Prepare a store from a click log.

    Args:
        sources: a path, folder, glob, Polars or pandas frame, or a list of these.
        output: the folder to write. It is written completely or not at all.
        test: sources of the test part of a pre-split log.
        options: all other options; the defaults suit a log with common column names.
        overwrite: replace `output`.
        progress: progress callback.

    Returns:
        The open store and the report.

    Raises:
        SourceError: the log cannot be read with these options.
        EmptyLogError: no session is left; the message has the counts after each step.
        ConfigError: options are invalid or contradict each other.
        OutputError: the output folder cannot be written.
    """
    start = time.perf_counter()
    target = Path(output)
    options = _resolve_defaults((options or PrepareOptions()).checked(), test)
    # the output folder is created before reading, so that an unwritable path fails at once
    with atomic_folder(target, overwrite=overwrite, replaces=(KIND, WINDOWS_KIND)) as scratch:
        log = read_sessions(
            as_list(sources), None if test is None else as_list(test), options, progress
        )
        names, report = _filter_and_write(log, options, scratch, progress)
    report["seconds"] = time.perf_counter() - start
    return Prepared(tuple(Store.open(target / name) for name in names), report)


def _filter_and_write(
    log: SessionLog, options: PrepareOptions, folder: Path, progress: Progress
) -> tuple[list[str], dict[str, Any]]:
    """Filter and split a log and write a store for each split.

    Returns:
        The names of the stores in `folder`, and the report.
    """
    steps = [FilterStep("read", count_table(log.table, len(log.items), log.n_users))]
    part_counts = _count_presplit_parts(log)
    progress("filter", 0, None)
    steps += _filter(log, options)
    ends, alive = session_ends(log.table)
    _check_not_empty(steps, alive)
    blocks = _time_blocks(log.table, options)
    splits = _splits(log, options, ends, alive, blocks)
    report: dict[str, Any] = {
        **log.report,
        "steps": [{"name": step.name, **asdict(step.counts)} for step in steps],
        **part_counts,
        "warnings": [*log.warnings, *split_warnings(splits, ends)],
        "published": PROTOCOLS[options.protocol].published if options.protocol else {},
    }
    for number, split in enumerate(splits):
        progress("write", number, None)
        write_store(
            folder / split.name,
            log.table,
            split,
            items=log.items,
            users=log.users,
            columns=log.columns,
            blocks=blocks,
            options=options,
            report=report,
        )
    names = [split.name for split in splits]
    if names != [""]:
        write_manifest(folder, {"kind": WINDOWS_KIND, "windows": names})
    return names, dict(report)


def as_list(sources: Any) -> list[Any]:
    """Return a single source or several sources as a list."""
    is_single = isinstance(sources, str | Path) or not isinstance(sources, Sequence)
    listed = [sources] if is_single else list(sources)
    if not listed:
        raise ConfigError("sources: expected at least one file, folder, glob or frame, got none")
    return listed


def _resolve_defaults(options: PrepareOptions, test: Any) -> PrepareOptions:
    """Return the options with the defaults that depend on whether the log is pre-split."""
    filters, split = options.filters, options.split
    is_presplit = test is not None or options.read.format == "srgnn"
    if not is_presplit and split.kind == PRE_SPLIT:
        raise ConfigError(
            "split pre-split: name the test part with --test, or choose --format srgnn"
        )
    if is_presplit and split.kind not in (PRE_SPLIT, SplitOptions().kind):
        raise ConfigError(
            f"split {split.kind}: the log is pre-split and cannot be split again; omit --split"
        )
    if filters.min_item_support is None:
        filters = replace(filters, min_item_support=1 if is_presplit else 5)
    if is_presplit:
        split = replace(split, kind=PRE_SPLIT, unseen=split.unseen or "keep")
    return replace(options, filters=filters, split=split)


def read_sessions(
    sources: list[Any], test: list[Any] | None, options: PrepareOptions, progress: Progress
) -> SessionLog:
    """Read all sources and group the clicks into sessions, without filters.

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
        table, items, n_train_sessions = read_srgnn(sources)
        read = {"rows": len(table.items), "columns": {}, "times": "none: the log has only an order"}
        return SessionLog(table, items, None, {}, n_train_sessions, read, [])
    parts = [sources] if test is None else [sources, test]
    raw = read_log(parts, options.read, options.sessions, progress)
    progress("sessions", 0, None)
    gap_ms = round(options.sessions.gap_seconds * 1000)
    tables = [_group_part(part, raw, gap_ms) for part in raw.parts]
    table = tables[0] if test is None else join_parts(tables[0], tables[1])
    n_train = None if test is None else len(tables[0])
    report, warnings = _read_report(raw, table), log_warnings(raw, table)
    return SessionLog(table, raw.items, raw.users, raw.kept, n_train, report, warnings)


def _group_part(part: RawPart, raw: RawLog, gap_ms: int) -> SessionTable:
    table = gather_sessions(part)
    if raw.by_user:
        return with_session_values(cut_by_inactivity(table, gap_ms))
    table = with_session_values(table)
    return table if raw.users is not None else replace(table, users=None)


def _read_report(raw: RawLog, table: SessionTable) -> dict[str, Any]:
    assert table.times is not None
    return {
        "rows": raw.counts.rows,
        "blank_rows": raw.counts.blank,
        "other_event_rows": raw.counts.other_events,
        "bad_rows": raw.bad_rows.count,
        "bad_row_examples": raw.bad_rows.examples,
        "columns": raw.columns,
        "times": raw.times,
        "first_time": iso(int(table.times.min())),
        "last_time": iso(int(table.times.max())),
    }


def _filter(log: SessionLog, options: PrepareOptions) -> list[FilterStep]:
    min_support = options.filters.min_item_support
    assert min_support is not None
    return apply_filters(log.table, options.filters, min_support, len(log.items), log.n_users)


def session_ends(table: SessionTable) -> tuple[Int64Array | None, BoolArray]:
    """Return (S,) the time of the last click of each session, and (S,) whether a click remains.

    The times are None if the log has no times.
    """
    lengths = np.diff(table.offsets)
    non_empty = np.flatnonzero(lengths)
    alive = np.zeros(len(lengths), dtype=np.bool_)
    if len(non_empty):
        alive[non_empty] = np.logical_or.reduceat(table.keep, table.offsets[non_empty])
    if table.times is None:
        return None, alive
    ends = np.full(len(lengths), np.iinfo(np.int64).min)
    ends[non_empty] = table.times[table.offsets[non_empty + 1] - 1]
    return ends, alive


def _splits(
    log: SessionLog,
    options: PrepareOptions,
    ends: Int64Array | None,
    alive: BoolArray,
    blocks: TimeBlocks | None,
) -> list[Split]:
    if log.n_train is not None:
        return [presplit_parts(log.n_train, ends, alive)]
    assert ends is not None
    assert blocks is not None
    return list(split_by_time(ends, alive, options.split, blocks.length_ms, blocks.origin_ms))


def _time_blocks(table: SessionTable, options: PrepareOptions) -> TimeBlocks | None:
    """Return the blocks from midnight (UTC) of the first day of the log, None without times."""
    if table.times is None:
        return None
    origin = int(table.times.min()) // MS_PER_DAY * MS_PER_DAY
    return TimeBlocks(origin, round(options.sessions.block_days * MS_PER_DAY))


def _count_presplit_parts(log: SessionLog) -> dict[str, Any]:
    """Return the counts of both parts of a pre-split log, else nothing."""
    if log.n_train is None:
        return {}
    is_train = np.arange(len(log.table.items)) < int(log.table.offsets[log.n_train])
    counts = {
        name: asdict(count_table(replace(log.table, keep=keep), len(log.items), log.n_users))
        for name, keep in (("train", is_train), ("test", ~is_train))
    }
    return {"read_parts": counts}


def _check_not_empty(steps: list[FilterStep], alive: BoolArray) -> None:
    if alive.any():
        return
    counts = "; ".join(f"{step.name}: {_format_counts(step.counts)}" for step in steps)
    raise EmptyLogError(
        f"no session is left after the filters ({counts}); lower --min-item-support, "
        "--min-session-length or --min-user-sessions"
    )


def _format_counts(counts: TableCounts) -> str:
    return f"{counts.events:,} events, {counts.sessions:,} sessions, {counts.items:,} items"
