"""Layouts of the exports of web analytics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.data.readers.columns import Columns
from nextclick.data.readers.formats.log_format import LogFormat

if TYPE_CHECKING:
    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.sources import LogSource

# the value may be the text or the number of BigQuery, an integer or a text
_GA_SESSION = r'"key":\s*"ga_session_id",\s*"value":\s*\{[^}]*?"(?:int|string)_value":\s*"?(\d+)'
# positions of the fields of an enriched event, from 0
_SNOWPLOW_FIELDS = {
    3: "collector_tstamp",
    5: "event",
    12: "user_id",
    15: "domain_userid",
    29: "page_url",
    35: "page_urlpath",
    123: "domain_sessionid",
}


def _ga4_sessions(source: LogSource, read: ReadOptions) -> LogSource:
    """Add the column `session`: the visitor and the parameter `ga_session_id`.

    The parameters are a list of structs in a table, and a list of JSON objects in a JSON file.
    """
    import polars as pl

    del read
    if not {"event_params", "user_pseudo_id", "items.item_id"} <= set(source.types):
        return source
    parameters = pl.col("event_params")
    if source.types["event_params"] == pl.List(pl.String):
        key = parameters.list.join(" ").str.extract(_GA_SESSION)
    else:
        is_session = pl.element().struct.field("key") == "ga_session_id"
        value = pl.element().filter(is_session).struct.field("value").struct.field("int_value")
        key = parameters.list.eval(value).list.first().cast(pl.String)
    session = pl.concat_str(pl.col("user_pseudo_id").cast(pl.String), key, separator=".")
    return source.with_column("session", pl.String(), ("event_params", "user_pseudo_id"), session)


EXPORTS = (
    LogFormat(
        name="ga4",
        summary="Google Analytics 4, BigQuery export as JSON or Parquet, event view_item",
        columns=Columns(
            session="session",
            user="user_pseudo_id",
            item="items.item_id",
            time="event_timestamp",
            event="event_name",
        ),
        json_records="items",
        unit="us",
        events=("view_item",),
        transform=_ga4_sessions,
    ),
    LogFormat(
        name="gcp-retail",
        summary="user events of Vertex AI Search for commerce, event detail-page-view",
        columns=Columns(
            user="visitorId",
            item="productDetails.product.id",
            time="eventTime",
            event="eventType",
        ),
        json_records="productDetails",
        events=("detail-page-view",),
    ),
    LogFormat(
        name="segment",
        summary="Segment track calls as JSON, event Product Viewed",
        columns=Columns(
            user="anonymousId", item="properties.product_id", time="timestamp", event="event"
        ),
        events=("Product Viewed",),
    ),
    LogFormat(
        name="snowplow",
        summary="Snowplow enriched events as TSV, event page_view",
        separator="\t",
        names=tuple(_SNOWPLOW_FIELDS.get(number, "_") for number in range(131)),
        quote="none",
        columns=Columns(
            session="domain_sessionid",
            user="domain_userid",
            item="page_urlpath",
            time="collector_tstamp",
            event="event",
        ),
        events=("page_view",),
    ),
)
