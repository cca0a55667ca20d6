"""The made-up log in the layouts of published datasets."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

from made_up_log import CLICKS, SESSIONS, Click, csv_text, json_lines, lines, source, write


@source("yoochoose-clicks.dat -o store --format yoochoose", users=0)
def write_yoochoose() -> None:
    iso = "%Y-%m-%dT%H:%M:%S.000Z"
    write("yoochoose-clicks.dat", lines(lambda c: f"{c.session},{c.time:{iso}},{c.item},0"))


@source("train-item-views.csv -o store --format diginetica")
def write_diginetica() -> None:
    rows = (
        {"sessionId": c.session, "userId": c.user, "itemId": c.item}
        | {"timeframe": 1000 * (c.seconds % 86_400), "eventdate": f"{c.time:%Y-%m-%d}"}
        for c in CLICKS
    )
    write("train-item-views.csv", csv_text(rows, ";"))


@source("events.csv -o store --format retailrocket", report={"other_event_rows": 50})
def write_retailrocket() -> None:
    events = [("view", click) for click in CLICKS]
    events += [("transaction", session[-1]) for session in SESSIONS]
    rows = (
        {"timestamp": 1000 * c.seconds, "visitorid": c.user, "event": name, "itemid": c.item}
        | {"transactionid": ""}
        for name, c in events
    )
    write("events.csv", csv_text(rows))


@source("UserBehavior.csv -o store --format taobao", report={"other_event_rows": 50})
def write_taobao() -> None:
    text = lines(lambda c: f"{c.user},{c.item},5,pv,{c.seconds}")
    buys = (f"{s[-1].user},{s[-1].item},5,buy,{s[-1].seconds}\n" for s in SESSIONS)
    write("UserBehavior.csv", text + "".join(buys))


@source(
    "user_log_format1.csv -o store --format tmall",
    first_time="2014-03-01T00:00:00.000+00:00",
)
def write_tmall() -> None:
    rows = (
        {"user_id": c.user, "item_id": c.item, "cat_id": 1, "seller_id": 2, "brand_id": 3}
        | {"time_stamp": f"{c.time:%m%d}", "action_type": 0}
        for c in CLICKS
    )
    write("user_log_format1.csv", csv_text(rows))


@source("otto-recsys-train.jsonl -o store --format otto", users=0, report={"other_event_rows": 50})
def write_otto() -> None:
    def event(kind: str, click: Click) -> dict[str, object]:
        return {"aid": click.item, "ts": 1000 * click.seconds, "type": kind}

    sessions = (
        {"session": s[0].session}
        | {"events": [*(event("clicks", click) for click in s), event("orders", s[-1])]}
        for s in SESSIONS
    )
    write("otto-recsys-train.jsonl", json_lines(sessions))


@source("2019-Oct.csv.gz -o store --format rees46", report={"other_event_rows": 50})
def write_rees46() -> None:
    events = [("view", click) for click in CLICKS]
    events += [("purchase", session[-1]) for session in SESSIONS]
    rows = (
        {"event_time": f"{c.time:%Y-%m-%d %H:%M:%S} UTC", "event_type": name}
        | {"product_id": c.item, "category_id": 2, "price": 1.5, "user_id": c.user}
        | {"user_session": f"{c.session}-aa"}
        for name, c in events
    )
    write("2019-Oct.csv.gz", gzip.compress(csv_text(rows).encode()))


@source("browsing_train.csv -o store --format coveo", users=0, report={"other_event_rows": 50})
def write_coveo() -> None:
    events = [("detail", click) for click in CLICKS]
    events += [("", session[-1]) for session in SESSIONS]
    rows = (
        {"session_id_hash": f"h{c.session}", "event_type": "event_product"}
        | {"product_action": name, "product_sku_hash": c.item}
        | {"server_timestamp_epoch_ms": 1000 * c.seconds, "hashed_url": "x"}
        for name, c in events
    )
    write("browsing_train.csv", csv_text(rows))


@source("sessions_train.csv -o store --format amazon-m2", users=0, first_time=None)
def write_amazon_m2() -> None:
    rows = (
        {"prev_items": "[" + " ".join(f"'{c.item}'" for c in session[:-1]) + "]"}
        | {"next_item": session[-1].item, "locale": "DE"}
        for session in SESSIONS
    )
    write("sessions_train.csv", csv_text(rows))


@source("steam_reviews.json.gz -o store", first_time="2024-03-01T00:00:00.000+00:00")
def write_steam() -> None:
    reviews = (
        {"username": f"u{c.user}", "product_id": str(c.item), "date": f"{c.time:%Y-%m-%d}"}
        | {"hours": 0.5, "early_access": False, "text": 'it\'s "ok"'}
        for c in CLICKS
    )
    text = "".join(f"{review!r}\n" for review in reviews)
    write("steam_reviews.json.gz", gzip.compress(text.encode()))


@source("clicks/ -o store --format globo")
def write_globo() -> None:
    for day in range(1, 6):
        rows = (
            {"user_id": c.user, "session_id": c.session, "session_start": 1, "session_size": 4}
            | {"click_article_id": c.item, "click_timestamp": 1000 * c.seconds}
            for c in CLICKS
            if c.visit == day
        )
        write(f"clicks/clicks_hour_00{day}.csv", csv_text(rows))


@source("behaviors.tsv -o store --format mind")
def write_mind() -> None:
    def impression(c: Click) -> str:
        time = f"{c.time:%m/%d/%Y %I:%M:%S %p}"
        return f"{c.session}\tU{c.user}\t{time}\t9 8\t9-0 {c.item}-1 8-0"

    write("behaviors.tsv", lines(impression))


@source("ratings.dat -o store --format movielens")
def write_movielens() -> None:
    write("ratings.dat", lines(lambda c: f"{c.user}::{c.item}::5::{c.seconds}"))


@source("userid-timestamp.tsv -o store --format lastfm-1k")
def write_lastfm() -> None:
    iso = "%Y-%m-%dT%H:%M:%SZ"
    rest = '"Weird Al"'
    write(
        "userid-timestamp.tsv",
        lines(lambda c: f'user_{c.user}\t{c.time:{iso}}\ta1\t{rest}\t{c.item}\t12" mix'),
    )


@source("sessions.idomaar -o store --format 30music")
def write_30music() -> None:
    def line(session: list[Click]) -> str:
        start = session[0].seconds
        tracks = [{"type": "track", "id": c.item, "playstart": c.seconds - start} for c in session]
        entities = {"subjects": [{"type": "user", "id": session[0].user}], "objects": tracks}
        fields = ["event.session", session[0].session, start]
        return "\t".join(map(str, fields)) + f'\t{{"numtracks": 4}} {json.dumps(entities)}\n'

    write("sessions.idomaar", "".join(map(line, SESSIONS)))


@source("aotm2011_playlists.json -o store --format aotm")
def write_aotm() -> None:
    playlists = [
        {"mix_id": s[0].session, "timestamp": f"{s[0].time:%Y-%m-%dT%H:%M:%S}"}
        | {"user": {"name": f"u{s[0].user}"}}
        | {"playlist": [[["artist", "title"], c.item] for c in s] + [[["new", "new"], None]]}
        for s in SESSIONS
    ]
    write("aotm2011_playlists.json", json.dumps(playlists))


@source("loc-gowalla_totalCheckins.txt -o store --format gowalla")
def write_gowalla() -> None:
    iso = "%Y-%m-%dT%H:%M:%SZ"
    text = lines(lambda c: f"{c.user}\t{c.time:{iso}}\t30.2\t-97.7\t{c.item}")
    write("loc-gowalla_totalCheckins.txt", text)


@source("dataset_TSMC2014_NYC.txt -o store --format foursquare")
def write_foursquare() -> None:
    def line(c: Click) -> str:
        time = f"{c.time:%a %b %d %H:%M:%S +0000 %Y}"
        return f"{c.user}\t{c.item}\t4bf\tCafé\t40.7\t-74.0\t-240\t{time}"

    write("dataset_TSMC2014_NYC.txt", lines(line))


@source("ml.inter -o store --format recbole")
def write_recbole() -> None:
    rows = (
        {"user_id:token": c.user, "item_id:token": c.item, "timestamp:float": f"{c.seconds}.0"}
        for c in CLICKS
    )
    write("ml.inter", csv_text(rows, "\t"))


@source("srgnn/ -o store --format srgnn", users=0, first_time=None)
def write_srgnn() -> None:
    items = [[click.item for click in session] for session in SESSIONS]
    train, test = items[:40], items[40:]
    ends = [(session, end) for session in test for end in range(len(session) - 1, 0, -1)]
    pairs = [session[:end] for session, end in ends], [session[end] for session, end in ends]
    Path("srgnn").mkdir()
    write("srgnn/all_train_seq.txt", pickle.dumps(train))
    write("srgnn/test.txt", pickle.dumps(pairs))
