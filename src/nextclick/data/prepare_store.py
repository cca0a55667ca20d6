"""From the files of a log to a store: read, cut into sessions, filter, split, write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.sessions import MS_PER_DAY
from nextclick.core.storage import atomic_folder
from nextclick.core.types import silent
from nextclick.data.filters import FilterStep, TableCounts, apply_filters, count
from nextclick.data.options import PrepareOptions, SplitOptions
from nextclick.data.protocols import PROTOCOLS
from nextclick.data.quality_warnings import split_warnings, warnings_of
from nextclick.data.readers.formats import is_frame
from nextclick.data.readers.presplit import given_split, join_parts, read_srgnn
from nextclick.data.readers.raw_log import RawLog, read_log
from nextclick.data.sessionize import SessionTable, cut_by_inactivity, gather_sessions
from nextclick.data.split import PRE_SPLIT, Split, iso, split_by_time
from nextclick.data.store import Store
from nextclick.data.store_writer import TimeBlocks, write_store
from nextclick.errors import ConfigError, EmptyLogError

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int64Array, Progress
    from nextclick.data.encode import IdEncoder


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` made.

    Attributes:
        stores: the store, or one for each sliding window.
        report: what was read, what each step left, what was dropped and why, and warnings.
    """

    stores: tuple[Store, ...]
    report: dict[str, Any]

    @property
    def store(self) -> Store:
        """The store; the last one of sliding windows."""
        return self.stores[-1]


@dataclass(slots=True)
class SessionLog:
    """A log in memory, between reading and writing.

    Attributes:
        table: its sessions.
        items: encoder of the item codes.
        users: encoder of the user codes, None without users.
        n_train: sessions of the training part of a log that is split already, else None.
        read: what was read, for the report.
        warnings: what in it would mislead a model.
    """

    table: SessionTable
    items: IdEncoder
    users: IdEncoder | None
    n_train: int | None
    read: dict[str, Any]
    warnings: list[str]

    @property
    def n_users(self) -> int:
        """How many users are named."""
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
    """Make a store out of a click log.

    Args:
        sources: a path, folder, glob, Polars or pandas frame, or a list of these.
        output: the folder to write; it is there in the end whole, or not at all.
        test: the same for the test part, if the log is split already.
        options: everything else; the defaults suit a log with common column names.
        overwrite: replace `output`.
        progress: told how far it has come.

    Returns:
        The open store and the report.

    Raises:
        SourceError: the log cannot be read as asked.
        EmptyLogError: nothing is left, with the counts at each step.
        ConfigError: options that contradict each other.
        OutputError: the place cannot be written.
    """
    started = time.perf_counter()
    target = Path(output)
    asked = _consistent((options or PrepareOptions()).checked(), test)
    # the folder is claimed first: a place that cannot be written is found out at once
    with atomic_folder(target, overwrite=overwrite) as scratch:
        log = read_sessions(
            listed(sources), None if test is None else listed(test), asked, progress
        )
        steps = [FilterStep("read", count(log.table, len(log.items), log.n_users))]
        per_part = _count_given_parts(log)
        progress("filter", 0, None)
        steps += _filter(log, asked)
        ends, alive = session_ends(log.table)
        _refuse_nothing_left(steps, alive)
        blocks = _blocks(log.table, asked)
        splits = _splits(log, asked, ends, alive, blocks)
        report: dict[str, Any] = {
            **log.read,
            "steps": [{"name": s.name, **asdict(s.left)} for s in steps],
            **per_part,
            "warnings": [*log.warnings, *split_warnings(splits, ends)],
            "published": PROTOCOLS[asked.protocol].published if asked.protocol else {},
        }
        names: list[Path] = []
        for split in splits:
            progress("write", len(names), None)
            unseen = asked.split.unseen or ("full" if asked.split.recent > 1 else "drop")
            store = write_store(
                scratch / split.name if split.name else scratch,
                log.table,
                split,
                items=log.items,
                users=log.users,
                blocks=blocks,
                options=asked,
                unseen=unseen,
                about={"report": report},
            )
            names.append(store.path.relative_to(scratch))
    report = report | {"seconds": time.perf_counter() - started}
    return Prepared(tuple(Store.open(target / name) for name in names), report)


def listed(sources: Any) -> list[Any]:
    """One source or several, as a list."""
    single = isinstance(sources, str | Path) or not isinstance(sources, Sequence)
    found = [sources] if single else list(sources)
    if not found:
        raise ConfigError("sources: expected at least one file, folder, glob or frame, got none")
    return found


def _consistent(options: PrepareOptions, test: Any) -> PrepareOptions:
    """Fill in what depends on whether the log is split already."""
    given = test is not None or options.read.format == "srgnn"
    if not given:
        if options.split.kind == PRE_SPLIT:
            raise ConfigError(
                "split pre-split: name the test part with --test, or choose --format srgnn"
            )
        support = options.filters.min_item_support
        filters = replace(options.filters, min_item_support=5 if support is None else support)
        return replace(options, filters=filters)
    if options.split.kind not in (PRE_SPLIT, SplitOptions().kind):
        raise ConfigError(
            f"split {options.split.kind}: the log is split already, so it cannot be split again"
        )
    support = options.filters.min_item_support
    return replace(
        options,
        filters=replace(options.filters, min_item_support=1 if support is None else support),
        split=replace(options.split, kind=PRE_SPLIT, unseen=options.split.unseen or "keep"),
    )


