"""Filters that drop rare items and users and short or long sessions, once or until convergence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.types import BoolArray, Int64Array
    from nextclick.data.click_counts import ClickCounts, TableCounts
    from nextclick.data.options import FilterOptions


@dataclass(frozen=True, slots=True)
class FilterStep:
    """A step of the preparation and the counts after it."""

    name: str
    counts: TableCounts


_NO_LIMIT = np.iinfo(np.int64).max


def apply_filters(
    clicks: ClickCounts,
    options: FilterOptions,
    min_support: int,
    n_users: int,
    *,
    prior: Int64Array | None = None,
) -> list[FilterStep]:
    """Drop the clicks that the filters do not keep.

    One pass follows the papers: short sessions, rare items, short sessions again. With
    `options.iterate`, the filters repeat until no click is dropped; with minimums alone, the result
    is the largest log that satisfies all of them.

    Args:
        clicks: the clicks of a table, which are dropped from it.
        options: the filters.
        min_support: minimum number of clicks of an item.
        n_users: number of user codes.
        prior: (n_items,) clicks that are added to the support of each item, or None.

    Returns:
        The steps with the counts after each.
    """
    filters = _filters(clicks, options, min_support, n_users, prior)
    steps = []
    for name, apply in filters:
        apply()
        steps.append(FilterStep(name, clicks.counts(n_users)))
    if not options.iterate:
        return steps
    n_rounds, n_before = 1, -1
    n_clicks = clicks.n_clicks
    while n_clicks != n_before:
        n_before = n_clicks
        for _, apply in filters:
            apply()
        n_clicks = clicks.n_clicks
        n_rounds += 1
    if n_rounds > 2:
        name = f"filters repeated until nothing changes ({n_rounds} rounds)"
        steps.append(FilterStep(name, clicks.counts(n_users)))
    return steps


def filter_sessions(clicks: ClickCounts, options: FilterOptions, n_users: int) -> list[FilterStep]:
    """Apply the filters that depend on one session only: repeated clicks and lengths."""
    return apply_filters(clicks, replace(options, min_user_sessions=1), 1, n_users)


def filter_by_counts(
    clicks: ClickCounts, options: FilterOptions, min_support: int, n_users: int
) -> list[FilterStep]:
    """Apply all filters after `filter_sessions`, whose steps are not counted again."""
    steps = apply_filters(clicks, options, min_support, n_users)
    return steps[1 + options.collapse_repeats :]


def _filters(
    clicks: ClickCounts,
    options: FilterOptions,
    min_support: int,
    n_users: int,
    prior: Int64Array | None,
) -> list[tuple[str, Callable[[], None]]]:
    """Return the name and the function of every enabled filter, in the order of application."""
    min_length = options.min_session_length
    max_length = options.max_session_length or _NO_LIMIT

    def drop_sessions() -> None:
        clicks.drop_sessions((clicks.lengths < min_length) | (clicks.lengths > max_length))

    def drop_items() -> None:
        support = clicks.support if prior is None else prior + clicks.support
        clicks.drop_items(support < min_support)

    def drop_users() -> None:
        clicks.drop_sessions(_sessions_of_rare_users(clicks, options.min_user_sessions, n_users))

    maximum = "" if options.max_session_length is None else f" or more than {max_length}"
    session_filter = f"sessions of fewer than {min_length}{maximum} clicks dropped"
    filters: list[tuple[str, Callable[[], None]]] = []
    if options.collapse_repeats:
        filters.append(("consecutive clicks on one item counted once", clicks.drop_repeats))
    filters.append((session_filter, drop_sessions))
    if min_support > 1:
        filters.append((f"items of fewer than {min_support} clicks dropped", drop_items))
        filters.append((session_filter + " again", drop_sessions))
    if options.min_user_sessions > 1 and clicks.table.users is not None:
        name = f"users of fewer than {options.min_user_sessions} sessions dropped"
        filters.append((name, drop_users))
    return filters


def _sessions_of_rare_users(clicks: ClickCounts, min_sessions: int, n_users: int) -> BoolArray:
    """Return (S,) whether a session is anonymous or of a user with too few sessions."""
    users = clicks.table.users
    assert users is not None
    n_sessions = np.bincount(users[(clicks.lengths > 0) & (users >= 0)], minlength=n_users)
    rare: BoolArray = (users < 0) | (n_sessions[users] < min_sessions)
    return rare
