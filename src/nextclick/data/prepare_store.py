"""Prepares a store from a click log: reads, groups into sessions, filters, splits and writes."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.manifests import write_manifest
from nextclick.core.remote_upload import OutputFolder, open_output
from nextclick.core.types import silent
from nextclick.data.click_counts import ClickCounts
from nextclick.data.engines import LOCAL, check_engine, reader_of
from nextclick.data.filtered_split import FilteredSplit, filter_before_split, filtered_splits
from nextclick.data.item_file import read_item_rows
from nextclick.data.matched_items import check_item_options, match_items
from nextclick.data.options import PrepareOptions
from nextclick.data.part_selection import select_parts
from nextclick.data.predicted_share import count_predicted
from nextclick.data.protocols import PROTOCOLS
from nextclick.data.quality_warnings import late_warnings, split_warnings
from nextclick.data.readers.frames import as_sources
from nextclick.data.remote_store import STORE
from nextclick.data.session_log import SessionLog, read_sessions
from nextclick.data.split import AUTO, PRE_SPLIT
from nextclick.data.store import Store
from nextclick.data.store_manifest import WINDOWS_KIND
from nextclick.data.store_writer import write_store
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.types import Progress
    from nextclick.data.filters import FilterStep


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
        output: the folder to write, or an address, such as `s3://bucket/store` or
            `hdfs://host/store`. It is written completely or not at all.
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
    by_workers = options.store.shard_clicks is not None
    # the output folder is created before reading, so that an unwritable path fails at once
    with (
        # its Java machine reads and writes addresses of Hadoop
        reader_of(engine, master, by_workers=by_workers) as read_tables,
        open_output(
            STORE, output, overwrite=overwrite, replaces=(WINDOWS_KIND,), progress=progress
        ) as target,
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
        manifests, report = _filter_and_write(log, options, target, progress)
        is_complete = target.is_complete()
    report["seconds"] = time.perf_counter() - start
    paths = {f"{output}/{name}" if name else output: m for name, m in manifests.items()}
    if is_complete:
        return Prepared(tuple(Store.open(path) for path in paths), report)
    stores = (Store(None, manifest, address=str(path)) for path, manifest in paths.items())
    return Prepared(tuple(stores), report)


def _filter_and_write(
    log: SessionLog, options: PrepareOptions, output: OutputFolder, progress: Progress
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Filter and split a log and write a store for each split.

    Returns:
        The names of the stores in the output to their manifests, and the report.
    """
    part_counts = _count_presplit_parts(log)
    progress("filter", 0, None)
    steps = _as_json(filter_before_split(log, options))
    now_ms = round(time.time() * 1000)
    report: dict[str, Any] = {
        **log.report,
        "steps": steps,
        **part_counts,
        "warnings": [*log.warnings, *late_warnings(log.table.ends(), now_ms)],
        "published": PROTOCOLS[options.protocol].published if options.protocol else {},
    }
    if log.item_rows is not None:
        report["item_table"] = log.item_rows.report()
    manifests: dict[str, dict[str, Any]] = {}
    added = report
    for number, part in enumerate(filtered_splits(log, options, now_ms)):
        progress("write", number, None)
        name = part.split.name
        manifest, of_split = _write_split(log, part, options, output.child(name), report)
        added = _extended(added, *of_split)
        manifests[name] = manifest
    if list(manifests) != [""]:
        write_manifest(output.path, {"kind": WINDOWS_KIND, "windows": list(manifests)})
    return manifests, added


def _write_split(
    log: SessionLog,
    part: FilteredSplit,
    options: PrepareOptions,
    output: OutputFolder,
    report: dict[str, Any],
) -> tuple[dict[str, Any], tuple[list[dict[str, Any]], list[str]]]:
    """Write the store of a split; return its manifest, the steps of its filters, its warnings."""
    listed = None if log.item_rows is None else log.item_rows.listed(len(log.items))
    selection = select_parts(part.table, part.split, options, len(log.items), listed)
    predicted = count_predicted(part.table, log.n_train, part.split, selection)
    warnings = split_warnings(part.split, part.table.ends(), predicted.targets)
    steps = _as_json(part.steps)
    manifest = write_store(
        output,
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
    return manifest, (steps, warnings)


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


def _count_presplit_parts(log: SessionLog) -> dict[str, Any]:
    """Return the counts of both parts of a pre-split log, else nothing."""
    if log.n_train is None:
        return {}
    is_train = np.arange(len(log.table)) < log.n_train
    counts = {
        name: asdict(ClickCounts(log.table, len(log.items), sessions).counts(log.n_users))
        for name, sessions in (("train", is_train), ("test", ~is_train))
    }
    return {"read_parts": counts}
