"""Filters that drop rare items and users and short or long sessions, once or until convergence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.compiled_above import compiled_above

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.types import BoolArray, Int32Array, Int64Array
    from nextclick.data.options import FilterOptions
    from nextclick.data.sessionize import SessionTable


@dataclass(frozen=True, slots=True)
class TableCounts:
    """Numbers of clicks, sessions, users and items after a step of the preparation."""

    events: int
    sessions: int
    users: int
    items: int

    def __add__(self, other: TableCounts) -> TableCounts:
        return TableCounts(
            self.events + other.events,
            self.sessions + other.sessions,
            self.users + other.users,
            self.items + other.items,
        )


@dataclass(frozen=True, slots=True)
class FilterStep:
    """A step of the preparation and the counts after it."""

    name: str
    counts: TableCounts


_NO_LIMIT = np.iinfo(np.int64).max
_CHUNK_CLICKS = 4_000_000  # clicks counted at once, because bincount copies its input to int64


def count_table(table: SessionTable, n_items: int, n_users: int) -> TableCounts:
    """Count the remaining clicks, and the sessions, users and items that have one of them."""
    alive = remaining_lengths(table.keep, table.offsets) > 0
    items = int((_support(table.items, table.keep, n_items) > 0).sum())
    users = 0
    if table.users is not None:
        known_users = table.users[alive & (table.users >= 0)]
        users = int((np.bincount(known_users, minlength=n_users) > 0).sum())
    return TableCounts(int(table.keep.sum()), int(alive.sum()), users, items)


def apply_filters(
    table: SessionTable,
    options: FilterOptions,
    min_support: int,
    n_items: int,
    n_users: int,
    *,
    prior: Int64Array | None = None,
) -> list[FilterStep]:
    """Set `table.keep` to False for the clicks that the filters drop.

    One pass follows the papers: short sessions, rare items, short sessions again. With
    `options.iterate`, the filters repeat until no click is dropped; with minimums alone, the result
    is the largest log that satisfies all of them.

    Args:
        table: the sessions; `keep` is changed in place.
        options: the filters.
        min_support: minimum number of clicks of an item.
        n_items: number of item codes.
        n_users: number of user codes.
        prior: (n_items,) clicks that are added to the support of each item, or None.

    Returns:
        The steps with the counts after each.
    """
    prior_support = np.zeros(n_items, dtype=np.int64) if prior is None else prior
    filters = _filters(table, options, min_support, n_users, prior_support)
    steps = []
    for name, apply in filters:
        apply()
        steps.append(FilterStep(name, count_table(table, n_items, n_users)))
    if not options.iterate:
        return steps
    n_rounds, n_before = 1, -1
    n_clicks = int(table.keep.sum())
    while n_clicks != n_before:
        n_before = n_clicks
        for _, apply in filters:
            apply()
        n_clicks = int(table.keep.sum())
        n_rounds += 1
    if n_rounds > 2:
        name = f"filters repeated until nothing changes ({n_rounds} rounds)"
        steps.append(FilterStep(name, count_table(table, n_items, n_users)))
    return steps


def filter_sessions(
    table: SessionTable, options: FilterOptions, n_items: int, n_users: int
) -> list[FilterStep]:
    """Apply the filters that depend on one session only: repeated clicks and lengths."""
    return apply_filters(table, replace(options, min_user_sessions=1), 1, n_items, n_users)


def filter_by_counts(
    table: SessionTable, options: FilterOptions, min_support: int, n_items: int, n_users: int
) -> list[FilterStep]:
    """Apply all filters after `filter_sessions`, whose steps are not counted again."""
    steps = apply_filters(table, options, min_support, n_items, n_users)
    return steps[1 + options.collapse_repeats :]


def _filters(
    table: SessionTable, options: FilterOptions, min_support: int, n_users: int, prior: Int64Array
) -> list[tuple[str, Callable[[], None]]]:
    """Return the name and the function of every enabled filter, in the order of application."""
    min_length = options.min_session_length
    max_length = options.max_session_length or _NO_LIMIT

    def drop_sessions() -> None:
        lengths = remaining_lengths(table.keep, table.offsets)
        dropped = (lengths < min_length) | (lengths > max_length)
        table.keep &= ~np.repeat(dropped, np.diff(table.offsets))

    def drop_items() -> None:
        support = prior + _support(table.items, table.keep, len(prior))
        table.keep &= (support >= min_support)[table.items]

    def drop_users() -> None:
        _drop_rare_users(table, options.min_user_sessions, n_users)

    def collapse_repeats() -> None:
        _collapse_repeats(table.items, table.keep, table.offsets)

    maximum = "" if options.max_session_length is None else f" or more than {max_length}"
    session_filter = f"sessions of fewer than {min_length}{maximum} clicks dropped"
    filters: list[tuple[str, Callable[[], None]]] = []
    if options.collapse_repeats:
        filters.append(("consecutive clicks on one item counted once", collapse_repeats))
    filters.append((session_filter, drop_sessions))
    if min_support > 1:
        filters.append((f"items of fewer than {min_support} clicks dropped", drop_items))
        filters.append((session_filter + " again", drop_sessions))
    if options.min_user_sessions > 1 and table.users is not None:
        name = f"users of fewer than {options.min_user_sessions} sessions dropped"
        filters.append((name, drop_users))
    return filters


def _drop_rare_users(table: SessionTable, min_sessions: int, n_users: int) -> None:
    """Drop the sessions of users with too few sessions, and anonymous sessions."""
    assert table.users is not None
    alive = remaining_lengths(table.keep, table.offsets) > 0
    n_sessions = np.bincount(table.users[alive & (table.users >= 0)], minlength=n_users)
    rare = (table.users < 0) | (n_sessions[table.users] < min_sessions)
    table.keep &= ~np.repeat(rare, np.diff(table.offsets))


@compiled_above(
    30_000_000,
    kernel="nextclick.data.session_length_kernels:count_remaining",
    work=lambda keep, offsets: len(keep) + len(offsets),
)
def remaining_lengths(keep: BoolArray, offsets: Int64Array) -> Int64Array:
    """Return (S,) int64, the number of remaining clicks of each session."""
    lengths = np.zeros(len(offsets) - 1, dtype=np.int64)
    non_empty = np.flatnonzero(np.diff(offsets))
    if len(non_empty):
        lengths[non_empty] = np.add.reduceat(keep, offsets[non_empty], dtype=np.int64)
    return lengths


def _support(items: Int32Array, keep: BoolArray, n_items: int) -> Int64Array:
    """Return (n_items,) int64, the number of remaining clicks of each item."""
    support = np.zeros(n_items, dtype=np.int64)
    for start in range(0, len(items), _CHUNK_CLICKS):
        chunk = slice(start, start + _CHUNK_CLICKS)
        support += np.bincount(items[chunk][keep[chunk]], minlength=n_items)
    return support


def _collapse_repeats(items: Int32Array, keep: BoolArray, offsets: Int64Array) -> None:
    """Drop each click on the item of the previous click of its session."""
    clicks = np.flatnonzero(keep)
    session = np.searchsorted(offsets, clicks, side="right")
    repeats = (items[clicks[1:]] == items[clicks[:-1]]) & (session[1:] == session[:-1])
    keep[clicks[1:][repeats]] = False
