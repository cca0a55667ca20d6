"""Drop what is too rare or too short, once or until nothing changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.types import BoolArray, Int32Array, Int64Array
    from nextclick.data.options import FilterOptions
    from nextclick.data.sessionize import SessionTable


@dataclass(frozen=True, slots=True)
class TableCounts:
    """What is in a log at some step."""

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
    """One step of preparation and what it left."""

    name: str
    left: TableCounts


_NO_LIMIT = np.iinfo(np.int64).max
_COUNT_ROWS = 4_000_000


def count(table: SessionTable, n_items: int, n_users: int) -> TableCounts:
    """Count what is still in; a session is in while one of its clicks is."""
    alive = lengths_left(table.keep, table.offsets) > 0
    items = int((_support(table.items, table.keep, n_items) > 0).sum())
    users = 0
    if table.users is not None:
        named = table.users[alive & (table.users >= 0)]
        users = int((np.bincount(named, minlength=n_users) > 0).sum())
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
    """Set `table.keep` False for what the options drop; return what each step left.

    One pass is the papers': short sessions, rare items, short sessions again. Iterated, the same
    three (and rare users, and repeats that became neighbors) follow each other until no click
    falls. With minimums alone that is the largest set that fulfils them all. `prior` (n_items,)
    is added to the support of items.
    """
    known = np.zeros(n_items, dtype=np.int64) if prior is None else prior
    rules = _rules(table, options, min_support, n_users, known)
    steps = []
    for name, rule in rules:
        rule()
        steps.append(FilterStep(name, count(table, n_items, n_users)))
    if not options.iterate:
        return steps
    rounds, before = 1, -1
    after = int(table.keep.sum())
    while after != before:
        before = after
        for _, rule in rules:
            rule()
        after = int(table.keep.sum())
        rounds += 1
    if rounds > 2:
        name = f"the same again until nothing changes ({rounds} rounds)"
        steps.append(FilterStep(name, count(table, n_items, n_users)))
    return steps


def _rules(
    table: SessionTable, options: FilterOptions, min_support: int, n_users: int, prior: Int64Array
) -> list[tuple[str, Callable[[], None]]]:
    """Return (name, call) of every rule that the options ask for, in order."""
    low = options.min_session_length
    high = options.max_session_length or _NO_LIMIT

    def drop_sessions() -> None:
        left = lengths_left(table.keep, table.offsets)
        dropped = (left < low) | (left > high)
        table.keep &= ~np.repeat(dropped, np.diff(table.offsets))

    def drop_items() -> None:
        support = prior + _support(table.items, table.keep, len(prior))
        table.keep &= (support >= min_support)[table.items]

    def drop_users() -> None:
        _drop_rare_users(table, options.min_user_sessions, n_users)

    def collapse() -> None:
        _collapse(table.items, table.keep, table.offsets)

    limit = "" if options.max_session_length is None else f" or more than {high}"
    lengths = (f"sessions of fewer than {low}{limit} clicks dropped", drop_sessions)
    rules = [lengths]
    if options.collapse_repeats:
        rules.insert(0, ("clicks on one item in a row counted as one", collapse))
    if min_support > 1:
        rules.append((f"items of fewer than {min_support} clicks dropped", drop_items))
        rules.append((lengths[0] + " again", drop_sessions))
    if options.min_user_sessions > 1 and table.users is not None:
        name = f"users of fewer than {options.min_user_sessions} sessions dropped"
        rules.append((name, drop_users))
    return rules


def _drop_rare_users(table: SessionTable, least: int, n_users: int) -> None:
    assert table.users is not None
    alive = lengths_left(table.keep, table.offsets) > 0
    sessions = np.bincount(table.users[alive & (table.users >= 0)], minlength=n_users)
    # a session of nobody belongs to no user with enough sessions
    rare = (table.users < 0) | (sessions[table.users] < least)
    table.keep &= ~np.repeat(rare, np.diff(table.offsets))


def lengths_left(keep: BoolArray, offsets: Int64Array) -> Int64Array:
    """(S,) int64, how many clicks of each session are still in."""
    lengths = np.zeros(len(offsets) - 1, dtype=np.int64)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        lengths[filled] = np.add.reduceat(keep, offsets[filled], dtype=np.int64)
    return lengths


def _support(items: Int32Array, keep: BoolArray, n_items: int) -> Int64Array:
    """(n_items,) int64, clicks of each item that are still in."""
    support = np.zeros(n_items, dtype=np.int64)
    for start in range(0, len(items), _COUNT_ROWS):  # bincount copies its input to int64
        part = slice(start, start + _COUNT_ROWS)
        support += np.bincount(items[part][keep[part]], minlength=n_items)
    return support


def _collapse(items: Int32Array, keep: BoolArray, offsets: Int64Array) -> None:
    """Drop each click on the item of the click before it in the session."""
    left = np.flatnonzero(keep)
    session = np.searchsorted(offsets, left, side="right")
    again = (items[left[1:]] == items[left[:-1]]) & (session[1:] == session[:-1])
    keep[left[1:][again]] = False
