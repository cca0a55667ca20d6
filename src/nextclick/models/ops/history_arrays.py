"""The arrays that layers for earlier sessions read; NumPy alone, for servers without PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.session_history import offsets_of, ranges

if TYPE_CHECKING:
    from nextclick.core.session_history import SessionHistory
    from nextclick.core.types import AnyArray, Float32Array, Int64Array

N_AGES = 16  # unknown, below an hour, and 14 times doubled: 1 to 2 hours, up to more than 11 months
N_DWELLS = 12  # unknown, below 4 s, and 10 times doubled: 4 to 8 s, up to more than 34 minutes
N_COUNTS = 4  # clicks on an item in earlier sessions: 1, 2, 3 or more; row 0 is not used
BETA = 0.4
_HOUR, _DAY = 3600.0, 86400.0
_SHORT = 4.0  # seconds


def history_arrays(history: SessionHistory) -> dict[str, AnyArray]:
    """The arrays of `HistoryInputs` by name."""
    B, S = len(history), max(int(history.counts.max(initial=0)), 1)
    ages = age_rows(history.ages)
    latest = history.first + history.counts - 1
    steps = np.arange(S)
    offsets, items, counts, pair_ages, dwells = _pairs(history, ages, B)
    return {
        "items": history.items.astype(np.int64),
        "starts": history.offsets[:-1].copy(),
        "ages": ages,
        "gaps": age_rows(-np.diff(history.ages, prepend=np.float32(np.nan))),
        "deviations": deviations_of(history),
        "slots": np.where(steps < history.counts[:, None], latest[:, None] - steps + 1, 0),
        "lengths": np.diff(history.offsets),
        "pairs": offsets,
        "pair_items": items,
        "pair_counts": counts,
        "pair_ages": pair_ages,
        "pair_dwells": dwells,
    }


def one_row_arrays(history: SessionHistory) -> dict[str, AnyArray]:
    """The arrays of a history of one row, with one more session, slot and pair, the last ones.

    The slot is empty, none refers to the session, and the pair is that of item 0. An exported graph
    needs an element of each array, and an example with two of each.
    """
    of_session = {"items": 0, "starts": len(history.items), "ages": 0, "gaps": 0, "lengths": 1}
    of_pair = dict.fromkeys(("pair_items", "pair_counts", "pair_ages", "pair_dwells"), 0)
    more = of_session | of_pair
    arrays = {
        name: np.append(array, more[name]) if name in more else array
        for name, array in history_arrays(history).items()
    }
    return arrays | {"slots": np.append(arrays["slots"], [[0]], axis=1)}


def deviations_of(history: SessionHistory) -> Float32Array:
    """(B,) float32, dev_u(t) = sign(t - t_u) · |t - t_u|^β in days (Koren, 2009; β = 0.4).

    t is the start of the session, and t_u the mean end of the earlier sessions whose age is known,
    so that nothing after t is read and the sign is never negative. Without such a session it is 0.
    """
    session = ranges(history.first, history.counts)
    row = np.repeat(np.arange(len(history)), history.counts)
    ages = history.ages[session]
    known = np.isfinite(ages)
    sums = np.bincount(row[known], weights=ages[known], minlength=len(history))
    counts = np.bincount(row[known], minlength=len(history))
    days = np.maximum(sums, 0.0) / np.maximum(counts, 1) / _DAY
    deviations: Float32Array = (days**BETA).astype(np.float32)
    return deviations


def age_rows(seconds: Float32Array) -> Int64Array:
    """The row of each age: 0 if unknown, else 1 + the number of doublings from half an hour."""
    return _doublings(seconds, _HOUR, N_AGES)


def dwell_rows(seconds: Float32Array) -> Int64Array:
    """The row of each dwell time: 0 if unknown, else 1 + the number of doublings from 2 s."""
    return _doublings(seconds, _SHORT, N_DWELLS)


def _doublings(seconds: Float32Array, unit: float, n_rows: int) -> Int64Array:
    """0 if unknown, 1 below the unit, 2 up to twice the unit, and so on, up to `n_rows` - 1."""
    units = np.maximum(seconds, 0.0) / unit
    known = np.isfinite(units)
    doublings = np.floor(np.log2(np.maximum(np.where(known, units, 0.0), 0.5))).astype(np.int64) + 2
    return np.where(known, np.minimum(doublings, n_rows - 1), 0)


def _pairs(
    history: SessionHistory, ages: Int64Array, n_rows: int
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array, Int64Array]:
    """Offsets, items, counts, ages and dwell times of the distinct items of each row."""
    session = ranges(history.first, history.counts)
    row = np.repeat(np.arange(n_rows), history.counts)
    lengths = np.diff(history.offsets)[session]
    clicks = ranges(history.offsets[session], lengths)
    items = history.items[clicks].astype(np.int64)
    row, age = np.repeat(row, lengths), np.repeat(ages[session], lengths)
    stride = int(items.max(initial=0)) + 1
    # clicks are in the order of time: the last one of a pair is in its latest session
    keys = (row * stride + items)[::-1]
    distinct, last, counts = np.unique(keys, return_index=True, return_counts=True)
    pair_row, pair_items = np.divmod(distinct, stride)
    offsets = offsets_of(np.bincount(pair_row, minlength=n_rows).astype(np.int64))
    dwells = dwell_rows(history.dwells[clicks][::-1][last])
    return offsets, pair_items, np.minimum(counts, N_COUNTS - 1), age[::-1][last], dwells
