"""Layouts of published logs of shops and news sites."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nextclick.data.readers.columns import Columns
from nextclick.data.readers.formats.log_format import LogFormat
from nextclick.errors import SourceError

if TYPE_CHECKING:
    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.sources import LogSource

_TMALL_YEAR = 2014  # year of the days of Tmall, which are month and day


def _diginetica_times(source: LogSource, read: ReadOptions) -> LogSource:
    """Add the column `time`: the day `eventdate` plus `timeframe`, milliseconds in the session.

    With order="file", the time is the day alone and clicks of a day keep the order of the file, as
    in NARM and STAMP. The timeframe is clipped to the day, because the split is by day.

    Raises:
        SourceError: a column of the format is missing.
    """
    import polars as pl

    missing = {"sessionId", "itemId", "timeframe", "eventdate"} - set(source.columns)
    if missing:
        raise SourceError(
            f"{source.label}: no column {', '.join(sorted(missing))}; "
            "expected train-item-views.csv of Diginetica"
        )
    day = pl.col("eventdate").str.to_datetime("%Y-%m-%d", time_unit="ms", strict=False)
    time = day.to_physical()
    if read.order == "time":
        time = time + pl.col("timeframe").cast(pl.Int64, strict=False).clip(0, 86_399_999)
    return source.with_column("time", pl.Int64(), ("eventdate", "timeframe"), time)


def _otto_events(source: LogSource, read: ReadOptions) -> LogSource:
    """Name the fields of the events as the columns of a table; a table has types 0, 1 and 2."""
    import polars as pl

    del read
    source = source.rename({f"events.{name}": name for name in ("aid", "ts", "type")})
    lists = [n for n in ("aid", "ts", "type") if isinstance(source.types.get(n), pl.List)]
    if lists:  # a table with one session per row
        source = source.explode(lists)
    if "type" not in source.types:
        return source
    names = {"0": "clicks", "1": "carts", "2": "orders"}
    event_type = pl.col("type").cast(pl.String).replace(names)
    return source.with_column("type", pl.String(), ("type",), event_type)


def _tmall_days(source: LogSource, read: ReadOptions) -> LogSource:
    """Add the column `day` of `time_stamp`, which is month and day: 829 is the 29th of August."""
    import polars as pl

    del read
    day = pl.lit(str(_TMALL_YEAR)) + pl.col("time_stamp").cast(pl.String).str.zfill(4)
    date = day.str.to_date("%Y%m%d", strict=False)
    return source.with_column("day", pl.Date(), ("time_stamp",), date)


def _amazon_items(source: LogSource, read: ReadOptions) -> LogSource:
    """Return one row per item of `prev_items`, followed by `next_item` where the file has it."""
    import polars as pl

    from nextclick.data.readers.list_cells import explode_cells

    del read
    names = [name for name in ("prev_items", "next_item") if name in source.types]
    items = pl.concat_str(
        [pl.col(name).cast(pl.String) for name in names], separator=" ", ignore_nulls=True
    )
    return explode_cells(source.with_column("item", pl.String(), names, items), ("item",))


_USER_BEHAVIOR = LogFormat(
    name="taobao",
    summary="Tianchi/Taobao UserBehavior.csv, no header, event type pv",
    names=("user", "item", "category", "behavior", "time"),
    separator=",",
    columns=Columns(user="user", item="item", time="time", event="behavior"),
    unit="s",
    events=("pv",),
)

SHOP_LOGS = (
    LogFormat(
        name="yoochoose",
        summary="RecSys Challenge 2015, yoochoose-clicks.dat, no header",
        prefix="yoochoose-clicks",
        separator=",",
        names=("session", "time", "item", "category"),
        columns=Columns(session="session", item="item", time="time"),
        unit="iso",
    ),
    LogFormat(
        name="diginetica",
        summary="CIKM Cup 2016, train-item-views.csv, day and timeframe",
        prefix="train-item-views",
        separator=";",
        columns=Columns(session="sessionId", user="userId", item="itemId", time="time"),
        unit="ms",
        transform=_diginetica_times,
    ),
    LogFormat(
        name="retailrocket",
        summary="Retailrocket events.csv, event type view",
        prefix="events",
        separator=",",
        columns=Columns(user="visitorid", item="itemid", time="timestamp", event="event"),
        unit="ms",
        events=("view",),
    ),
    _USER_BEHAVIOR,
    replace(_USER_BEHAVIOR, name="tianchi"),
    LogFormat(
        name="otto",
        summary="OTTO, one session per JSON line or one event per row, event type clicks",
        columns=Columns(session="session", item="aid", time="ts", event="type"),
        json_records="events",
        events=("clicks",),
        transform=_otto_events,
    ),
    LogFormat(
        name="rees46",
        summary="REES46 eCommerce behavior (Kaggle), event type view",
        columns=Columns(
            session="user_session",
            user="user_id",
            item="product_id",
            time="event_time",
            event="event_type",
        ),
        events=("view",),
    ),
    LogFormat(
        name="coveo",
        summary="SIGIR eCom 2021, browsing_train.csv, product action detail",
        prefix="browsing_",
        columns=Columns(
            session="session_id_hash",
            item="product_sku_hash",
            time="server_timestamp_epoch_ms",
            event="product_action",
        ),
        unit="ms",
        events=("detail",),
    ),
    LogFormat(
        name="tmall",
        summary="Tmall (IJCAI-15), user_log_format1.csv, days, action type 0",
        prefix="user_log",
        columns=Columns(user="user_id", item="item_id", time="day", event="action_type"),
        events=("0",),
        transform=_tmall_days,
    ),
    LogFormat(
        name="amazon-m2",
        summary="KDD Cup 2023, sessions_train.csv, lists of items without times",
        prefix="sessions_train",
        quote='"',  # a long list has line breaks
        columns=Columns(session="row", item="item"),
        has_times=False,
        transform=_amazon_items,
    ),
    LogFormat(
        name="globo",
        summary="Globo.com, a folder of hourly CSV files",
        prefix="clicks",
        separator=",",
        columns=Columns(
            session="session_id",
            user="user_id",
            item="click_article_id",
            time="click_timestamp",
        ),
        unit="ms",
    ),
)
