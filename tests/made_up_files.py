"""The made-up log in text files, JSON, tables, databases and containers."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import zstandard

from made_up_log import (
    CLICKS,
    FRAME,
    N_ITEMS,
    ROWS,
    SESSIONS,
    Click,
    csv_text,
    json_lines,
    lines,
    source,
    write,
)

TEXT = csv_text(ROWS)
DAYS = [[c.row() for c in CLICKS if c.visit == day] for day in range(1, 6)]


@source("clicks.csv -o store")
@source("clicks.csv -o store --sessions-by user --gap 1800")
@source("- -o store < clicks.csv")
def write_csv() -> None:
    write("clicks.csv", TEXT)


@source("clicks.csv -o store --session-column cart --item-column sku --time-column at", users=0)
def write_unusual_names() -> None:
    decoy = {"product": "shoes", "date": "today"}
    rows = [{"cart": c.session, "sku": c.item, "at": c.seconds} | decoy for c in CLICKS]
    write("clicks.csv", csv_text(rows))


@source("no-header.csv -o store --columns session,time,item,_", users=0)
def write_no_header() -> None:
    write("no-header.csv", lines(lambda c: f"{c.session},{c.time:%Y-%m-%dT%H:%M:%SZ},{c.item},S"))


@source("titles.tsv -o store --quote none")
def write_quotes() -> None:
    titles = ['5" screen', '"Heroes', '"Low"', 'a "b"']
    text = "".join(
        "\t".join(map(str, [*row.values(), titles[n % 4]])) + "\n" for n, row in enumerate(ROWS)
    )
    write("titles.tsv", "session_id\tuser_id\titem_id\ttimestamp\ttitle\n" + text)


@source("date-and-time.csv -o store --time-column day+clock", users=0)
def write_date_and_time() -> None:
    rows = [
        {"session_id": c.session, "item_id": c.item}
        | {"day": f"{c.time:%Y-%m-%d}", "clock": f"{c.time:%H:%M:%S}"}
        for c in CLICKS
    ]
    write("date-and-time.csv", csv_text(rows))


@source("local-times.csv -o store --timezone Europe/Berlin")
def write_local_times() -> None:
    zone = ZoneInfo("Europe/Berlin")
    local = [{"timestamp": f"{c.time.astimezone(zone):%Y-%m-%d %H:%M:%S}"} for c in CLICKS]
    write("local-times.csv", csv_text(row | time for row, time in zip(ROWS, local, strict=True)))


@source("dates.csv -o store --time-format '%d.%m.%Y %H:%M'")
def write_dates() -> None:
    rows = (click.row() | {"timestamp": f"{click.time:%d.%m.%Y %H:%M}"} for click in CLICKS)
    write("dates.csv", csv_text(rows, ";"))


@source("no-times.csv -o store --order file", users=0, first_time=None)
def write_no_times() -> None:
    rows = ({"session": click.session, "item": click.item} for click in CLICKS)
    write("no-times.csv", csv_text(rows))


@source("clicks.jsonl -o store")
def write_json_lines() -> None:
    write("clicks.jsonl", json_lines(ROWS))


@source("array.json -o store")
def write_json_array() -> None:
    write("array.json", json.dumps(ROWS, indent=2))


@source("nested.jsonl -o store --item-column event.item.id", users=0)
def write_nested_json() -> None:
    write(
        "nested.jsonl",
        json_lines(
            {"session": {"id": c.session}, "session_id": c.session}
            | {"event": {"ts": c.seconds, "item": {"id": c.item, "title": "a"}}}
            for c in CLICKS
        ),
    )


VISITS = [
    {"session_id": session[0].session, "user_id": session[0].user}
    | {"events": [{"item_id": c.item, "timestamp": c.seconds} for c in session]}
    for session in SESSIONS
]
EMPTY_VISIT: dict[str, object] = {"session_id": 1, "user_id": 1, "events": []}


@source("visits.jsonl -o store --records events", report={"blank_rows": 1})
def write_arrays_of_events() -> None:
    write("visits.jsonl", json_lines([*VISITS, EMPTY_VISIT]))


@source("visits.parquet -o store --records events")
def write_lists_of_structs() -> None:
    pl.DataFrame([*VISITS, EMPTY_VISIT]).write_parquet("visits.parquet")


@source("clicks.parquet -o store")
def write_parquet() -> None:
    FRAME.write_parquet("clicks.parquet")


@source("clicks/ -o store --time-column timestamp")
def write_partitions() -> None:
    for day, rows in enumerate(DAYS, 1):
        folder = Path(f"clicks/date=2024-03-0{day}")
        folder.mkdir(parents=True)
        pl.DataFrame(rows).write_parquet(folder / "part-0.parquet")
    write("clicks/_SUCCESS", "")


@source("shop.sqlite -o store --table clicks")
def write_sqlite() -> None:
    with closing(sqlite3.connect("shop.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE orders (user_id, item_id, timestamp)")
        connection.execute("CREATE TABLE clicks (session_id, user_id, item_id, timestamp)")
        connection.executemany("INSERT INTO clicks VALUES (?, ?, ?, ?)", FRAME.rows())


@source("shop.duckdb -o store --table clicks")
def write_duckdb() -> None:
    duckdb = pytest.importorskip("duckdb", reason="the extra duckdb is not installed")
    with duckdb.connect("shop.duckdb") as connection:
        connection.register("frame", FRAME.to_arrow())
        connection.execute("CREATE TABLE clicks AS SELECT * FROM frame")
        connection.execute("CREATE TABLE orders AS SELECT * FROM frame LIMIT 9")


@source("delta-clicks/ -o store")
def write_delta() -> None:
    deltalake = pytest.importorskip("deltalake", reason="the extra lake is not installed")
    deltalake.write_deltalake("delta-clicks", FRAME)
    deltalake.write_deltalake("delta-clicks", FRAME.head(1).with_columns(item_id=1), mode="append")
    deltalake.DeltaTable("delta-clicks").delete("item_id = 1")


@source("iceberg-clicks/ -o store")
def write_iceberg() -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pytest.importorskip("pyiceberg", reason="the extra lake is not installed")
    from pyiceberg.catalog.sql import SqlCatalog

    here = Path.cwd()
    catalog = SqlCatalog("test", uri=f"sqlite:///{here}/catalog.db", warehouse=here.as_uri())
    try:
        catalog.create_namespace("shop")
        place = (here / "iceberg-clicks").as_uri()
        table = catalog.create_table("shop.clicks", FRAME.to_arrow().schema, location=place)
        table.append(FRAME.head(120).to_arrow())
        table.append(FRAME.tail(80).to_arrow())
    finally:
        catalog.engine.dispose()


@source("- -o store < psql", users=0)
def write_query() -> None:
    rows = (
        {"session_id": c.session, "item_id": c.item, "time": f"{c.time:%Y-%m-%d %H:%M:%S}+00"}
        for c in CLICKS
    )
    write("psql", csv_text(rows))


@source("clicks.csv.gz -o store")
@source("https://example.com/clicks.csv.gz -o store")
def write_gzip() -> None:
    write("clicks.csv.gz", gzip.compress(TEXT.encode()))


@source("clicks.csv.zst -o store")
def write_zstd() -> None:
    write("clicks.csv.zst", zstandard.compress(TEXT.encode()))


@source("clicks.zip -o store")
def write_zip() -> None:
    with zipfile.ZipFile("clicks.zip", "w") as archive:
        for day, rows in enumerate(DAYS):
            archive.writestr(f"clicks-{day}.csv", csv_text(rows))
        archive.writestr("README.txt", "The clicks of a week.")


@source("'logs/2024-*.csv.gz' -o store")
def write_days() -> None:
    for day, rows in enumerate(DAYS, 1):
        write(f"logs/2024-03-0{day}.csv.gz", gzip.compress(csv_text(rows).encode()))
    write("logs/2023-12-31.csv.gz", gzip.compress(csv_text(ROWS[:1]).encode()))


@source("s3://my-bucket/clicks/ -o store")
def write_objects() -> None:
    import boto3

    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="my-bucket")
    for day, rows in enumerate(DAYS):
        content = io.BytesIO()
        pl.DataFrame(rows).write_parquet(content)
        client.put_object(Bucket="my-bucket", Key=f"clicks/{day}.parquet", Body=content.getvalue())
    client.close()


@source("users.csv -o store --gap 1800")
def write_users() -> None:
    write("users.csv", csv_text(FRAME.drop("session_id").rows(named=True)))


@source("counters.csv -o store --session-column user_id+session_id")
def write_counters() -> None:
    write("counters.csv", csv_text(click.row() | {"session_id": click.visit} for click in CLICKS))


@source("cookies.csv -o store --gap 1800", users=0)
def write_cookies() -> None:
    rows = ({"session_id": f"c{c.user}", "item": c.item, "time": c.seconds} for c in CLICKS)
    write("cookies.csv", csv_text(rows))


@source("train.csv --test test.csv -o store")
def write_presplit() -> None:
    write("train.csv", csv_text(row for day in DAYS[:4] for row in day))
    write("test.csv", csv_text(DAYS[4]))


def _event_rows() -> list[dict[str, object]]:
    """Rows of views, of carts with every fifth item, and of purchases of each session."""
    rows = [c.row() | {"event_type": "cart" if _is_cart(c) else "view"} for c in CLICKS]
    purchases = [session[-1].row() | {"event_type": "purchase"} for session in SESSIONS]
    return rows + purchases


def _is_cart(click: Click) -> bool:
    return click.item % N_ITEMS in (1, 6)


def _is_view(click: Click) -> bool:
    return not _is_cart(click)


N_CARTS = sum(map(_is_cart, CLICKS))


@source(
    "events.csv -o store --events view",
    counted=_is_view,
    report={"other_event_rows": N_CARTS + len(SESSIONS)},
)
@source("events.csv -o store --events view,cart", report={"other_event_rows": len(SESSIONS)})
def write_events() -> None:
    write("events.csv", csv_text(_event_rows()))


@source("guests.csv -o store --missing 'guest,NA'", users=8)
def write_guests() -> None:
    users = {1: "guest", 2: "NA"}
    rows = (c.row() | {"user_id": users.get(c.user, f"u{c.user}")} for c in CLICKS)
    write("guests.csv", csv_text(rows).replace(",NA,", ",Guest,"))


@source("bad-rows.csv -o store --on-bad-row skip", report={"bad_rows": 3})
def write_bad_rows() -> None:
    bad = f"7,7,,{CLICKS[0].seconds}\n7,7,1001,yesterday\n7,7,1001,{CLICKS[0].seconds},more\n"
    write("bad-rows.csv", TEXT + bad)
