"""Test sessions of a pre-split log that training contains, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import AnyArray, Int64Array
    from nextclick.data.click_table import ClickTable
    from nextclick.data.session_table import SessionTable

MIN_CLICKS = 3  # many visitors share two clicks
_MANY = 0.25  # 0.01 (Diginetica) and 0.07 (Yoochoose) are by chance


def repeat_warnings(table: ClickTable, n_train: int | None) -> list[str]:
    """Return a sentence if training has the clicks of many test sessions.

    Args:
        table: the sessions, training first.
        n_train: number of training sessions; None if the log is not pre-split.
    """
    if n_train is None:
        return []
    n_repeated, n_test = table.count_repeated_sessions(n_train)
    if n_repeated < _MANY * n_test or n_repeated == 0:
        return []
    warning = (
        f"{n_repeated:,} of {n_test:,} test sessions of {MIN_CLICKS} clicks or more are in the "
        "training files with the same clicks, so models are evaluated on what they were trained "
        "on; check that the files are split by time"
    )
    return [warning]


def count_repeated_sessions(table: SessionTable, n_train: int) -> tuple[int, int]:
    """Count the test sessions of three clicks or more whose items are those of a training session.

    Returns:
        The number of repeated sessions, and the number of test sessions of three clicks or more.
    """
    lengths = np.diff(table.offsets)
    test_lengths = np.unique(lengths[n_train:])
    n_repeated = n_test = 0
    for length in test_lengths[test_lengths >= MIN_CLICKS].tolist():
        sessions = np.flatnonzero(lengths == length)
        is_test = sessions >= n_train
        test = _rows(table, sessions[is_test], length)
        n_repeated += int(np.isin(test, _rows(table, sessions[~is_test], length)).sum())
        n_test += len(test)
    return n_repeated, n_test


def _rows(table: SessionTable, sessions: Int64Array, length: int) -> AnyArray:
    """Return (R,) the items of sessions of one length, each as one value."""
    items = table.items[table.offsets[sessions][:, None] + np.arange(length)]  # (R, length)
    return np.ascontiguousarray(items).view(np.dtype((np.void, 4 * length))).ravel()
