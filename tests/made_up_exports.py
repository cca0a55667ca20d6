"""The made-up log as analytics tools and web servers export it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from made_up_log import CLICKS, SESSIONS, Click, csv_text, json_lines, lines, source, write


def _iso(click: Click) -> str:
    return f"{click.time:%Y-%m-%dT%H:%M:%S}.000Z"


@source("ga4.json -o store --format ga4", report={"other_event_rows": 50})
def write_ga4() -> None:
    write("ga4.json", json_lines(_ga4_events()))


@source("ga4/ -o store --format ga4", report={"other_event_rows": 50})
def write_ga4_tables() -> None:
    Path("ga4").mkdir()
    value = pl.Struct({"string_value": pl.String, "int_value": pl.Int64})
    parameters = pl.List(pl.Struct({"key": pl.String, "value": value}))
    events = pl.DataFrame(_ga4_events()).with_columns(
        pl.col("event_timestamp").cast(pl.Int64), pl.col("event_params").cast(parameters)
    )
    for n, part in enumerate(events.iter_slices(100)):
        part.write_parquet(f"ga4/00000000000{n}")


def _ga4_events() -> list[dict[str, object]]:
    """A view for each click, and a purchase for each session."""
    events = [("view_item", click) for click in CLICKS]
    events += [("purchase", session[-1]) for session in SESSIONS]
    return [
        {
            "event_date": f"{click.time:%Y%m%d}",
            "event_timestamp": str(click.seconds * 1_000_000),
            "event_name": name,
            "event_params": [
                {"key": "page_location", "value": {"string_value": click.page}},
                {"key": "ga_session_id", "value": {"int_value": str(click.visit)}},
            ],
            "user_pseudo_id": f"{click.user}.7",
            "items": [{"item_id": str(click.item), "item_name": '5" screen'}],
        }
        for name, click in events
    ]


@source("segment.jsonl -o store --format segment", report={"other_event_rows": 50})
def write_segment() -> None:
    events = [("Product Viewed", click) for click in CLICKS]
    events += [("Order Completed", session[-1]) for session in SESSIONS]
    calls = (
        {"type": "track", "event": name, "anonymousId": f"a{c.user}", "timestamp": _iso(c)}
        | {"messageId": str(n), "properties": {"product_id": str(c.item), "price": 1.5}}
        for n, (name, c) in enumerate(events)
    )
    write("segment.jsonl", json_lines(calls))


PRODUCT = "--item-pattern '/product/([^/?]+)'"


@source(f"enriched.tsv -o store --format snowplow {PRODUCT}", report={"other_event_rows": 100})
def write_snowplow() -> None:
    text = ""
    for click in CLICKS:
        kinds = [("page_view", click.page)]
        if click is SESSIONS[CLICKS.index(click) // 4][0]:
            kinds += [("page_view", "/start"), ("page_ping", click.page)]
        for kind, path in kinds:
            fields = [""] * 131
            fields[3], fields[5], fields[15] = f"{click.time:%Y-%m-%d %H:%M:%S}.000", kind, "u"
            fields[15], fields[35] = f"u{click.user}", path
            fields[123] = f"s{click.session}"
            text += "\t".join(fields) + "\n"
    write("enriched.tsv", text)


@source(
    "matomo.json -o store --records actionDetails --session-column idVisit "
    "--item-column actionDetails.url --item-pattern '/product/([^/?]+)' "
    "--time-column actionDetails.timestamp --events action",
    report={"other_event_rows": 100},
)
def write_matomo() -> None:
    visits = [
        {
            "idVisit": str(session[0].session),
            "visitorId": f"v{session[0].user}",
            "actions": "4",
            "serverTimestamp": session[-1].seconds + 9,
            "serverDate": f"{session[0].time:%Y-%m-%d}",
            "actionDetails": [
                _action("action", "/start", session[0]),
                *(_action("action", click.page, click) for click in session),
                _action("search", "/product/none", session[-1]),
            ],
        }
        for session in SESSIONS
    ]
    write("matomo.json", json.dumps(visits))


def _action(kind: str, path: str, click: Click) -> dict[str, object]:
    url = f"https://shop.example{path}?from=mail"
    return {"type": kind, "url": url, "timestamp": click.seconds, "pageTitle": "A page"}


@source("kafka.jsonl -o store --time-column payload.timestamp")
def write_kafka() -> None:
    messages = (
        {"topic": "clicks", "partition": n % 3, "offset": n, "tstype": "create"}
        | {"ts": 1000 * click.seconds + 900_000, "key": None, "payload": json.dumps(click.row())}
        for n, click in enumerate(CLICKS)
    )
    write("kafka.jsonl", json_lines(messages))


@source("user-events.jsonl -o store --format gcp-retail", report={"other_event_rows": 50})
def write_retail() -> None:
    events = [("detail-page-view", click) for click in CLICKS]
    events += [("add-to-cart", session[-1]) for session in SESSIONS]
    objects = (
        {"eventType": name, "visitorId": f"v{c.user}", "eventTime": _iso(c)}
        | {"productDetails": [{"product": {"id": str(c.item)}, "quantity": 1}]}
        for name, c in events
    )
    write("user-events.jsonl", json_lines(objects))


@source("interactions.csv -o store --events view", report={"other_event_rows": 50})
def write_personalize() -> None:
    events = [("view", click) for click in CLICKS]
    events += [("purchase", session[-1]) for session in SESSIONS]
    rows = (
        {"USER_ID": f"u{c.user}", "ITEM_ID": c.item, "TIMESTAMP": c.seconds, "EVENT_TYPE": name}
        for name, c in events
    )
    write("interactions.csv", csv_text(rows))


@source(f"access.log -o store --format weblog {PRODUCT}", report={"other_event_rows": 600})
def write_access_log() -> None:
    def requests(click: Click) -> str:
        start = f"10.0.0.{click.user} - - [{click.time:%d/%b/%Y:%H:%M:%S} +0000]"
        person, robot = '"-" "Mozilla/5.0 (X11) Firefox/125.0"', '"-" "Googlebot/2.1"'
        return "\n".join(
            [
                f'{start} "GET {click.page}?from=mail HTTP/1.1" 200 5120 {person}',
                f'{start} "GET /logo.png HTTP/1.1" 200 512 {person}',
                f'{start} "GET /cart HTTP/1.1" 200 512 {person}',
                f'{start} "GET {click.page} HTTP/1.1" 200 5120 {robot}',
            ]
        )

    write("access.log", lines(requests))
