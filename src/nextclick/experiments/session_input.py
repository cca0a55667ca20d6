"""Sessions to be answered, read from tables with a row per click or a row per session."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from nextclick.core.types import silent
from nextclick.data.encode import IdEncoder
from nextclick.data.readers.click_rows import (
    SAMPLE_ROWS,
    BadRows,
    ReadCounts,
    check_column_types,
    read_chunks,
    source_time_format,
)
from nextclick.data.readers.columns import Columns, resolve_columns
from nextclick.data.readers.event_types import event_types
from nextclick.data.readers.formats import get_log_format
from nextclick.data.readers.frames import as_sources
from nextclick.data.readers.joined_columns import with_joined_columns
from nextclick.data.readers.list_cells import text_lists
from nextclick.data.readers.list_columns import row_per_click
from nextclick.data.readers.log_tables import find_columns, open_sources
from nextclick.data.readers.raw_ids import clean_ids, whole_numbers
from nextclick.data.readers.sources import BAD, LINE, ROW
from nextclick.errors import EmptyLogError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextclick.core.types import Int32Array, Int64Array, Progress
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.sources import LogSource, ReadColumns
    from nextclick.data.readers.timestamps import TimeFormat

_NUMBER = "__session_number"  # column of the number of the session of each element of a list


class Clicks(NamedTuple):
    """Clicks of a chunk, in the order of the rows.

    Attributes:
        session: (n,) int64, numbers of sessions in the order of their first row, from 0.
        items: (n,) int32, 0 for an item that the model does not know.
        times: (n,) int64, milliseconds; 0 if the table has no times.
    """

    session: Int64Array
    items: Int32Array
    times: Int64Array


class IdIndex:
    """The indices of raw ids in a vocabulary, for columns of ids."""

    def __init__(self, vocabulary: Vocabulary):
        ids = vocabulary.ids()
        self._type: Any = pl.String if vocabulary.is_text else pl.Int64
        self._table = pl.DataFrame(
            {"id": pl.Series(ids, dtype=self._type), "index": pl.Series(range(1, len(ids) + 1))},
            schema_overrides={"index": pl.Int32},
        )

    def indices(self, ids: pl.Series) -> Int32Array:
        """(n,) int32, as `Vocabulary.index` of each id; 0 for unknown and missing ids."""
        keys = ids.cast(self._type, strict=False)
        if ids.dtype == pl.String and self._type == pl.Int64:  # "007" is not 7
            keys = keys.set(keys.cast(pl.String) != ids, None)
        found = pl.DataFrame({"id": keys}).join(
            self._table, on="id", how="left", maintain_order="left"
        )
        indices: Int32Array = found["index"].fill_null(0).to_numpy()
        return indices


class SessionReader:
    """Reads the clicks of sessions in one pass, and remembers the ids and users of the sessions.

    Args:
        items: vocabulary of the model.
        users: vocabulary of its users; None if the model reads none.
        read: how the tables are read.

    Attributes:
        n_sessions: number of sessions so far.
        counts: numbers of rows so far.
        bad_rows: rows that cannot be parsed, so far.
        notes: decisions about columns that the user should know.
        has_times: whether the clicks have times; known after the first chunk.
    """

    def __init__(self, items: Vocabulary, users: Vocabulary | None, read: ReadOptions):
        self.n_sessions = 0
        self.counts = ReadCounts()
        self.bad_rows = BadRows(skip=read.on_bad_row == "skip")
        self.notes: list[str] = []
        self.has_times = False
        self._read = read
        self._format = get_log_format(read.format)
        self._item_index = IdIndex(items)
        self._user_index = None if users is None else IdIndex(users)
        self._encoder = IdEncoder()  # of the sessions of a row per click
        self._row_ids: list[pl.Series] = []  # of the sessions of a row per session
        self._users: list[Int32Array] = []  # of consecutive sessions

    def clicks(self, sources: Any, progress: Progress = silent) -> Iterator[Clicks]:
        """Yield the clicks of all sources, chunk by chunk.

        Args:
            sources: a path, folder, glob, address or table in memory, or a list of these.
            progress: receives the number of rows.

        Raises:
            SourceError: a source cannot be read, lacks a column, or has another form than the
                first.
            EmptyLogError: there is no session.
        """
        columns_of_format = self._format.columns.by_role()
        requested = Columns(**{**columns_of_format, **self._read.columns.by_role()})
        forms: set[tuple[bool, bool]] = set()
        opened, list_column = self._open(sources)
        if list_column is not None:
            requested = replace(requested, item=requested.item or list_column)
        for source in opened:
            table = with_joined_columns(source, requested)
            columns, is_row_per_session = self._columns(table, requested)
            times = source_time_format(row_per_click(table, columns), columns, self._read)
            if columns.time is not None and times is None and not is_row_per_session:
                continue  # no row
            self.has_times = times is not None
            forms.add((is_row_per_session, self.has_times))
            if len(forms) > 1:
                raise SourceError(
                    f"{table.label}: the files have different forms, a row per session and a row "
                    "per click, or with and without times; pass files of one form at a time"
                )
            columns = replace(columns, time=None if times is None else columns.time)
            read = self._rows_of_sessions if is_row_per_session else self._rows_of_clicks
            for clicks in read(table, columns, times):
                yield clicks
                progress("read", self.counts.rows, None)
        if not self.n_sessions:
            raise EmptyLogError("sessions: there is no session to answer; pass a file with rows")

    def session_ids(self, start: int, stop: int) -> pl.Series:
        """The ids of the sessions start..stop - 1; row numbers from 1 if the rows have no id."""
        if len(self._encoder):
            return self._encoder.ids().slice(start, stop - start)
        if not self._row_ids:
            return pl.int_range(start + 1, stop + 1, eager=True)
        if len(self._row_ids) > 1 or self._row_ids[0].dtype == pl.String:
            self._row_ids = [_joined_ids(self._row_ids)]
        return self._row_ids[0].slice(start, stop - start)

    def session_users(self, start: int, stop: int) -> Int32Array | None:
        """(stop - start,) int32, 0 for an anonymous or unknown visitor; None without users."""
        if not self._users:
            return None
        self._users = [np.concatenate(self._users)] if len(self._users) > 1 else self._users
        return self._users[0][start:stop]

    def _open(self, sources: Any) -> tuple[list[LogSource], str | None]:
        """The sources, and the column `--records` if its lists are sessions.

        The elements of any other array are rows.
        """
        listed, records = as_sources(sources), self._read.records
        if records is None:
            return open_sources(listed, self._format, self._read), None
        opened = open_sources(listed, self._format, replace(self._read, records=None))
        if {type(source.types.get(records)) for source in opened} == {pl.String}:
            return [text_lists(source, records) for source in opened], records
        if all(_holds_lists(source, records, of_objects=False) for source in opened):
            return opened, records
        return open_sources(listed, self._format, self._read), None

    def _columns(self, source: LogSource, requested: Columns) -> tuple[Columns, bool]:
        """The columns of the roles that are read, and whether a row is a session."""
        columns, is_list = Columns(), False
        if any(_holds_lists(source, name) for name in source.types):
            columns = resolve_columns(
                requested, source.columns, source.label, sessions_by="row", needs_time=False
            )
            is_list = _holds_lists(source, columns.item)
        if not is_list:
            columns = find_columns(source, requested, sessions_by="id", needs_time=False)
        if self._user_index is None:
            columns = replace(columns, user=None)
        if self._read.order == "file":
            columns = replace(columns, time=None)
        return columns, is_list

    def _rows_of_clicks(
        self, source: LogSource, columns: Columns, times: TimeFormat | None
    ) -> Iterator[Clicks]:
        events = event_types(self._read, self._format, columns, source, self.notes)
        if events is None:
            columns = replace(columns, event=None)
        check_column_types(source, columns)
        for chunk in self._chunks(source, columns, times, events, self.counts):
            session = self._encoder.encode(chunk["session"]).astype(np.int64)
            self.n_sessions = len(self._encoder)
            if columns.user is not None and self._user_index is not None:
                self._add_users(session, self._user_index.indices(chunk["user"]))
            yield self._clicks(session, chunk)

    def _add_users(self, session: Int64Array, users: Int32Array) -> None:
        """Set the user of each session to the first known one of its clicks."""
        known = self._users[0] if self._users else np.empty(0, np.int32)
        if self.n_sessions > len(known):  # doubled, so that growing takes linear time
            grown = np.zeros(max(self.n_sessions, 2 * len(known)), np.int32)
            grown[: len(known)] = known
            self._users = [grown]
        own = self._users[0]
        named = np.flatnonzero((users > 0) & (own[session] == 0))[::-1]
        own[session[named]] = users[named]  # of equal indices the last one is assigned

    def _rows_of_sessions(
        self, source: LogSource, columns: Columns, times: TimeFormat | None
    ) -> Iterator[Clicks]:
        """The elements of the lists. A row without elements is a session without clicks."""
        lists = replace(columns, session=_NUMBER, user=None, event=None)
        first_row = self.n_sessions
        for frame in source.frames(list(columns.by_role().values())):
            self.n_sessions += frame.height
            self.counts.rows += frame.height
            if columns.session is not None:
                self._row_ids.append(_plain_ids(frame[columns.session]))
            if columns.user is not None and self._user_index is not None:
                users = clean_ids(frame[columns.user], self._read.missing)
                self._users.append(self._user_index.indices(users))
            part = replace(source, read=_reader_of(frame))
            number = pl.col(ROW).cast(pl.Int64) + first_row
            elements = row_per_click(part.with_column(_NUMBER, pl.Int64(), [], number), lists)
            check_column_types(elements, lists)
            for chunk in self._chunks(elements, lists, times, None, ReadCounts()):
                yield self._clicks(chunk["session"].to_numpy(), chunk)

    def _chunks(
        self,
        source: LogSource,
        columns: Columns,
        times: TimeFormat | None,
        events: tuple[str, ...] | None,
        counts: ReadCounts,
    ) -> Iterator[pl.DataFrame]:
        return read_chunks(
            source,
            columns,
            times,
            events=events,
            read=self._read,
            bad_rows=self.bad_rows,
            counts=counts,
        )

    def _clicks(self, session: Int64Array, chunk: pl.DataFrame) -> Clicks:
        return Clicks(session, self._item_index.indices(chunk["item"]), chunk["time"].to_numpy())


def _holds_lists(source: LogSource, name: str | None, *, of_objects: bool = True) -> bool:
    """Whether a column holds lists of single values; objects of JSON are texts."""
    dtype = source.types.get(name or "")
    if name is None or not isinstance(dtype, pl.List | pl.Array) or dtype.inner.is_nested():
        return False
    if of_objects or dtype.inner != pl.String:
        return True
    try:
        elements = source.head([name], SAMPLE_ROWS)[name].explode(empty_as_null=True)
    except SourceError:  # the rows are the elements of this array
        return False
    return not elements.drop_nulls().str.starts_with("{").any()


def _reader_of(frame: pl.DataFrame) -> ReadColumns:
    """Reads selected columns of one frame of a source."""
    places = [name for name in (ROW, LINE, BAD) if name in frame.columns]
    return lambda names: iter([frame.select(*places, *names)])


def _plain_ids(ids: pl.Series) -> pl.Series:
    """Session ids as Int64 or text."""
    return ids.cast(pl.Int64 if ids.dtype.is_integer() else pl.String)


def _joined_ids(parts: list[pl.Series]) -> pl.Series:
    if len({part.dtype for part in parts}) > 1:
        parts = [part.cast(pl.String) for part in parts]
    ids = pl.concat(parts)
    numbers = whole_numbers(ids)
    return ids if numbers is None else numbers
