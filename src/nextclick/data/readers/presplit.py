"""Logs that somebody has split already: SR-GNN's pickles, and a file for each part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick.data.encode import IdEncoder
from nextclick.data.readers.plain_pickle import read_plain_pickle
from nextclick.data.sessionize import SessionTable
from nextclick.data.split import Split
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Int64Array

TRAIN_FILE, TEST_FILE = "all_train_seq.txt", "test.txt"


def read_srgnn(sources: Sequence[Any]) -> tuple[SessionTable, IdEncoder, int]:
    """Read a folder with `all_train_seq.txt` and `test.txt`, or these two files.

    Returns:
        The sessions, training first, without times or users; the item codes; and the number of
        training sessions.

    Raises:
        SourceError: a file is missing, or does not hold what its name says.
    """
    train_path, test_path = _files(sources)
    train = read_plain_pickle(train_path)
    if not _is_lists(train):
        raise SourceError(f"{train_path}: expected a list of sessions, each a list of item ids")
    test = sessions_of_prefixes(read_plain_pickle(test_path), test_path)
    sessions = [*train, *test]
    offsets = np.zeros(len(sessions) + 1, dtype=np.int64)
    np.cumsum([len(s) for s in sessions], out=offsets[1:])
    items = IdEncoder()
    codes = items.encode(pl.Series([i for s in sessions for i in s], dtype=pl.Int64))
    keep = np.ones(len(codes), dtype=np.bool_)
    return SessionTable(codes, None, offsets, None, keep), items, len(train)


def sessions_of_prefixes(test: Any, path: Path) -> list[list[int]]:
    """Put together the sessions that stand in a test file as prefixes, the longest first.

    A session is its longest prefix with that prefix's label; the rows that follow drop one click
    at a time, down to a prefix of one.

    Raises:
        SourceError: it is not a pair of prefixes and labels.
    """
    if not (
        isinstance(test, list | tuple)
        and len(test) == 2
        and _is_lists(test[0])
        and _is_lists([test[1]])
    ):
        raise SourceError(
            f"{path}: expected a pair (prefixes, labels), lists of item ids and one item id each"
        )
    prefixes, labels = test
    if len(prefixes) != len(labels):
        raise SourceError(
            f"{path}: {len(prefixes):,} prefixes but {len(labels):,} labels; expected one each"
        )
    sessions: list[list[int]] = []
    before: list[int] = []
    for prefix, label in zip(prefixes, labels, strict=True):
        if before != [*prefix, label]:
            sessions.append([*prefix, label])
        before = list(prefix)
    return sessions


def given_split(n_train: int, ends: Int64Array | None, alive: np.ndarray) -> Split:
    """Take the first `n_train` sessions for training, the rest for the test, each by time."""

    def ordered(sessions: Int64Array) -> Int64Array:
        kept: Int64Array = sessions[alive[sessions]]
        return kept if ends is None else kept[np.argsort(ends[kept], kind="stable")]

    train = ordered(np.arange(n_train))
    test = ordered(np.arange(n_train, len(alive)))
    return Split("", train, test, boundary_ms=None)


def join_parts(train: SessionTable, test: SessionTable) -> SessionTable:
    """Put the sessions of the test after those of training."""
    assert train.times is not None
    assert test.times is not None
    users = None
    if train.users is not None and test.users is not None:
        users = np.concatenate([train.users, test.users])
    return SessionTable(
        items=np.concatenate([train.items, test.items]),
        times=np.concatenate([train.times, test.times]),
        offsets=np.concatenate([train.offsets, test.offsets[1:] + train.offsets[-1]]),
        users=users,
        keep=np.concatenate([train.keep, test.keep]),
        out_of_order=train.out_of_order + test.out_of_order,
    )


def _files(sources: Sequence[Any]) -> tuple[Path, Path]:
    paths = [Path(source) for source in sources]
    if len(paths) == 1 and paths[0].is_dir():
        paths = [paths[0] / TRAIN_FILE, paths[0] / TEST_FILE]
    if len(paths) != 2:
        raise SourceError(
            f"the srgnn format takes a folder, or {TRAIN_FILE} and {TEST_FILE}, "
            f"got {len(paths)} sources"
        )
    for path in paths:
        if not path.is_file():
            raise SourceError(
                f"{path}: no such file; the srgnn format needs {TRAIN_FILE} and {TEST_FILE}"
            )
    return paths[0], paths[1]


def _is_lists(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(s, list | tuple) and all(isinstance(i, int) and -(2**63) <= i < 2**63 for i in s)
        for s in value
    )
