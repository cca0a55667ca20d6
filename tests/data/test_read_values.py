"""What the values of a log mean: missing ids, session keys, gaps, event types."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from nextclick.core.types import silent
from nextclick.data.options import PrepareOptions, ReadOptions, SessionOptions
from nextclick.data.readers.columns import Columns
from nextclick.data.session_log import read_sessions
from nextclick.errors import EmptyLogError, SourceError

HOUR = 3600
START = 1_500_000_000


def read(frame, sessions=None, **options):
    """The sessions of a log before any filter, and its report."""
    chosen = PrepareOptions(read=ReadOptions(**options), sessions=sessions or SessionOptions())
    return read_sessions([frame], None, chosen, silent)


def sessions_of(log):
    vocabulary, index = log.items.vocabulary(np.arange(len(log.items), dtype=np.int32))
    ids = vocabulary.raw_ids(index[log.table.items])
    return [ids[start:stop] for start, stop in pairwise(log.table.offsets.tolist())]


def log(**columns):
    n = len(columns["item"])
    return pl.DataFrame({"time": [START + 60 * i for i in range(n)], **columns})


def test_missing_users_are_anonymous_and_missing_items_are_bad():
    frame = log(
        session=[1, 1, 2, 2, 3],
        item=["a", "b", "a", "b", "null"],
        user=["u", "NA", "NA", "null", "v"],
    )
    with pytest.raises(SourceError, match="column 'item': expected the id of the item, got 'null'"):
        read(frame)
    result = read(frame, on_bad_row="skip")
    assert result.report["bad_rows"] == 1
    assert len(result.users) == 1
    kept = read(frame, missing=())
    assert kept.report["bad_rows"] == 0


def test_a_missing_session_is_bad():
    frame = log(session=["s", "s", "(not set)", "t"], item=[1, 2, 3, 4])
    with pytest.raises(SourceError, match=r"the id of the session, got '.not set.'"):
        read(frame)


def test_reused_session_ids_are_keyed_with_the_user():
    frame = log(user=list("aabbcc"), session=[1] * 6, item=[1, 2, 3, 4, 5, 6])
    result = read(frame)
    assert sessions_of(result) == [[1, 2], [3, 4], [5, 6]]
    assert result.report["columns"]["session"] == "user+session"
    assert "so a session is a user and an id (user+session)" in result.warnings[0]
    typed = read(frame, columns=Columns(session="session"))
    assert typed.report["columns"]["session"] == "session"
    assert any("--session-column user_id+session_id" in w for w in typed.warnings)
    key = read(frame, columns=Columns(session="user+session"))
    assert sessions_of(key) == sessions_of(result)


def test_a_gap_divides_sessions_with_an_id_on_request():
    frame = pl.DataFrame(
        {
            "session": [1, 1, 1, 2, 2],
            "item": [1, 2, 3, 4, 5],
            "user": ["a", "a", "a", "b", "b"],
            "time": [START, START + 60, START + 30 * HOUR, START, START + 60],
        }
    )
    assert sessions_of(read(frame)) == [[1, 2, 3], [4, 5]]
    cut = read(frame, SessionOptions(gap_seconds=1800))
    assert sessions_of(cut) == [[1, 2], [3], [4, 5]]
    assert cut.table.users.tolist() == [0, 0, 1]
    warning = "1 of 2 sessions last longer than a day; --gap 1800 divides them"
    assert any(w.startswith(warning) for w in read(frame).warnings)


def test_event_types_are_shown_and_matched_without_case():
    frame = log(session=[1, 1, 2, 2], item=[1, 2, 3, 4], event=["view", "cart", "view", "view"])
    warnings = read(frame).warnings
    assert (
        "the first 4 rows have view (3), cart (1); select event types with --events" in warnings[0]
    )
    result = read(frame, events=("View",))
    assert sum(map(len, sessions_of(result))) == 3
    assert "the event type 'View' is written 'view'" in result.warnings
    with pytest.raises(EmptyLogError, match=r"event type buy, the log has view .3., cart .1."):
        read(frame, events=("buy",))


def test_an_unused_column_that_suggests_a_session_is_named():
    frame = log(user=[1, 1, 2, 2], my_session_code=[1, 1, 2, 2], item=[1, 2, 3, 4])
    warning = "the name of 'my_session_code' suggests a session, but it is not used; select it with"
    assert any(w.startswith(warning) for w in read(frame).warnings)


def test_local_times_and_a_time_format():
    frame = log(session=[1, 1, 2, 2], item=[1, 2, 3, 4]).with_columns(
        time=pl.Series(
            ["04/05/2024 10:00", "04/05/2024 10:01", "04/05/2024 11:00", "04/05/2024 11:01"]
        )
    )
    with pytest.raises(SourceError, match=r"frame, row 1, column 'time': the dates, such as"):
        read(frame)
    result = read(frame, time_format="%d/%m/%Y %H:%M", timezone="America/New_York")
    assert result.report["first_time"] == "2024-05-04T14:00:00.000+00:00"
