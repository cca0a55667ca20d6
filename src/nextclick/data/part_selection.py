"""Selects the sessions and clicks of a split that a store holds: recent samples, known items."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from nextclick.data.click_counts import count_items, remaining_lengths
from nextclick.data.split import Split, recent_samples
from nextclick.errors import EmptyLogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import BoolArray, Int32Array, Int64Array
    from nextclick.data.options import PrepareOptions
    from nextclick.data.sessionize import SessionTable

_CHUNK_CLICKS = 2_000_000  # clicks selected at once, which bounds the memory of their indices


@dataclass(frozen=True, slots=True)
class PartSelection:
    """The sessions and clicks that a store holds.

    Attributes:
        train: session numbers of the training part, reduced to the recent samples.
        test: session numbers of the test part that have enough clicks left.
        keep: (E,) bool, False for dropped clicks.
        support: (items,) int64, the number of kept clicks on each item in `train`.
        in_catalog: (items,) bool, the items of the store: those with support, and others that are
            known from an item table.
        unseen_rule: `drop` or `miss` for test clicks on items outside training. `full` drops items
            that no training session has; those that only the recent samples lack are misses.
        unseen: counts of test clicks and sessions affected by unseen items, for the manifest.
    """

    train: Int64Array
    test: Int64Array
    keep: BoolArray
    support: Int64Array
    in_catalog: BoolArray
    unseen_rule: str
    unseen: dict[str, int]


def select_parts(
    table: SessionTable,
    split: Split,
    options: PrepareOptions,
    n_items: int,
    listed: BoolArray | None = None,
) -> PartSelection:
    """Reduce training to its recent samples, then drop unseen items and users from the test.

    Args:
        table: all clicks; `keep` marks those that the filters keep.
        split: the sessions of the two parts.
        options: the options of `prepare`.
        n_items: number of item codes.
        listed: (items,) bool, items of an item table that are known without a click in training;
            None for none.

    Raises:
        EmptyLogError: no training sample or no test session is left.
    """
    unseen = options.split.unseen or ("full" if options.split.recent > 1 else "drop")
    min_length = max(2, options.filters.min_session_length)
    keep = table.keep.copy()
    full_support = support = item_support(table, keep, split.train, n_items)
    train = _select_recent(keep, table.offsets, split.train, options.split.recent)
    if options.split.recent > 1:
        support = item_support(table, keep, train, n_items)
    known = np.zeros(n_items, dtype=np.bool_) if listed is None else listed
    in_catalog = known | (support > 0)
    allowed = {
        "drop": in_catalog,
        "full": known | (full_support > 0),
        "miss": np.ones(n_items, dtype=np.bool_),
    }[unseen]
    test = split.test
    if options.split.unseen_users == "drop" and table.users is not None:
        test = _drop_unseen_users(table.users, train, test)
    n_dropped = 0
    for clicks in remaining_clicks(table, keep, test):
        dropped = clicks[~allowed[table.items[clicks]]]
        keep[dropped] = False
        n_dropped += len(dropped)
    lengths = remaining_lengths(keep, table.offsets)[test]
    test = test[lengths >= min_length]
    if len(test) == 0:
        raise EmptyLogError(
            "no test session is left: all of their items are unseen in training; choose an "
            "earlier boundary, or count them as misses with --unseen miss"
        )
    n_unseen = sum(
        int(np.count_nonzero(~in_catalog[table.items[clicks]]))
        for clicks in remaining_clicks(table, keep, test)
    )
    counts = {
        "clicks_dropped": n_dropped,
        "clicks_kept_as_unseen": n_unseen,
        "sessions_dropped": len(split.test) - len(test),
    }
    return PartSelection(train, test, keep, support, in_catalog, unseen, counts)


def _select_recent(
    keep: BoolArray, offsets: Int64Array, train: Int64Array, recent: int
) -> Int64Array:
    """Return the sessions of the most recent 1/recent samples; shortens the first in `keep`."""
    if recent == 1:
        return train
    lengths = remaining_lengths(keep, offsets)[train]
    n_samples = int(np.maximum(lengths - 1, 0).sum())
    if n_samples < recent:
        raise EmptyLogError(
            f"training has {n_samples:,} samples, so the most recent 1/{recent} is empty; "
            "choose a smaller --recent"
        )
    first, n_clicks = recent_samples(lengths, recent)
    train = train[first:]
    start, stop = offsets[train[0]], offsets[train[0] + 1]
    clicks = start + np.flatnonzero(keep[start:stop])
    keep[clicks[n_clicks:]] = False
    return train


def _drop_unseen_users(users: Int32Array, train: Int64Array, test: Int64Array) -> Int64Array:
    """Return the test sessions whose user has a training session."""
    seen = np.zeros(int(users.max(initial=0)) + 1, dtype=np.bool_)
    train_users, test_users = users[train], users[test]
    seen[train_users[train_users >= 0]] = True
    return test[(test_users >= 0) & seen[test_users]]


def remaining_clicks(
    table: SessionTable, keep: BoolArray, sessions: Int64Array
) -> Iterator[Int64Array]:
    """Yield the indices of the kept clicks of `sessions`, a bounded number at a time."""
    lengths = np.diff(table.offsets)[sessions]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    bounds = np.searchsorted(ends, np.arange(0, total, _CHUNK_CLICKS), side="right")
    for start, stop in pairwise([*np.unique(bounds).tolist(), len(sessions)]):
        chunk = slice(start, stop)
        first = table.offsets[:-1][sessions[chunk]]
        n_before = ends[chunk] - lengths[chunk]
        shift = np.repeat(first - n_before, lengths[chunk])
        clicks = np.arange(n_before[0], ends[stop - 1]) + shift
        yield clicks[keep[clicks]]


def item_support(
    table: SessionTable, keep: BoolArray, sessions: Int64Array, n_items: int
) -> Int64Array:
    """Return (n_items,) int64, the number of kept clicks on each item in `sessions`."""
    selected = np.zeros(len(table), dtype=np.bool_)
    selected[sessions] = True
    return count_items(table.items, keep & np.repeat(selected, np.diff(table.offsets)), n_items)
