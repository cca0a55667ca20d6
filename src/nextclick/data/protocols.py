"""Protocols by name: the filters, the split and the published counts of a paper."""

from __future__ import annotations

from dataclasses import dataclass, field

from nextclick.data.options import (
    FilterOptions,
    PrepareOptions,
    ReadOptions,
    SessionOptions,
    SplitOptions,
)
from nextclick.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class Protocol:
    """The preparation of the logs of a paper.

    Attributes:
        name: value of `--protocol`.
        summary: description for help texts, with the choices that the paper leaves open.
        options: the options of `prepare`.
        published: counts that the paper publishes for its logs, to compare with the report.
    """

    name: str
    summary: str
    options: PrepareOptions
    published: dict[str, str] = field(default_factory=dict)


_ONE_PASS = FilterOptions(min_item_support=5, min_session_length=2, iterate=False, filter_on="all")

PROTOCOLS: dict[str, Protocol] = {
    preset.name: preset
    for preset in (
        Protocol(
            name="sr-gnn-yoochoose",
            summary="items ≥ 5, sessions ≥ 2, one pass; test: the last day to the second; "
            "training: the most recent 1/64 of the samples (--recent 4 for 1/4)",
            options=PrepareOptions(
                read=ReadOptions(format="yoochoose"),
                filters=_ONE_PASS,
                split=SplitOptions(kind="last-days", days=1, drop_edge=True, recent=64),
            ),
            published={
                "Yoochoose 1/64": "369,859 training samples, 55,898 test samples, 16,766 items",
                "Yoochoose 1/4": "5,917,745 training samples, 55,898 test samples, 29,618 items",
            },
        ),
        Protocol(
            name="sr-gnn-diginetica",
            summary="items ≥ 5, sessions ≥ 2, one pass; test: the last 7 days; the day before "
            "them is dropped",
            options=PrepareOptions(
                read=ReadOptions(format="diginetica"),
                filters=_ONE_PASS,
                split=SplitOptions(kind="last-days", days=7, whole_days=True, drop_edge=True),
            ),
            published={"Diginetica": "719,470 training samples, 60,858 test samples, 43,097 items"},
        ),
        Protocol(
            name="asars",
            summary="sessions end after 1 hour, items ≥ 10, sessions ≥ 2, users ≥ 10 sessions, "
            "test users and items in training; test: the last 10 % of the sessions, since the "
            "paper does not define it. Recsys15 and OURS: --min-item-support 20, OURS also "
            "--min-user-sessions 20",
            options=PrepareOptions(
                sessions=SessionOptions(by="auto", gap_seconds=3600),
                filters=FilterOptions(min_item_support=10, min_user_sessions=10, filter_on="all"),
                split=SplitOptions(
                    kind="fraction", fraction=0.1, unseen="drop", unseen_users="drop"
                ),
            ),
            published={
                "MovieLens": "53,309 events, 237 users, 1,395 items, 3,609 sessions",
                "Recsys15": "17,920,066 events, 23,459 items, 4,247,567 sessions",
                "Tianchi": "6,921,446 events, 12,332 users, 31,893 items, 93,287 sessions",
                "OURS": "254,398 events, 3,035 users, 1,173 items, 45,878 sessions",
            },
        ),
        Protocol(
            name="tasrec",
            summary="items ≥ 5, sessions ≥ 2; blocks of --block-days (the paper: 4, 10 or 3); "
            "training: the first 5/6 of the blocks; validation: the last 20 % of the training "
            "sessions",
            options=PrepareOptions(
                sessions=SessionOptions(block_days=1.0),
                filters=FilterOptions(min_item_support=5, filter_on="all"),
                split=SplitOptions(kind="blocks", fraction=1 / 6, valid_fraction=0.2),
            ),
            published={"blocks": "30 (Diginetica), 36 (Aotm), 46 (Retailrocket)"},
        ),
    )
}


def protocol(name: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        ConfigError: no such protocol.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"there is no protocol {name!r}: {nearest(name, PROTOCOLS)}")
    return PROTOCOLS[name]
