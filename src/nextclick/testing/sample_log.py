"""A small log with times and users, its store, and a newer log with new items."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nextclick.data.options import FilterOptions, PrepareOptions, SplitOptions
from nextclick.data.prepare_store import prepare

if TYPE_CHECKING:
    from nextclick.data.store import Store

_START = 1_500_000_000  # seconds
_SESSIONS, _NEW_SESSIONS = 90, 14
_ITEMS, _USERS = 12, 7
_SESSION_INTERVAL = 2 * 3600  # seconds; 90 sessions span more than a week


@cache
def sample_store() -> Store:
    """A store with times, users and blocks of one day; built once per process."""
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.2, valid_fraction=0.2),
    )
    return prepare(sample_log(), Path(_folder().name) / "store", options=options).store


def sample_log() -> pl.DataFrame:
    """Sessions of 2 to 7 clicks: steps along a ring of items, with noise."""
    return _sessions(0, _SESSIONS, _ITEMS, seed=1)


def newer_log() -> pl.DataFrame:
    """Sessions after those of `sample_log`, with two new items."""
    return _sessions(_SESSIONS, _SESSIONS + _NEW_SESSIONS, _ITEMS + 2, seed=2)


def _sessions(first: int, stop: int, n_items: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(first, stop):
        item, time = int(rng.integers(n_items)), _START + number * _SESSION_INTERVAL
        for _ in range(int(rng.integers(2, 8))):
            rows.append((number, f"item-{item}", time, f"user-{number % _USERS}"))
            item = int(rng.integers(n_items)) if rng.random() < 0.2 else (item + 1) % n_items
            time += int(rng.integers(5, 400))
    return pl.DataFrame(rows, orient="row", schema=["session", "item", "time", "user"])


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="nextclick-sample-")  # removed at process exit
