"""Recommendations for all sessions of a table, as a table: for batch jobs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick.core.locations import is_url
from nextclick.core.sessions import MS_PER_SECOND
from nextclick.core.storage import raising_output_errors
from nextclick.core.types import silent
from nextclick.data.frame_sink import table_suffix, write_frames
from nextclick.errors import ConfigError, OutputError
from nextclick.experiments.batch_options import BatchCounts, BatchOptions
from nextclick.experiments.raw_id_index import RawIdIndex
from nextclick.experiments.session_input import SessionReader
from nextclick.experiments.session_spool import SessionSpool, table_parts
from nextclick.experiments.session_users import SessionUsers
from nextclick.experiments.table_history import TableHistory
from nextclick.serving.batch_scoring import BatchScorer, PackedSessions, RankedLists
from nextclick.serving.recommender import Recommender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import Int32Array, Int64Array, Progress

_ITEMS_PER_FRAME = 2_000_000  # of the output, which bounds the memory


def recommend_file(
    model: str | Path | Recommender,
    sessions: Any,
    output: str | Path,
    options: BatchOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> BatchCounts:
    """Write the recommendations for all sessions of a table to a file.

    The sessions are in the order of their first row. Memory grows with the ids of the sessions
    only; their clicks are kept in a temporary folder beside the output.

    Args:
        model: an artifact or a registry, or a loaded model.
        sessions: a path, folder, glob, address or table in memory, or a list of these. It has one
            row per click, with a session and an item, and perhaps a time and a user; or one row per
            session with a list of items, in click order, and perhaps lists of times. Clicks with
            times are sorted by time.
        output: the file; its suffix names the format: .parquet, .jsonl, .csv, .tsv, or .csv.gz. It
            is written completely or not at all.
        options: number of items, rules, moment, form of the output, columns of the input.
        overwrite: replace the file.
        progress: receives the number of answered sessions.

    Raises:
        SourceError: the table cannot be read.
        EmptyLogError: it has no session.
        ConfigError: an option is out of range, or the suffix is unknown.
        OutputError: the file exists, or cannot be written.
    """
    options = options or BatchOptions()
    path = _check_output(output, options, overwrite=overwrite)
    batch = _Batch(_loaded(model, options), options)
    with (
        raising_output_errors(path),
        tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=_folder_of(path)) as folder,
    ):
        batch.read(sessions, Path(folder), progress)
        write_frames(batch.frames(progress), batch.schema, path, table_suffix(path))
    return batch.counts


def recommend_frame(
    model: str | Path | Recommender,
    sessions: Any,
    k: int = 20,
    *,
    options: BatchOptions | None = None,
    progress: Progress = silent,
) -> Any:
    """The recommendations for all sessions of a frame, as a frame.

    Args:
        model: an artifact or a registry, or a loaded model.
        sessions: a frame of Polars or pandas, a table of Arrow, a dict of columns or a list of
            rows, of one of the forms of `recommend_file`.
        k: number of items for each session.
        options: the other conditions; their k is not used.
        progress: receives the number of answered sessions.

    Returns:
        One row per session and rank: `session`, `rank` from 1, `item`, and `score`, which is null
        for an item that was filled from popularity. With `options.lists` one row per session:
        `session`, `items`, `scores`. A frame of pandas if `sessions` is one, else of Polars.

    Raises:
        SourceError: the frame has no column of sessions or items, or an invalid value.
        ConfigError: an option is out of range.
    """
    options = replace(options or BatchOptions(), k=k)
    batch = _Batch(_loaded(model, options), options)
    with tempfile.TemporaryDirectory() as folder:
        batch.read(sessions, Path(folder), progress)
        frame = pl.concat(list(batch.frames(progress)))
    is_pandas = type(sessions).__module__.partition(".")[0] == "pandas"
    return _to_pandas(frame) if is_pandas else frame


class _Batch:
    """One pass over a table, and the answers to its sessions."""

    def __init__(self, recommender: Recommender, options: BatchOptions):
        artifact = recommender.artifact
        self.counts = BatchCounts()
        self.schema: dict[str, Any] = {}
        self._options = options
        self._scorer = BatchScorer(recommender, options.k, rules=options.rules, now=options.now)
        self._n_items = artifact.model.n_items
        self._users = None
        if artifact.users is not None:
            self._users = SessionUsers(RawIdIndex(artifact.users).indices)
        self._history: TableHistory | None = None
        if artifact.model.capabilities.earlier_sessions and options.history:
            self._history = TableHistory(recommender, options.history_from)
        self._reader = SessionReader(artifact.items, self._user_columns(), options.read)
        ids = artifact.items.ids()
        self._ids = pl.Series([None, *ids], dtype=pl.String if artifact.items.is_text else pl.Int64)
        self._parts: Iterator[tuple[int, Int32Array, Int64Array, Int64Array]] = iter(())

    def _user_columns(self) -> list[SessionUsers]:
        of_history = None if self._history is None else self._history.users
        return [users for users in (self._users, of_history) if users is not None]

    def read(self, sessions: Any, folder: Path, progress: Progress) -> None:
        """Read the table into a folder.

        Raises:
            ConfigError: earlier sessions are to be read from a store, and the table has no users.
        """
        spool = SessionSpool(folder)
        for clicks in self._reader.clicks(sessions, progress):
            spool.append(*clicks)
        self.counts.rows = self._reader.counts.rows
        self.counts.bad_rows = self._reader.bad_rows.count
        self.counts.notes = self._reader.notes
        self.schema = dict(self._frame(0, RankedLists.of([])).schema)
        self._parts = spool.parts(self._reader.n_sessions)
        if self._options.history_from is not None:
            self._check_history()
        if self._history is not None and self._history.of_table and self._reader.has_times:
            table = spool.sessions(self._reader.n_sessions, self._n_items)
            self._history.read_table(table)
            self._parts = table_parts(table)

    def _check_history(self) -> None:
        if self._history is None:
            self.counts.notes.append(
                "history_from was not used: the model reads no earlier sessions"
            )
        elif not self._reader.has_users:
            raise ConfigError(
                "history_from needs the user of each session, but the table has no column of "
                "users; name it with --user-column"
            )

    def frames(self, progress: Progress) -> Iterator[pl.DataFrame]:
        """The answers, in the order of the sessions."""
        total, done = self._reader.n_sessions, 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            progress("recommend", done, total)

        for first, items, times, offsets in self._parts:
            for start, stop in self._slices(len(offsets) - 1):
                sessions = self._packed(first, items, times, offsets[start : stop + 1], start)
                ranked = self._scorer.score(sessions, advance)
                self.counts.add(sessions, ranked)
                yield self._frame(first + start, ranked)

    def _slices(self, n_sessions: int) -> Iterator[tuple[int, int]]:
        step = max(_ITEMS_PER_FRAME // self._options.k, 64)
        for start in range(0, n_sessions, step):
            yield start, min(start + step, n_sessions)

    def _packed(
        self, first: int, items: Any, times: Any, offsets: Int64Array, start: int
    ) -> PackedSessions:
        clicks = slice(offsets[0], offsets[-1])
        number = first + start
        lengths = np.diff(offsets)
        history = None
        if self._history is not None:
            history = self._history.before(number, self._starts(times, offsets[:-1], lengths))
        users = self._users
        return PackedSessions(
            items[clicks],
            offsets - offsets[0],
            times[clicks] / 1000.0 if self._reader.has_times else None,
            None if users is None else users.of(number, number + len(lengths)),
            history,
        )

    def _starts(self, times: Int64Array, first: Int64Array, lengths: Int64Array) -> Int64Array:
        """When sessions begin, in milliseconds; -1 if unknown. `now` begins one without clicks."""
        now = self._options.now
        starts = np.full(len(lengths), -1 if now is None else round(now * MS_PER_SECOND))
        filled = lengths > 0
        starts[filled] = times[first[filled]] if self._reader.has_times else -1
        return starts

    def _frame(self, first: int, ranked: RankedLists) -> pl.DataFrame:
        """The rows of consecutive sessions."""
        n_sessions = len(ranked.offsets) - 1
        lengths = np.diff(ranked.offsets)
        ids = self._reader.session_ids(first, first + n_sessions)
        items = self._ids.gather(ranked.items)
        scores = pl.Series(ranked.scores).fill_nan(None)
        if not self._options.lists:
            rank = np.arange(1, len(items) + 1) - np.repeat(ranked.offsets[:-1], lengths)
            return pl.DataFrame(
                {
                    "session": ids.gather(np.repeat(np.arange(n_sessions), lengths)),
                    "rank": rank.astype(np.int32),
                    "item": items,
                    "score": scores,
                }
            )
        session = np.repeat(np.arange(n_sessions), lengths)
        rows = pl.DataFrame({"row": session, "items": items, "scores": scores})
        lists = rows.group_by("row", maintain_order=True).agg("items", "scores")
        frame = pl.DataFrame({"row": np.arange(n_sessions), "session": ids})
        return frame.join(lists, on="row", how="left", maintain_order="left").select(
            "session", pl.col("items").fill_null([]), pl.col("scores").fill_null([])
        )


def _loaded(model: str | Path | Recommender, options: BatchOptions) -> Recommender:
    if isinstance(model, Recommender):
        return Recommender(model.artifact, ids_as_text=True) if options.ids_as_text else model
    return Recommender.load(model, ids_as_text=options.ids_as_text)


def _check_output(output: str | Path, options: BatchOptions, *, overwrite: bool) -> Path:
    """Check the output before anything is read.

    Raises:
        ConfigError: an address, an unknown suffix, or lists in a text file.
        OutputError: the file exists.
    """
    if is_url(str(output)):
        raise ConfigError(
            f"{output}: the output must be a file of this machine; copy it afterwards"
        )
    path = Path(output)
    suffix = table_suffix(path)
    if options.lists and suffix.partition(".gz")[0] in (".csv", ".tsv"):
        raise ConfigError(
            f"{path}: lists do not fit into a cell of text; name the output .parquet or .jsonl, or "
            "omit lists"
        )
    if path.exists() and not overwrite:
        raise OutputError(f"{path} already exists; choose another output or set overwrite")
    return path


def _folder_of(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent


def _to_pandas(frame: pl.DataFrame) -> Any:
    import pandas as pd

    columns = {
        column.name: column.to_numpy() if column.dtype.is_numeric() else column.to_list()
        for column in frame
    }
    return pd.DataFrame(columns)
