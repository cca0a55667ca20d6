"""Layouts of published logs, of exports and of web servers, on a few made-up lines of each."""

import gzip
import json

import polars as pl
import pytest

import nextclick
from nextclick.core.types import silent
from nextclick.data.options import (
    FilterOptions,
    PrepareOptions,
    ReadOptions,
    SessionOptions,
    SplitOptions,
)
from nextclick.data.readers.columns import Columns
from nextclick.data.readers.raw_log import read_log
from nextclick.errors import ConfigError, SourceError

from test_formats import clicks, write  # isort: skip

SECOND = 1_711_929_737  # 2024-04-01T00:02:17Z
MS = SECOND * 1000


def read_counts(source, **read):
    log = read_log([[source]], ReadOptions(**read), SessionOptions(), silent)
    return log.counts, log.bad_rows


def test_otto_with_text_ids_and_as_a_table(tmp_path):
    lines = [
        {"session": "s1", "events": [{"aid": "p1", "ts": MS, "type": "clicks"}]},
        {"session": "s2", "events": []},
        {"session": "s3", "events": [{"aid": 7, "ts": MS, "type": "carts"}]},
        {"session": "s3", "events": [{"aid": "p2", "ts": MS + 5, "type": "clicks"}]},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    expected = {"s1": [("p1", MS)], "s3": [("p2", MS + 5)]}
    assert clicks(write(tmp_path / "train.jsonl", text), "otto") == expected
    (tmp_path / "train.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    assert clicks(tmp_path / "train.jsonl.gz", "otto") == expected
    table = pl.DataFrame(
        {"session": [1, 1, 2], "aid": [10, 11, 12], "ts": [SECOND] * 3, "type": [0, 1, 0]},
        schema_overrides={"ts": pl.Int32, "type": pl.Int8},
    )
    table.write_parquet(tmp_path / "train.parquet")
    table.write_csv(tmp_path / "train.csv")
    for name in ("train.parquet", "train.csv"):
        assert clicks(tmp_path / name, "otto") == {1: [(10, MS)], 2: [(12, MS)]}
    lists = table.group_by("session", maintain_order=True).agg(
        events=pl.struct("aid", "ts", "type")
    )
    lists.write_parquet(tmp_path / "lists.parquet")
    assert clicks(tmp_path / "lists.parquet", "otto") == {1: [(10, MS)], 2: [(12, MS)]}


def test_rees46(tmp_path):
    text = (
        "event_time,event_type,product_id,category_id,brand,price,user_id,user_session\n"
        "2024-04-01 00:02:17 UTC,view,10,2,,1.5,1,aa-1\n"
        "2024-04-01 00:02:18 UTC,cart,11,2,,1.5,1,aa-1\n"
    )
    assert clicks(write(tmp_path / "2019-Oct.csv", text), "rees46") == {"aa-1": [(10, MS)]}


def test_coveo(tmp_path):
    text = (
        "session_id_hash,event_type,product_action,product_sku_hash,server_timestamp_epoch_ms\n"
        f"h1,pageview,,,{MS}\nh1,event_product,detail,p1,{MS}\nh1,event_product,add,p2,{MS}\n"
    )
    write(tmp_path / "browsing_train.csv", text)
    write(tmp_path / "search_train.csv", "session_id_hash,query_vector\n")
    assert clicks(tmp_path, "coveo") == {"h1": [("p1", MS)]}


def test_tmall(tmp_path):
    text = (
        "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n"
        "1,10,2,3,4,829,0\n1,11,2,3,4,1111,0\n1,12,2,3,4,1111,2\n"
    )
    log = clicks(write(tmp_path / "user_log_format1.csv", text), "tmall")
    assert log == {1: [(10, 1409270400_000), (11, 1415664000_000)]}


def test_amazon_m2(tmp_path):
    text = "prev_items,next_item,locale\n\"['B10' 'B11']\",B3,DE\n\"['B2' 'B3']\",B6,DE\n"
    path = write(tmp_path / "sessions_train.csv", text)
    log = clicks(path, "amazon-m2")
    assert [[item for item, _ in session] for session in log.values()] == [
        ["B10", "B11", "B3"],
        ["B2", "B3", "B6"],
    ]
    write(path, text.replace("'B10' ", "'B10'\n "))
    assert clicks(path, "amazon-m2") == log
    write(path, text + "\"['B4',B5,DE\n")
    with pytest.raises(SourceError, match=r"row 3 \(line 4\): the quote of field 1 does not close"):
        clicks(path, "amazon-m2")


def test_lastfm_1k(tmp_path):
    text = (
        'u1\t2024-04-01T00:02:17Z\ta1\t"Weird Al" Y\ttr1\t12" mix\n'
        "u1\t2024-04-01T00:02:18Z\ta1\tBjörk\t\tJóga\n"
    )
    path = write(tmp_path / "userid-timestamp-artid-artname-traid-traname.tsv", text)
    assert clicks(path, "lastfm-1k") == {"u1": [("tr1", MS), ("Björk / Jóga", MS + 1000)]}
    by_artist = clicks(path, "lastfm-1k", columns=Columns(item="artist"))
    assert by_artist == {"u1": [("a1", MS), ("a1", MS + 1000)]}


def idomaar(session, tracks, user=3):
    entities = {"subjects": [{"type": "user", "id": user}], "objects": tracks}
    properties = {"numtracks": len(tracks), "playtime": 9}
    return f"event.session\t{session}\t{SECOND}\t{json.dumps(properties)} {json.dumps(entities)}\n"


def test_30music(tmp_path):
    tracks = [
        {"type": "track", "id": 10, "playstart": 0},
        {"type": "track", "id": 11, "playstart": 13},
    ]
    path = write(tmp_path / "sessions.idomaar", idomaar(1, tracks) + "\n" + idomaar(2, []))
    write(tmp_path / "tracks.idomaar", "track\t1\t-1\t{} {}\n")
    assert clicks(tmp_path, "30music") == {1: [(10, MS), (11, MS + 13_000)]}
    with path.open("a", encoding="utf-8") as file:
        file.write("event.session\t3\n" + idomaar(4, [{"type": "track"}]))
    with pytest.raises(SourceError, match=r"\(line 4\): expected 4 fields or more by tabs, got 2"):
        clicks(tmp_path, "30music")
    _, bad = read_counts(tmp_path, format="30music", on_bad_row="skip")
    assert bad.count == 2
    assert "not a session of 30Music" in bad.examples[1]["reason"]


def test_mind(tmp_path):
    text = (
        "1\tU1\t4/1/2024 9:02:17 AM\tN5 N6\tN10-1 N11-0 N12-1\n"
        "2\tU1\t4/13/2024 1:02:17 PM\t\tN13-0\n3\tU2\t4/13/2024 1:02:17 PM\tN1\tN14-1\n"
    )
    log = clicks(write(tmp_path / "behaviors.tsv", text), "mind")
    nine = MS + 9 * 3_600_000
    assert log == {
        "U1": [("N10", nine), ("N12", nine)],
        "U2": [("N14", 1713013337_000)],
    }


def test_check_ins(tmp_path):
    gowalla = write(tmp_path / "g.txt", "0\t2024-04-01T00:02:17Z\t30.2\t-97.7\t22847\n")
    assert clicks(gowalla, "gowalla") == {0: [(22847, MS)]}
    foursquare = write(
        tmp_path / "dataset_TSMC2014_NYC.txt",
        '4\t4b1\tc1\tCafé "A\t40.7\t-74\t-240\tMon Apr 01 00:02:17 +0000 2024\n',
    )
    assert clicks(foursquare, "foursquare") == {4: [("4b1", MS)]}


def ga4_event(name, items, session=5, user="1.2"):
    return {
        "event_timestamp": str(MS * 1000),
        "event_name": name,
        "user_pseudo_id": user,
        "event_params": [
            {"key": "page", "value": {"string_value": 'a "b"', "int_value": None}},
            {"key": "ga_session_id", "value": {"string_value": None, "int_value": session}},
        ],
        "items": [{"item_id": item, "price": 1.5} for item in items],
    }


def test_ga4(tmp_path):
    events = [
        ga4_event("page_view", []),
        ga4_event("view_item", ["10"]),
        ga4_event("view_item_list", ["11", "12"]),
        ga4_event("view_item", [13], session="5", user="9.9"),
    ]
    path = write(tmp_path / "export.json", "".join(json.dumps(event) + "\n" for event in events))
    log = clicks(path, "ga4")
    assert log == {"1.2.5": [(10, MS)], "9.9.5": [(13, MS)]}
    path.write_text(json.dumps(events), encoding="utf-8")
    assert clicks(path, "ga4") == log


def test_exports_of_events(tmp_path):
    retail = [
        {
            "eventType": kind,
            "visitorId": "v1",
            "eventTime": "2024-04-01T00:02:17Z",
            "productDetails": [{"product": {"id": "10"}}],
        }
        for kind in ("detail-page-view", "add-to-cart")
    ]
    path = write(tmp_path / "retail.json", "".join(json.dumps(event) + "\n" for event in retail))
    assert clicks(path, "gcp-retail") == {"v1": [(10, MS)]}
    segment = [
        {"anonymousId": "a", "event": "Product Viewed", "timestamp": "2024-04-01T00:02:17.000Z",
         "properties": {"product_id": "p1"}},
        {"anonymousId": "a", "type": "page", "timestamp": "2024-04-01T00:02:17.000Z"},
    ]  # fmt: skip
    path = write(tmp_path / "segment.json", "".join(json.dumps(event) + "\n" for event in segment))
    assert clicks(path, "segment") == {"a": [("p1", MS)]}


def test_snowplow(tmp_path):
    def event(kind, path):
        fields = [""] * 131
        fields[3], fields[5], fields[15] = "2024-04-01 00:02:17.000", kind, "user"
        fields[35], fields[123] = path, "session"
        return "\t".join(fields) + "\n"

    text = event("page_view", "/p/1") + event("page_ping", "/p/1") + event("page_view", '/p/"2')
    path = write(tmp_path / "enriched.tsv", text)
    assert clicks(path, "snowplow") == {"session": [("/p/1", MS), ('/p/"2', MS)]}


WEB_LOG = (
    '10.0.0.1 - - [01/Apr/2024:00:02:17 +0000] "GET /p/10?ref=x HTTP/1.1" 200 512 "-" "Firefox"\n'
    '10.0.0.1 - - [01/Apr/2024:02:02:18 +0200] "GET /p/11 HTTP/1.1" 304 - "-" "Firefox"\n'
    '10.0.0.1 - - [01/Apr/2024:00:02:19 +0000] "GET /p/12 HTTP/1.1" 200 1 "-" "Safari \\"x\\" y"\n'
    '10.0.0.1 - - [01/Apr/2024:00:02:17 +0000] "GET /about HTTP/1.1" 200 512 "-" "Firefox"\n'
    '10.0.0.1 - - [01/Apr/2024:00:02:17 +0000] "POST /p/10 HTTP/1.1" 200 512 "-" "Firefox"\n'
    '10.0.0.1 - - [01/Apr/2024:00:02:17 +0000] "GET /p/13 HTTP/1.1" 404 512 "-" "Firefox"\n'
    '10.0.0.1 - - [01/Apr/2024:00:02:17 +0000] "GET /a.css?v=1 HTTP/1.1" 200 512 "-" "Firefox"\n'
    '10.0.0.2 - - [01/Apr/2024:00:02:17 +0000] "GET /p/10 HTTP/1.1" 200 5 "-" "Googlebot/2.1"\n'
    '10.0.0.2 - - [01/Apr/2024:00:02:17 +0000] "-" 400 0 "-" "-"\n'
    "\n"
)


def test_a_web_log(tmp_path):
    path = write(tmp_path / "access.log", WEB_LOG)
    log = clicks(path, "weblog", item_pattern=r"^/p/([^/?]+)")
    assert log == {
        "10.0.0.1 Firefox": [(10, MS), (11, MS + 1000)],
        '10.0.0.1 Safari \\"x\\" y': [(12, MS + 2000)],
    }
    counts, bad = read_counts(path, format="weblog", item_pattern=r"^/p/([^/?]+)")
    assert (counts.rows, counts.blank, counts.other_events, bad.count) == (9, 1, 6, 0)
    assert counts.event_types == {
        "method": 1,
        "error": 1,
        "file": 1,
        "bot": 1,
        "no URL": 1,
        "no match of the item pattern": 1,
    }
    assert clicks(path, "weblog")["10.0.0.1 Firefox"][1:] == [("/about", MS), ("/p/11", MS + 1000)]
    write(path, WEB_LOG + "something else\n")
    message = r"row 11 \(line 11\): not a line of the combined log format"
    with pytest.raises(SourceError, match=message):
        clicks(path, "weblog")


def test_an_item_pattern_applies_to_every_format(tmp_path):
    text = "session,url,time\n1,https://x/p/7?a=1,10\n1,https://x/,11\n1,https://x/p/8,12\n"
    path = write(tmp_path / "log.csv", text)
    assert clicks(path, "table", item_pattern=r"/p/(\d+)") == {1: [(7, 10_000), (8, 12_000)]}
    for pattern, message in (("(", "item_pattern: .* is not a regular"), ("/p/", "has no group")):
        with pytest.raises(ConfigError, match=message):
            clicks(path, "table", item_pattern=pattern)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_lists_in_cells(tmp_path, kind):
    lists = pl.DataFrame(
        {"session": [1, 2, 3], "items": [["a", "b"], [], ["c"]], "time": [5, 6, 7]}
    )
    path = tmp_path / f"lists.{kind}"
    if kind == "csv":
        write(path, "session;items;time\n1;['a', 'b'];5\n2;[];6\n3;c;7\n")
    else:
        lists.write_parquet(path)
    log = clicks(path, "table", records="items", columns=Columns(item="items"))
    assert log == {1: [("a", 5_000), ("b", 5_000)], 3: [("c", 7_000)]}
    with pytest.raises(SourceError, match=r"there is no column 'item' \(--records\): did you mean"):
        clicks(path, "table", records="item")


def test_parallel_lists(tmp_path):
    text = "session;items;times\n1;[a, b];[5, 6]\n2;[a, b];[5]\n3;x;7\n"
    path = write(tmp_path / "lists.csv", text)
    read = {"records": "items,times", "columns": Columns(item="items", time="times")}
    with pytest.raises(SourceError, match=r"row 2 \(line 3\): the lists have different lengths"):
        clicks(path, "table", **read)
    log = clicks(path, "table", on_bad_row="skip", **read)
    assert log == {1: [("a", 5_000), ("b", 6_000)], 3: [("x", 7_000)]}


ORDERED = "session,item\n" + "".join(f"{s},{i}\n" for s in range(20) for i in "cab")


def test_a_log_without_times(tmp_path):
    path = write(tmp_path / "log.csv", ORDERED)
    options = PrepareOptions(
        read=ReadOptions(order="file"), filters=FilterOptions(min_item_support=1)
    )
    prepared = nextclick.prepare(path, tmp_path / "store", options=options)
    assert prepared.report["times"] == "none: the log has only an order"
    assert prepared.store.part("train").times is None
    test = prepared.store.part("test")
    assert [prepared.store.items.raw(int(i)) for i in test.session(0)] == ["c", "a", "b"]
    assert (len(prepared.store.part("train")), len(test)) == (18, 2)


def test_a_log_without_times_needs_sessions_and_a_split_by_number(tmp_path):
    path = write(tmp_path / "log.csv", ORDERED)
    options = PrepareOptions(
        read=ReadOptions(order="file"), split=SplitOptions(kind="last-days", days=1)
    )
    with pytest.raises(ConfigError, match=r"split last-days: the log has no times, so the test"):
        nextclick.prepare(path, tmp_path / "store", options=options)
    users = write(tmp_path / "users.csv", "user,item\n1,2\n")
    with pytest.raises(SourceError, match=r"clicks without times cannot be divided into sessions"):
        clicks(users, "table", order="file")
    with pytest.raises(SourceError, match=r"no time column found"):
        clicks(path, "table")


def test_arrays_of_json_without_objects_are_lists_of_clicks(tmp_path):
    lines = [
        {"session": 1, "item_ids": ["a", 7], "time": [5, 6.5]},
        {"session": 2, "item_ids": [], "time": []},
        {"session": 3, "item_ids": ["c"], "time": [9]},
    ]
    path = write(tmp_path / "lists.json", "".join(json.dumps(line) + "\n" for line in lines))
    log = clicks(path, "table", columns=Columns(item="item_ids"))
    assert log == {1: [("a", 5_000), ("7", 6_500)], 3: [("c", 9_000)]}
