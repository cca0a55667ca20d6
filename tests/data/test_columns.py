import pytest

from nextclick.data.readers.columns import (
    COMMON_NAMES,
    Columns,
    key_columns,
    resolve_columns,
    unused_columns,
)
from nextclick.errors import SourceError


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("SessionId,ItemId,Time", Columns(session="SessionId", item="ItemId", time="Time")),
        ("session_id,sku,ts", Columns(session="session_id", item="sku", time="ts")),
        ("visitorid,itemid,timestamp", Columns(user="visitorid", item="itemid", time="timestamp")),
        (
            "user_id:token,item_id:token,timestamp:float",
            Columns(user="user_id:token", item="item_id:token", time="timestamp:float"),
        ),
        (
            "Session-ID,USER,Product ID,Event Time,Event-Type",
            Columns("Session-ID", "USER", "Product ID", "Event Time", "Event-Type"),
        ),
    ],
)
def test_columns_are_detected_by_common_names(header, expected):
    assert resolve_columns(Columns(), header.split(","), "log", sessions_by="auto") == expected


@pytest.mark.parametrize("role", COMMON_NAMES)
def test_every_common_name_is_detected_in_any_spelling(role):
    rest = {"session": "session", "item": "item", "time": "time"}
    rest.pop(role, None)
    for name in COMMON_NAMES[role]:
        for spelling in (name, name.upper(), name.title().replace("_", ""), name.replace("_", " ")):
            columns = resolve_columns(
                Columns(), [*rest.values(), spelling], "log", sessions_by="auto"
            )
            assert getattr(columns, role) == spelling


def test_the_first_common_name_wins_in_any_column_order():
    header = ["url", "item_id", "sid", "session_id", "time", "date"]
    columns = resolve_columns(Columns(), header, "log", sessions_by="auto")
    assert (columns.session, columns.item, columns.time) == ("session_id", "item_id", "time")


def test_a_requested_column_wins_and_must_exist():
    header = ["session", "item", "shelf", "time"]
    assert resolve_columns(Columns(item="shelf"), header, "log", sessions_by="auto").item == "shelf"
    message = (
        r"log: there is no column 'shelv' \(requested as the item column\): did you mean shelf\?; "
        "the file has session, item, shelf, time"
    )
    with pytest.raises(SourceError, match=message):
        resolve_columns(Columns(item="shelv"), header, "log", sessions_by="auto")


def test_sessions_need_a_session_or_a_user_column():
    header = ["session", "user", "item", "time"]
    assert resolve_columns(Columns(), header, "log", sessions_by="auto").session == "session"
    assert resolve_columns(Columns(), header, "log", sessions_by="user").session is None
    assert resolve_columns(Columns(), header[1:], "log", sessions_by="auto").user == "user"
    message = r"log: no session column found among item, time; name it with --session-column \(or"
    with pytest.raises(SourceError, match=message):
        resolve_columns(Columns(), header[2:], "log", sessions_by="auto")
    with pytest.raises(SourceError, match="no session column found among user, item, time"):
        resolve_columns(Columns(), header[1:], "log", sessions_by="id")
    with pytest.raises(SourceError, match="no user column found among session, item, time"):
        resolve_columns(Columns(), ["session", "item", "time"], "log", sessions_by="user")


def test_the_exact_spelling_wins_and_two_other_spellings_are_rejected():
    header = ["session", "Item_ID", "item_id", "time"]
    assert resolve_columns(Columns(), header, "log", sessions_by="auto").item == "item_id"
    header[2] = "ItemId"
    message = "'Item_ID', 'ItemId' have the same name but for its spelling or its path; name the"
    with pytest.raises(SourceError, match=message):
        resolve_columns(Columns(), header, "log", sessions_by="auto")


def test_a_key_names_existing_columns():
    available = ["user", "visit", "a+b"]
    assert key_columns("user+visit", available) == ["user", "visit"]
    assert key_columns("a+b", available) == key_columns("user+day", available) == []


def test_unused_columns_that_suggest_a_role():
    header = ["user", "item", "time", "my_session_code", "session_start", "event_code", "eventdate"]
    columns = resolve_columns(Columns(), header, "log", sessions_by="auto")
    assert unused_columns(columns, header) == {
        "session": ["my_session_code"],
        "event": ["event_code"],
    }
