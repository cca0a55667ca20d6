"""A small log with a pattern, its store, and a model of each kind: for tests of what uses them."""

import polars as pl

from nextclick import PrepareOptions, prepare
from nextclick.data.options import FilterOptions, SplitOptions, StoreOptions

START = 1_500_000_000
# on the round 10 → 20 → 30 → 40 → 10; 50 stands alone with 10
SESSIONS = [[10, 20, 30], [20, 30, 40], [30, 40, 10], [40, 10, 20], [10, 50], [10, 20]] * 5


def frame_of(sessions, name=int):
    rows = [
        (s, name(item), START + s * 3600 + n * 20)
        for s, session in enumerate(sessions)
        for n, item in enumerate(session)
    ]
    return pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])


def make_store(folder, sessions=SESSIONS, name=int, shard_clicks=10**9, **split):
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        store=StoreOptions(shard_clicks=shard_clicks),
        split=SplitOptions(kind="fraction", **{"fraction": 0.2, "valid_fraction": 0.2} | split),
    )
    return prepare(frame_of(sessions, name), folder, options=options).store


def make_user_store(folder):
    """Sessions of the users 10, 11 and 12, one each hour in turn."""
    frame = frame_of(SESSIONS)
    frame = frame.with_columns(user=10 + frame["session"] % 3)
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="fraction")
    )
    return prepare(frame, folder, options=options).store
