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
from nextclick.experiments.raw_id_index import RawIdIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextclick.core.types import Int32Array, Int64Array, Progress
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.sources import LogSource, ReadColumns
    from nextclick.data.readers.timestamps import TimeFormat
    from nextclick.experiments.session_users import SessionUsers

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


class SessionReader:
    """Reads the clicks of sessions in one pass, and remembers the ids of the sessions.

    Args:
        items: vocabulary of the model.
        users: where the users of the sessions are added; a column of users is read if there are
            any.
        read: how the tables are read.

    Attributes:
        n_sessions: number of sessions so far.
        counts: numbers of rows so far.
        bad_rows: rows that cannot be parsed, so far.
        notes: decisions about columns that the user should know.
        has_times: whether the clicks have times; known after the first chunk.
        has_users: whether a table has a column of users that is read, likewise.
    """

    def __init__(self, items: Vocabulary, users: Sequence[SessionUsers], read: ReadOptions):
        self.n_sessions = 0
        self.counts = ReadCounts()
        self.bad_rows = BadRows(skip=read.on_bad_row == "skip")
        self.notes: list[str] = []
        self.has_times = False
        self.has_users = False
        self._read = read
        self._format = get_log_format(read.format)
        self._item_index = RawIdIndex(items)
        self._users = users
        self._encoder = IdEncoder()  # of the sessions of a row per click
        self._row_ids: list[pl.Series] = []  # of the sessions of a row per session

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
        if not self._users:
            columns = replace(columns, user=None)
        self.has_users |= columns.user is not None
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
            if columns.user is not None:
                self._add_users(session, chunk["user"])
            yield self._clicks(session, chunk)

    def _add_users(self, session: Int64Array, ids: pl.Series) -> None:
        for users in self._users:
            users.add(session, ids, self.n_sessions)

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
            if columns.user is not None:
                session = np.arange(self.n_sessions - frame.height, self.n_sessions)
                self._add_users(session, clean_ids(frame[columns.user], self._read.missing))
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
