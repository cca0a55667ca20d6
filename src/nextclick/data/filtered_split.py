"""Splits a log and filters the sessions, so that no test click decides what is trained on.

With `filter_on` "train", the order is: filters of single sessions, split, filters by the
counts of items and users among the training sessions. With "all", all filters run before the split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.time_blocks import TimeBlocks
from nextclick.data.click_counts import ClickCounts
from nextclick.data.filters import (
    FilterStep,
    apply_filters,
    filter_by_counts,
    filter_sessions,
)
from nextclick.data.part_selection import mask_of
from nextclick.data.readers.presplit import presplit_parts
from nextclick.data.split import AUTO, Split, split_by_time
from nextclick.errors import ConfigError, EmptyLogError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextclick.core.types import BoolArray, Int64Array
    from nextclick.data.click_counts import TableCounts
    from nextclick.data.click_table import ClickTable
    from nextclick.data.options import PrepareOptions, SessionOptions
    from nextclick.data.session_log import SessionLog


@dataclass(frozen=True, slots=True)
class FilteredSplit:
    """A split and the clicks that the filters keep.

    Attributes:
        table: the sessions, without the clicks that the filters drop.
        split: the sessions with a remaining click.
        steps: the filters of the training sessions, with the counts after each.
        blocks: blocks of time, None without times.
    """

    table: ClickTable
    split: Split
    steps: list[FilterStep]
    blocks: TimeBlocks | None


def filter_before_split(log: SessionLog, options: PrepareOptions) -> list[FilterStep]:
    """Apply the filters that run before the split, and return them with the counts after each.

    Raises:
        EmptyLogError: no session is left.
    """
    clicks, filters = ClickCounts(log.table, len(log.items)), options.filters
    read = FilterStep("read", clicks.counts(log.n_users))
    if filters.filter_on == "all":
        steps = apply_filters(clicks, filters, _min_support(options), log.n_users)
    else:
        steps = filter_sessions(clicks, filters, log.n_users)
    steps = [read, *steps]
    _check_not_empty(steps, clicks)
    return steps


def filtered_splits(
    log: SessionLog, options: PrepareOptions, now_ms: int
) -> Iterator[FilteredSplit]:
    """Split a log after `filter_before_split`, and filter the training sessions of each split.

    Raises:
        ConfigError: the boundary is not a time.
        EmptyLogError: a part is empty.
    """
    for split in _splits(log, options, now_ms):
        blocks = _time_blocks(log.table, split, options.sessions)
        if options.filters.filter_on == "all":
            yield FilteredSplit(log.table, split, [], blocks)
        else:
            yield _filter_training(log, split, options, blocks)


def _filter_training(
    log: SessionLog, split: Split, options: PrepareOptions, blocks: TimeBlocks | None
) -> FilteredSplit:
    """Drop rare items and users of the training sessions; the other sessions stay as they are."""
    table = log.table.copy()
    clicks = ClickCounts(table, len(log.items), mask_of(split.train, len(table)))
    before = FilterStep("all sessions", clicks.counts(log.n_users))
    filters = filter_by_counts(clicks, options.filters, _min_support(options), log.n_users)
    part = f"training of {split.name}" if split.name else "training"
    steps = [replace(step, name=f"{part}: {step.name}") for step in (before, *filters)]
    _check_not_empty(steps, clicks)
    remaining = clicks.lengths[split.train] > 0
    return FilteredSplit(table, replace(split, train=split.train[remaining]), steps, blocks)


def _splits(log: SessionLog, options: PrepareOptions, now_ms: int) -> Iterator[Split]:
    starts, ends = log.table.starts(), log.table.ends()
    alive = log.table.remaining_lengths() > 0
    if log.n_train is not None:
        yield presplit_parts(log.n_train, ends, alive)
        return
    if ends is None or starts is None:
        yield from _splits_by_order(log, options, alive)
        return
    blocks = _blocks_from(int(starts.min()), options.sessions)

    def count_prefixes(train: Int64Array, test: Int64Array) -> int:
        return _count_prefixes(log, options, train, test)

    yield from split_by_time(ends, alive, options.split, blocks, now_ms, count_prefixes)


def _splits_by_order(log: SessionLog, options: PrepareOptions, alive: BoolArray) -> Iterator[Split]:
    """Split the sessions of a log without times, in the order of their first clicks."""
    if options.split.kind not in (AUTO, "fraction"):
        raise ConfigError(
            f"split {options.split.kind}: the log has no times, so the test part is the last share "
            "of the sessions in the order of the log; use --split fraction"
        )

    def count_prefixes(train: Int64Array, test: Int64Array) -> int:
        return _count_prefixes(log, options, train, test)

    by_fraction = replace(options.split, kind="fraction")
    order = np.arange(len(log.table))
    for split in split_by_time(
        order, alive, by_fraction, TimeBlocks(0, 1), len(order), count_prefixes
    ):
        yield replace(split, boundary_ms=None)


def _count_prefixes(
    log: SessionLog, options: PrepareOptions, train: Int64Array, test: Int64Array
) -> int:
    """Count the prefixes of test sessions, without items that training lacks if these are dropped.

    The filters of training are not repeated, so the store may have fewer prefixes.
    """
    table = log.table
    if options.split.unseen != "miss":
        support = table.item_counts(len(log.items), mask_of(train, len(table)))
        table = table.copy()
        table.drop_items(support < _min_support(options))
    lengths = table.remaining_lengths()[test]
    return int(np.maximum(lengths - 1, 0).sum())


def _time_blocks(table: ClickTable, split: Split, options: SessionOptions) -> TimeBlocks | None:
    """Return the blocks from the beginning of the first day of training, None without times."""
    starts = table.starts()
    if starts is None:
        return None
    first = int(starts[split.train].min()) if len(split.train) else 0
    return _blocks_from(first, options)


def _blocks_from(first_ms: int, options: SessionOptions) -> TimeBlocks:
    return TimeBlocks.from_first(
        first_ms, options.block_days, timezone=options.block_timezone, hour=options.block_hour
    )


def _min_support(options: PrepareOptions) -> int:
    support = options.filters.min_item_support
    assert support is not None
    return support


def _check_not_empty(steps: Sequence[FilterStep], clicks: ClickCounts) -> None:
    if clicks.n_clicks:
        return
    counts = "; ".join(f"{step.name}: {_format_counts(step.counts)}" for step in steps)
    raise EmptyLogError(
        f"no session is left after the filters ({counts}); lower --min-item-support, "
        "--min-session-length or --min-user-sessions"
    )


def _format_counts(counts: TableCounts) -> str:
    return f"{counts.events:,} events, {counts.sessions:,} sessions, {counts.items:,} items"
