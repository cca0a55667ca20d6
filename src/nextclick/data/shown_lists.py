"""The lists of an event log with the clicks on them.

A record of an event log is a click and the list shown after it. A click belongs to the list that
was shown last before it in its session, if it came within a limit of time. It is a click on that
list if the list has the item. Lists of requests without a live session cannot be followed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ClickCounts:
    """How the records of an event log were used.

    Attributes:
        sessions: live sessions.
        lists: lists shown in them.
        clicks: clicks in them.
        clicks_after_list: clicks that belong to a list.
        clicks_on_list: those on an item of the list.
        clicks_before_list: clicks without a list before them, such as the first of a session.
        late_clicks: clicks after the limit of time.
        lists_without_session: lists of requests without a live session, which are not measured.
        sessions_in_several_arms: sessions of an A/B test that changed their version because their
            visitor became known; they count for the first.
    """

    sessions: int
    lists: int
    clicks: int
    clicks_after_list: int
    clicks_on_list: int
    clicks_before_list: int
    late_clicks: int
    lists_without_session: int
    sessions_in_several_arms: int

    def to_json(self) -> dict[str, int]:
        """All counts by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class ShownLists:
    """The lists of live sessions.

    Attributes:
        lists: a row for each list: `list` (number), `session` (number in 0..S − 1), `model`,
            `version`, `day` (date), `arm` and `unit` (the version of an A/B test that the session
            is assigned to, and the visitor or session that was assigned; null without a test),
            `clicks` (clicks that belong to the list), `hits` (those on its items), `clicked`
            (whether there is one), `reciprocal_rank` (1 / position of the first; 0 without).
        positions: a row for each item of a list: `list`, `session`, `position` (from 1),
            `propensity`, `clicked`.
        counts: how the records were used.
    """

    lists: pl.DataFrame
    positions: pl.DataFrame
    counts: ClickCounts


def shown_lists(events: pl.DataFrame, *, within_ms: int, timezone: str = "UTC") -> ShownLists:
    """Join the lists of an event log with the clicks on them.

    Args:
        events: the events of `read_online_events`.
        within_ms: the longest time from a list to a click on it, in milliseconds.
        timezone: time zone of the days.
    """
    live = _live_events(events, within_ms)
    lists = live.filter(pl.col("items").list.len() > 0)
    shown = lists.select(
        pl.col("row").alias("list"), "session", "items", "propensity"
    ).with_columns(
        propensity=pl.coalesce(
            "propensity", pl.col("items").list.eval(pl.element().is_null().cast(pl.Float64) + 1)
        )
    )
    shown = shown.explode("items", "propensity").with_columns(
        position=pl.int_range(pl.len()).over("list") + 1
    )
    followed = live.filter(pl.col("belongs")).select(
        "row", "item", pl.col("list_before").alias("list")
    )
    hits = (
        followed.join(shown, left_on=["list", "item"], right_on=["list", "items"])
        .group_by("row")
        .agg(pl.col("list").first(), pl.col("position").min())
        .sort("row")
    )
    clicked = hits.select("list", "position").unique().with_columns(clicked=pl.lit(True))
    positions = shown.join(clicked, on=["list", "position"], how="left").with_columns(
        pl.col("clicked").fill_null(value=False)
    )
    by_list = {
        "clicks": followed.group_by("list").agg(pl.len().alias("clicks")),
        "hits": hits.group_by("list").agg(
            pl.len().alias("hits"), (1 / pl.col("position").first()).alias("reciprocal_rank")
        ),
    }
    return ShownLists(
        _with_clicks(lists, by_list, timezone),
        positions.select("list", "session", "position", "propensity", "clicked"),
        _count(events, live, len(hits)),
    )


def _live_events(events: pl.DataFrame, within_ms: int) -> pl.DataFrame:
    """The events of live sessions in order, each with the row of the last list before it."""
    live = events.filter(pl.col("session").is_not_null()).sort("session", "moment", "order")
    live = live.with_row_index("row").with_columns(
        pl.col("row").cast(pl.Int64), session=pl.col("session").rle_id().cast(pl.Int64),
        own_session=pl.col("session"),
    )  # fmt: skip
    is_list = pl.col("items").list.len() > 0
    live = live.with_columns(
        list_before=pl.when(is_list).then("row").shift(1).forward_fill().over("session"),
        shown_before=pl.when(is_list).then("moment").shift(1).forward_fill().over("session"),
    )
    in_time = pl.col("moment") - pl.col("shown_before") <= within_ms
    unit = pl.coalesce(pl.lit("user ") + pl.col("user"), pl.lit("session ") + pl.col("own_session"))
    assigned = pl.when(pl.col("arm").is_not_null())
    return live.with_columns(
        belongs=pl.col("item").is_not_null() & in_time.fill_null(value=False),
        n_arms=pl.col("arm").drop_nulls().n_unique().over("session"),
        unit=assigned.then(unit).drop_nulls().first().over("session"),
        arm=pl.col("arm").drop_nulls().first().over("session"),
    )


def _with_clicks(
    lists: pl.DataFrame, by_list: Mapping[str, pl.DataFrame], timezone: str
) -> pl.DataFrame:
    lists = lists.select(
        pl.col("row").alias("list"), "session", "model", "version", "arm", "unit",
        pl.from_epoch("moment", time_unit="ms").dt.replace_time_zone("UTC")
        .dt.convert_time_zone(timezone).dt.date().alias("day"),
    )  # fmt: skip
    for values in by_list.values():
        lists = lists.join(values, on="list", how="left", maintain_order="left")
    return lists.with_columns(
        pl.col("clicks", "hits").fill_null(0).cast(pl.Int64),
        pl.col("reciprocal_rank").fill_null(0.0),
        clicked=pl.col("hits").is_not_null(),
    )


def _count(events: pl.DataFrame, live: pl.DataFrame, n_hits: int) -> ClickCounts:
    is_click, has_list = pl.col("item").is_not_null(), pl.col("list_before").is_not_null()
    clicks = live.filter(is_click)
    after = int(clicks["belongs"].sum())
    before = len(clicks.filter(~has_list))
    return ClickCounts(
        sessions=live["session"].n_unique(),
        lists=int((live["items"].list.len() > 0).sum()),
        clicks=len(clicks),
        clicks_after_list=after,
        clicks_on_list=n_hits,
        clicks_before_list=before,
        late_clicks=len(clicks) - before - after,
        lists_without_session=len(
            events.filter(pl.col("session").is_null(), pl.col("items").list.len() > 0)
        ),
        sessions_in_several_arms=live.filter(pl.col("n_arms") > 1)["session"].n_unique(),
    )