def read_sessions(
    sources: list[Any], test: list[Any] | None, options: PrepareOptions, progress: Progress
) -> SessionLog:
    """Read all sources and cut them into sessions; nothing is dropped yet.

    Raises:
        SourceError: the log cannot be read as asked.
        EmptyLogError: there is no click.
        ConfigError: options that contradict each other.
    """
    if options.read.format == "srgnn":
        if any(is_frame(source) for source in sources) or test is not None:
            raise ConfigError("format srgnn: give the folder of the pickles, without --test")
        progress("read", 0, None)
        table, items, n_train = read_srgnn(sources)
        read = {"rows": len(table.items), "columns": {}, "times": "none: the log has only an order"}
        return SessionLog(table, items, None, n_train, read, [])
    raw = read_log(
        [sources] if test is None else [sources, test], options.read, options.sessions, progress
    )
    progress("sessions", 0, None)
    gap_ms = round(options.sessions.gap_seconds * 1000)
    tables = [_sessions(part, raw, gap_ms) for part in raw.parts]
    table = tables[0] if test is None else join_parts(tables[0], tables[1])
    given = None if test is None else len(tables[0])
    return SessionLog(
        table, raw.items, raw.users, given, _about(raw, table), warnings_of(raw, table)
    )


def _sessions(part: Any, raw: RawLog, gap_ms: int) -> SessionTable:
    table = gather_sessions(part)
    if raw.by_user:
        return cut_by_inactivity(table, gap_ms)
    return table if raw.users is not None else replace(table, users=None)


def _about(raw: RawLog, table: SessionTable) -> dict[str, Any]:
    assert table.times is not None
    return {
        "rows": raw.counts.rows,
        "blank_rows": raw.counts.blank,
        "other_event_rows": raw.counts.other_events,
        "bad_rows": raw.bad.count,
        "bad_row_examples": raw.bad.examples,
        "columns": raw.columns,
        "times": raw.times,
        "first_time": iso(int(table.times.min())),
        "last_time": iso(int(table.times.max())),
    }


def _filter(log: SessionLog, options: PrepareOptions) -> list[FilterStep]:
    support = options.filters.min_item_support
    assert support is not None
    return apply_filters(log.table, options.filters, support, len(log.items), log.n_users)


def session_ends(table: SessionTable) -> tuple[Int64Array | None, BoolArray]:
    """When each session ended, and whether a click of it is left."""
    lengths = np.diff(table.offsets)
    filled = np.flatnonzero(lengths)
    alive = np.zeros(len(lengths), dtype=np.bool_)
    if len(filled):
        alive[filled] = np.logical_or.reduceat(table.keep, table.offsets[filled])
    if table.times is None:
        return None, alive
    ends = np.full(len(lengths), np.iinfo(np.int64).min)
    ends[filled] = table.times[table.offsets[filled + 1] - 1]
    return ends, alive


def _splits(
    log: SessionLog,
    options: PrepareOptions,
    ends: Int64Array | None,
    alive: BoolArray,
    blocks: TimeBlocks | None,
) -> list[Split]:
    if log.n_train is not None:
        return [given_split(log.n_train, ends, alive)]
    assert ends is not None
    assert blocks is not None
    return list(split_by_time(ends, alive, options.split, blocks.length_ms, blocks.origin_ms))


def _blocks(table: SessionTable, options: PrepareOptions) -> TimeBlocks | None:
    """TimeBlocks begin at midnight (UTC) of the log's first day."""
    if table.times is None:
        return None
    origin = int(table.times.min()) // MS_PER_DAY * MS_PER_DAY
    return TimeBlocks(origin, round(options.sessions.block_days * MS_PER_DAY))


def _count_given_parts(log: SessionLog) -> dict[str, Any]:
    """For a log that is split already, what each part had before the filters."""
    if log.n_train is None:
        return {}
    edge = int(log.table.offsets[log.n_train])
    n_items, n_users = len(log.items), log.n_users
    found = {}
    for name, keep in (
        ("train", np.arange(len(log.table.items)) < edge),
        ("test", np.arange(len(log.table.items)) >= edge),
    ):
        found[name] = asdict(count(replace(log.table, keep=keep), n_items, n_users))
    return {"read_parts": found}


def _refuse_nothing_left(steps: list[FilterStep], alive: BoolArray) -> None:
    if alive.any():
        return
    trail = "; ".join(f"{s.name}: {_in_words(s.left)}" for s in steps)
    raise EmptyLogError(
        f"no session is left after the filters ({trail}); lower --min-item-support, "
        "--min-session-length or --min-user-sessions"
    )


def _in_words(counts: TableCounts) -> str:
    return f"{counts.events:,} events, {counts.sessions:,} sessions, {counts.items:,} items"
