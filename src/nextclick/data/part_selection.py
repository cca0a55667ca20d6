"""Selects the sessions and clicks of a split that a store holds: recent samples, known items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextclick.data.split import Split, recent_samples
from nextclick.errors import EmptyLogError

if TYPE_CHECKING:
    from nextclick.core.types import BoolArray, Int32Array, Int64Array
    from nextclick.data.click_table import ClickTable
    from nextclick.data.options import PrepareOptions


@dataclass(frozen=True, slots=True)
class PartSelection:
    """The sessions and clicks that a store holds.

    Attributes:
        train: session numbers of the training part, reduced to the recent samples.
        test: session numbers of the test part that have enough clicks left.
        table: the sessions, without the dropped clicks.
        support: (items,) int64, the number of kept clicks on each item in `train`.
        in_catalog: (items,) bool, the items of the store: those with support, and others that are
            known from an item table.
        unseen_rule: `drop` or `miss` for test clicks on items outside training. `full` drops items
            that no training session has; those that only the recent samples lack are misses.
        unseen: counts of test clicks and sessions affected by unseen items, for the manifest.
    """

    train: Int64Array
    test: Int64Array
    table: ClickTable
    support: Int64Array
    in_catalog: BoolArray
    unseen_rule: str
    unseen: dict[str, int]


def select_parts(
    table: ClickTable,
    split: Split,
    options: PrepareOptions,
    n_items: int,
    listed: BoolArray | None = None,
) -> PartSelection:
    """Reduce training to its recent samples, then drop unseen items and users from the test.

    Args:
        table: the clicks that the filters keep.
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
    table = table.copy()
    full_support = support = table.item_counts(n_items, mask_of(split.train, len(table)))
    train = _select_recent(table, split.train, options.split.recent)
    if options.split.recent > 1:
        support = table.item_counts(n_items, mask_of(train, len(table)))
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
    n_before = int(table.remaining_lengths()[test].sum())
    if not allowed.all():
        table.drop_items(~allowed, mask_of(test, len(table)))
    lengths = table.remaining_lengths()[test]
    n_dropped = n_before - int(lengths.sum())
    test = test[lengths >= min_length]
    if len(test) == 0:
        raise EmptyLogError(
            "no test session is left: all of their items are unseen in training; choose an "
            "earlier boundary, or count them as misses with --unseen miss"
        )
    of_test = table.item_counts(n_items, mask_of(test, len(table)))
    counts = {
        "clicks_dropped": n_dropped,
        "clicks_kept_as_unseen": int(of_test[~in_catalog].sum()),
        "sessions_dropped": len(split.test) - len(test),
    }
    return PartSelection(train, test, table, support, in_catalog, unseen, counts)


def _select_recent(table: ClickTable, train: Int64Array, recent: int) -> Int64Array:
    """Return the sessions of the most recent 1/recent samples; shortens the first in the table."""
    if recent == 1:
        return train
    lengths = table.remaining_lengths()[train]
    n_samples = int(np.maximum(lengths - 1, 0).sum())
    if n_samples < recent:
        raise EmptyLogError(
            f"training has {n_samples:,} samples, so the most recent 1/{recent} is empty; "
            "choose a smaller --recent"
        )
    first, n_clicks = recent_samples(lengths, recent)
    train = train[first:]
    table.shorten(int(train[0]), n_clicks)
    return train


def _drop_unseen_users(users: Int32Array, train: Int64Array, test: Int64Array) -> Int64Array:
    """Return the test sessions whose user has a training session."""
    seen = np.zeros(int(users.max(initial=0)) + 1, dtype=np.bool_)
    train_users, test_users = users[train], users[test]
    seen[train_users[train_users >= 0]] = True
    return test[(test_users >= 0) & seen[test_users]]


def mask_of(sessions: Int64Array, n: int) -> BoolArray:
    """(n,) bool, True at the numbers of `sessions`."""
    mask = np.zeros(n, dtype=np.bool_)
    mask[sessions] = True
    return mask
