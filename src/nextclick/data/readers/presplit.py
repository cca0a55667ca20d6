"""Pre-split logs: the pickles of SR-GNN, and separate files for training and test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick.data.encode import IdEncoder
from nextclick.data.readers.plain_pickle import read_plain_pickle
from nextclick.data.session_table import SessionTable
from nextclick.data.split import Split
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import BoolArray, Int64Array

TRAIN_FILE, TEST_FILE = "all_train_seq.txt", "test.txt"


def read_srgnn(sources: Sequence[Any]) -> tuple[SessionTable, IdEncoder, int, list[str]]:
    """Read a folder with `all_train_seq.txt` and `test.txt`, or these two files.

    Returns:
        The sessions, training first, without times or users; the encoder of the item codes; the
        number of training sessions; and warnings.

    Raises:
        SourceError: a file is missing or has another layout.
    """
    train_path, test_path = _srgnn_files(sources)
    train = read_plain_pickle(train_path)
    if not _is_id_lists(train):
        raise SourceError(f"{train_path}: expected a list of sessions, each a list of item ids")
    prefixes_and_labels = read_plain_pickle(test_path)
    test = sessions_of_prefixes(prefixes_and_labels, test_path)
    warnings = _prefix_warnings(prefixes_and_labels[0], test, test_path)
    sessions = [*train, *test]
    offsets = np.zeros(len(sessions) + 1, dtype=np.int64)
    np.cumsum([len(s) for s in sessions], out=offsets[1:])
    items = IdEncoder()
    codes = items.encode(pl.Series([i for s in sessions for i in s], dtype=pl.Int64))
    keep = np.ones(len(codes), dtype=np.bool_)
    return SessionTable(codes, None, offsets, None, keep), items, len(train), warnings


def sessions_of_prefixes(test: Any, path: Path) -> list[list[int]]:
    """Rebuild the sessions of a test file, which lists the prefixes of each session, longest first.

    A session is its longest prefix followed by the label of that prefix. Each of the next rows is
    one click shorter, down to a prefix of one click.

    Raises:
        SourceError: the value is not a pair of prefixes and labels.
    """
    if not (
        isinstance(test, list | tuple)
        and len(test) == 2
        and _is_id_lists(test[0])
        and _is_id_lists([test[1]])
    ):
        raise SourceError(
            f"{path}: expected a pair (prefixes, labels): lists of item ids, and one item id each"
        )
    prefixes, labels = test
    if len(prefixes) != len(labels):
        raise SourceError(
            f"{path}: {len(prefixes):,} prefixes but {len(labels):,} labels; expected one each"
        )
    sessions: list[list[int]] = []
    previous_prefix: list[int] = []
    for prefix, label in zip(prefixes, labels, strict=True):
        if previous_prefix != [*prefix, label]:
            sessions.append([*prefix, label])
        previous_prefix = list(prefix)
    return sessions


def _prefix_warnings(
    prefixes: Sequence[Sequence[int]], sessions: list[list[int]], path: Path
) -> list[str]:
    """Return a sentence if the rebuilt sessions have other prefixes than the file."""
    n_rebuilt = sum(len(session) - 1 for session in sessions)
    lengths = [len(prefix) for prefix in prefixes]
    n_given = sum(length > 0 for length in lengths)
    n_empty = len(lengths) - n_given
    warnings = []
    if n_empty:
        warnings.append(
            f"{path}: {n_empty:,} of {len(lengths):,} prefixes are empty and are not predicted"
        )
    if n_rebuilt != n_given:
        shortest = min(length for length in lengths if length)
        n_long = sum(max(len(session) - shortest, 0) for session in sessions)
        remedy = (
            f"evaluate with --min-prefix {shortest} to predict after those of the file only"
            if n_long == n_given
            else "the rows of a session must follow each other, longest prefix first, down to the "
            "shortest prefix that every session has"
        )
        warnings.append(
            f"{path}: the rebuilt test sessions have {n_rebuilt:,} prefixes, but the file has "
            f"{n_given:,}, so metrics are not those of the file; {remedy}"
        )
    return warnings


def presplit_parts(n_train: int, ends: Int64Array | None, alive: BoolArray) -> Split:
    """Return the first `n_train` sessions as training and the others as test, each sorted by end.

    Args:
        n_train: number of training sessions.
        ends: (S,) milliseconds, time of the last click, None to keep the order of the file.
        alive: (S,) False for sessions that the filters dropped.
    """

    def sorted_by_end(sessions: Int64Array) -> Int64Array:
        remaining: Int64Array = sessions[alive[sessions]]
        return remaining if ends is None else remaining[np.argsort(ends[remaining], kind="stable")]

    train = sorted_by_end(np.arange(n_train))
    test = sorted_by_end(np.arange(n_train, len(alive)))
    return Split("", train, test, boundary_ms=None)


def _srgnn_files(sources: Sequence[Any]) -> tuple[Path, Path]:
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


def _is_id_lists(value: Any) -> bool:
    """Return whether a value is a list of lists of integers that fit into int64."""
    return isinstance(value, list | tuple) and all(
        isinstance(s, list | tuple) and all(isinstance(i, int) and -(2**63) <= i < 2**63 for i in s)
        for s in value
    )
