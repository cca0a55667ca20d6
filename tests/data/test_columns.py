import pytest

from nextclick.data.readers.columns import COMMON_NAMES, Columns, resolve
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
def test_columns_are_found_by_common_names(header, expected):
    assert resolve(Columns(), header.split(","), "log", by="auto") == expected


@pytest.mark.parametrize("role", COMMON_NAMES)
def test_every_common_name_is_found_in_any_writing(role):
    rest = {"session": "session", "item": "item", "time": "time"}
    rest.pop(role, None)
    for name in COMMON_NAMES[role]:
        for written in (name, name.upper(), name.title().replace("_", ""), name.replace("_", " ")):
            found = resolve(Columns(), [*rest.values(), written], "log", by="auto")
            assert getattr(found, role) == written


def test_the_more_telling_name_wins_whatever_the_order():
    header = ["url", "item_id", "sid", "session_id", "time", "date"]
    found = resolve(Columns(), header, "log", by="auto")
    assert (found.session, found.item, found.time) == ("session_id", "item_id", "time")


def test_what_is_asked_for_wins_and_must_be_there():
    header = ["session", "item", "shelf", "time"]
    assert resolve(Columns(item="shelf"), header, "log", by="auto").item == "shelf"
    message = (
        r"log: there is no column 'shelv' \(asked for as the item column\): did you mean shelf\?; "
        "the file has session, item, shelf, time"
    )
    with pytest.raises(SourceError, match=message):
        resolve(Columns(item="shelv"), header, "log", by="auto")


def test_sessions_come_from_an_id_or_from_a_user():
    header = ["session", "user", "item", "time"]
    assert resolve(Columns(), header, "log", by="auto").session == "session"
    assert resolve(Columns(), header, "log", by="user").session is None
    assert resolve(Columns(), header[1:], "log", by="auto").user == "user"
    without = r"log: no session column found among item, time; name it with --session-column \(or"
    with pytest.raises(SourceError, match=without):
        resolve(Columns(), header[2:], "log", by="auto")
    with pytest.raises(SourceError, match="no session column found among user, item, time"):
        resolve(Columns(), header[1:], "log", by="id")
    with pytest.raises(SourceError, match="no user column found among session, item, time"):
        resolve(Columns(), ["session", "item", "time"], "log", by="user")
