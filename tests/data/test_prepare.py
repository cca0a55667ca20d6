"""`prepare` end to end: hand-worked counts, all kinds of sources, a reference in plain Python."""

import datetime as dt
import gzip
import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick import PrepareOptions, Store, prepare
from nextclick.data.options import FilterOptions, ReadOptions, SessionOptions, SplitOptions
from nextclick.data.readers.columns import Columns
from nextclick.errors import ConfigError, EmptyLogError, OutputError, SourceError, StoreError

T0 = 1_500_000_000  # 2017-07-14T02:40:00Z
DAY = 86_400

# session, item, seconds after T0; sessions 1-3 on the first day, 4 and 5 two days later
LOG = [
    (1, 30, 0),
    (1, 10, 60),
    (1, 20, 90),
    (2, 20, 100),
    (2, 10, 130),
    (3, 10, 200),
    (3, 30, 260),
    (3, 10, 300),
    (4, 10, 2 * DAY),
    (4, 99, 2 * DAY + 10),
    (4, 20, 2 * DAY + 30),
    (5, 99, 2 * DAY + 50),
    (5, 10, 2 * DAY + 70),
]
KEEP_ALL = FilterOptions(min_item_support=1)


def csv_of(rows, header="session_id,item_id,timestamp", separator=","):
    lines = [header.replace(",", separator)]
    lines += [separator.join(map(str, row)) for row in rows]
    return "\n".join(lines) + "\n"


def seconds(rows):
    return [(s, i, T0 + t) for s, i, t in rows]


def options(**groups):
    return PrepareOptions(**({"filters": KEEP_ALL, "split": SplitOptions(days=1)} | groups))


def sessions_of(store, part):
    sessions = store.part(part)
    return [
        [store.items.raw(int(i)) if i else None for i in sessions.session(s)]
        for s in range(len(sessions))
    ]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(csv_of(seconds(LOG)))
    return path


def test_sessions_by_id(log, tmp_path):
    result = prepare(log, tmp_path / "store", options=options())
    store = result.store
    # the last click is at 2 days + 70 s, so the test begins at 1 day + 70 s
    assert sessions_of(store, "train") == [[30, 10, 20], [20, 10], [10, 30, 10]]
    # item 99 is unseen in training: session 4 loses a click, session 5 falls below two
    assert sessions_of(store, "test") == [[10, 20]]
    assert [store.items.raw(i) for i in (1, 2, 3)] == [10, 20, 30]
    assert len(store.items) == 3
    assert store.protocol["boundary_ms"] == (T0 + DAY + 70) * 1000
    assert store.manifest["counts"]["train"] == {
        "events": 8,
        "sessions": 3,
        "prefixes": 5,
        "users": 0,
        "items": 3,
    }
    assert store.manifest["counts"]["test"]["events"] == 2
    assert store.manifest["unseen_test"] == {
        "clicks_dropped": 2,
        "clicks_kept_as_unseen": 0,
        "sessions_dropped": 1,
    }
    assert store.part("train").times.tolist()[:2] == [T0 * 1000, (T0 + 60) * 1000]
    assert store.part("train").gaps().tolist() == [0, 60, 30, 0, 30, 0, 60, 40]
    assert store.part("train").blocks.tolist() == [0, 0, 0]
    assert store.part("test").blocks.tolist() == [2]
    assert store.part("train").users is None
    assert result.report["rows"] == 13
    assert result.report["times"] == "seconds (inferred)"
    assert result.report["steps"][0] == {
        "name": "read",
        "events": 13,
        "sessions": 5,
        "users": 0,
        "items": 4,
    }


def test_unseen_items_are_kept_as_misses_on_request(log, tmp_path):
    split = SplitOptions(days=1, unseen="miss")
    store = prepare(log, tmp_path / "store", options=options(split=split)).store
    assert sessions_of(store, "test") == [[10, None, 20], [None, 10]]
    assert store.manifest["unseen_test"]["clicks_kept_as_unseen"] == 2


def test_items_missing_only_in_the_recent_samples_stay_in_the_test(tmp_path):
    rows = [(1, 5, 0), (1, 6, 1), (2, 1, 10), (2, 2, 11), (2, 1, 12), (3, 5, 2 * DAY)]
    rows += [(3, 9, 2 * DAY + 1), (3, 1, 2 * DAY + 2)]
    frame = pl.DataFrame(seconds(rows), orient="row", schema=["session", "item", "time"])
    split = SplitOptions(days=1, recent=3)
    store = prepare(frame, tmp_path / "store", options=options(split=split)).store
    # one of three training samples is kept: the shortest prefix of session 2
    assert sessions_of(store, "train") == [[1, 2]]
    # 9 is not in training and is dropped; 5 is in training but not in the recent samples
    assert sessions_of(store, "test") == [[None, 1]]
    assert store.protocol["split"]["unseen"] != "drop"


def test_a_fraction_without_a_sample_is_rejected(log, tmp_path):
    message = "training has 5 samples, so the most recent 1/6 is empty; choose a smaller --recent"
    with pytest.raises(EmptyLogError, match=message):
        prepare(log, tmp_path / "store", options=options(split=SplitOptions(days=1, recent=6)))


def test_the_clicks_of_users_are_split_at_gaps(tmp_path):
    rows = [(7, 1, 0), (7, 2, 1800), (7, 1, 1800 + 3601), (7, 2, 1800 + 3601 + 3600), (8, 1, 5)]
    rows += [(8, 2, 6), (8, 1, 3 * DAY), (8, 2, 3 * DAY + 1), (9, 1, 3 * DAY), (9, 1, 3 * DAY + 9)]
    path = tmp_path / "log.csv"
    path.write_text(csv_of(seconds(rows), "user_id,item_id,timestamp"))
    store = prepare(path, tmp_path / "store", options=options()).store
    train, test = store.part("train"), store.part("test")
    assert sorted(zip(train.users.tolist(), sessions_of(store, "train"), strict=True)) == [
        (1, [1, 2]),
        (1, [1, 2]),
        (2, [1, 2]),
    ]
    # user 9 has no training session, so its index is 0
    assert test.users.tolist() == [2, 0]
    assert [store.users.raw(i) for i in (1, 2)] == [7, 8]
    assert (train.n_users, store.manifest["counts"]["test"]["users"]) == (2, 1)


def test_sessions_by_user_ignore_a_session_column(tmp_path):
    rows = [(1, 5, i, t) for i, t in ((1, 0), (2, 10), (1, 2 * DAY), (2, 2 * DAY + 1))]
    path = tmp_path / "log.csv"
    path.write_text(csv_of(rows, "session_id,user_id,item_id,timestamp"))
    by_user = options(sessions=SessionOptions(by="user"))
    assert len(prepare(path, tmp_path / "store", options=by_user).store.part("train")) == 1
    path.write_text(csv_of(seconds(LOG), "user_id,item_id,timestamp"))
    by_id = options(sessions=SessionOptions(by="id"))
    with pytest.raises(SourceError, match="no session column found among user_id, item_id"):
        prepare(path, tmp_path / "other", options=by_id)


def test_users_of_sessions_are_kept(tmp_path):
    path = tmp_path / "log.csv"
    users = {1: "ann", 2: "", 3: "bob", 4: "ann", 5: "cid"}
    rows = [(s, users[s], i, t) for s, i, t in seconds(LOG)]
    path.write_text(csv_of(rows, "session_id,user_id,item_id,timestamp"))
    result = prepare(
        path, tmp_path / "store", options=options(split=SplitOptions(days=1, unseen="miss"))
    )
    train, test = result.store.part("train"), result.store.part("test")
    assert train.users.tolist() == [1, 0, 2]
    assert test.users.tolist() == [1, 0]
    assert result.report["steps"][0]["users"] == 3


@pytest.mark.parametrize("empty", ["", '""', " "])
def test_a_log_with_empty_user_ids_has_no_users(tmp_path, empty):
    path = tmp_path / "log.csv"
    rows = [(s, empty, i, t) for s, i, t in seconds(LOG)]
    path.write_text(csv_of(rows, "session_id,user_id,item_id,timestamp"))
    store = prepare(path, tmp_path / "store", options=options()).store
    assert store.part("train").users.tolist() == [0, 0, 0]
    assert len(store.users) == 0


def test_an_empty_user_id_does_not_convert_integers_to_text(tmp_path):
    path = tmp_path / "log.csv"
    rows = [(s, '""' if s == 2 else s, i, t) for s, i, t in seconds(LOG)]
    path.write_text(csv_of(rows, "session_id,user_id,item_id,timestamp"))
    store = prepare(path, tmp_path / "store", options=options()).store
    assert not store.users.is_text
    assert store.part("train").users.tolist() == [1, 0, 2]


def test_a_pre_split_log(tmp_path):
    first, second = tmp_path / "train.csv", tmp_path / "test.csv"
    first.write_text(csv_of(seconds(LOG[:8])))
    # session ids are separate in each part: session 1 of the test is not session 1 of training
    second.write_text(csv_of([(s - 3, i, t) for s, i, t in seconds(LOG[8:])]))
    result = prepare(first, tmp_path / "store", test=second)
    assert sessions_of(result.store, "train") == [[30, 10, 20], [20, 10], [10, 30, 10]]
    assert sessions_of(result.store, "test") == [[10, None, 20], [None, 10]]
    assert result.store.protocol["boundary_ms"] is None
    assert result.report["read_parts"]["train"]["events"] == 8
    assert result.report["read_parts"]["test"] == {
        "events": 5,
        "sessions": 2,
        "users": 0,
        "items": 3,
    }


def test_one_pass_and_the_fixed_point_differ(tmp_path):
    # item 3 is rare; without it session 2 is too short, so item 2 loses a click
    rows = [(s, i, DAY * s + n) for s, n, i in ((0, 0, 1), (0, 1, 2), (1, 0, 1), (1, 1, 1))]
    rows += [(2, 3, 2 * DAY), (2, 2, 2 * DAY + 1), (3, 1, 3 * DAY), (3, 1, 3 * DAY + 1)]
    frame = pl.DataFrame(seconds(rows), orient="row", schema=["session", "item", "time"])
    split = SplitOptions(kind="fraction", fraction=0.3)
    filters = {"min_item_support": 2, "min_session_length": 2}
    one_pass, iterated = (
        prepare(
            frame,
            tmp_path / str(iterate),
            options=options(filters=FilterOptions(**filters, iterate=iterate), split=split),
        )
        for iterate in (False, True)
    )
    assert sessions_of(one_pass.store, "train") == [[1, 2], [1, 1]]
    assert sessions_of(iterated.store, "train") == [[1, 1]]
    assert "until nothing changes" in iterated.report["steps"][-1]["name"]


def test_validation_is_the_end_of_training(tmp_path):
    rows = [(s, 1 + (s + n) % 3, s * 100 + n) for s in range(20) for n in range(2)]
    frame = pl.DataFrame(seconds(rows), orient="row", schema=["session", "item", "time"])
    split = SplitOptions(kind="fraction", fraction=0.5, valid_fraction=0.3)
    store = prepare(frame, tmp_path / "store", options=options(split=split)).store
    parts = {name: sessions_of(store, name) for name in ("train", "train_inner", "valid", "test")}
    assert [len(part) for part in parts.values()] == [10, 7, 3, 10]
    assert parts["train_inner"] + parts["valid"] == parts["train"]
    assert store.part("train_inner").times.max() < store.part("valid").times.min()


def test_blocks_are_counted_from_the_first_midnight(tmp_path):
    midnight = T0 // DAY * DAY
    rows = [(s, n, midnight + h * 3600 + n) for s, h in ((1, 5), (2, 35), (3, 36)) for n in (0, 1)]
    frame = pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])
    split = SplitOptions(kind="fraction", fraction=0.3)
    half_days = options(sessions=SessionOptions(block_days=0.5), split=split)
    store = prepare(frame, tmp_path / "store", options=half_days).store
    assert (store.part("train").blocks.tolist(), store.part("test").blocks.tolist()) == (
        [0, 2],
        [3],
    )


def test_blocks_begin_at_an_hour_of_a_time_zone(tmp_path):
    midnight = T0 // DAY * DAY  # 2 o'clock in Berlin
    hours = (1.5, 2.5, 25.5, 26.5)  # 3:30 and 4:30 in Berlin, and the same on the next day
    rows = [(s, n, round(midnight + h * 3600) + n) for s, h in enumerate(hours) for n in (0, 1)]
    frame = pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])
    blocks = SessionOptions(block_timezone="Europe/Berlin", block_hour=4)
    split = SplitOptions(kind="fraction", fraction=0.25)
    store = prepare(frame, tmp_path / "store", options=options(sessions=blocks, split=split)).store
    found = [store.part(name).blocks.tolist() for name in ("train", "test")]
    assert found == [[0, 1, 1], [2]]
    assert store.protocol["block_timezone"] == "Europe/Berlin"
    assert store.protocol["block_origin_ms"] == 1000 * (midnight - DAY + 2 * 3600)
    with pytest.raises(ConfigError, match="block_timezone must be the name of an IANA time zone"):
        prepare(
            frame, tmp_path / "no", options=options(sessions=SessionOptions(block_timezone="X"))
        )


def test_each_window_is_a_store(tmp_path):
    rows = [(d, i, d * DAY + i) for d in range(6) for i in (1, 2)]
    frame = pl.DataFrame(seconds(rows), orient="row", schema=["session", "item", "time"])
    split = SplitOptions(kind="windows", windows=2, days=1, train_days=2)
    result = prepare(frame, tmp_path / "stores", options=options(split=split))
    assert [store.path.name for store in result.stores] == ["window-1", "window-2"]
    assert [len(store.part("train")) for store in result.stores] == [2, 2]
    assert result.store.path == result.stores[1].path
    with pytest.raises(StoreError, match="it contains window-1, window-2: use one of them"):
        Store.open(tmp_path / "stores")


# Every kind of source gives the same store ----------------------------------------------------


def datetime_of(ms):
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)


def equal_sources(folder):
    """Sources with the same clicks in different files and frames, by name."""
    rows = seconds(LOG)
    names = ["session_id", "item_id", "timestamp"]
    frame = pl.DataFrame(rows, orient="row", schema=names)
    datetimes = frame.with_columns(pl.from_epoch("timestamp", time_unit="s"))
    typed = frame.cast({"session_id": pl.Int32, "item_id": pl.UInt64})
    frame.write_parquet(folder / "plain.parquet")
    datetimes.write_parquet(folder / "datetimes.parquet")
    typed.write_parquet(folder / "typed.parquet")
    text = csv_of(rows)
    reordered = csv_of([(t, "x,y", i, s) for s, i, t in rows], "Time,junk,ItemId,SessionId")
    files = {
        "plain.csv": text,
        "bom.csv": "\ufeff" + text,
        "crlf.csv": text.replace("\n", "\r\n"),
        "blank.csv": text + "\n\n",
        "unended.csv": text[:-1],
        "tabs.tsv": text.replace(",", "\t"),
        "semicolons.csv": text.replace(",", ";"),
        "pipes.csv": text.replace(",", "|"),
        "quoted.csv": csv_of([(f'"{s}"', f'"{i}"', f'"{t}"') for s, i, t in rows]),
        "spaced.csv": csv_of([(f" {s} ", f" {i}", f"{t} ") for s, i, t in rows]),
        "reordered.csv": reordered.replace("x,y", '"x,y"'),
        "index.csv": csv_of([(n, *row) for n, row in enumerate(rows)], "," + ",".join(names)),
        "trailing.csv": csv_of([(*row, "", "") for row in rows], ",".join(names) + ",,"),
        "milliseconds.csv": csv_of([(s, i, t * 1000) for s, i, t in rows]),
        "decimals.csv": csv_of([(s, i, f"{t}.000") for s, i, t in rows]),
        "iso.csv": csv_of([(s, i, datetime_of(t * 1000).isoformat()) for s, i, t in rows]),
        "lines.jsonl": "".join(json.dumps(dict(zip(names, r, strict=True))) + "\n" for r in rows),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content.encode())
    (folder / "zipped.csv.gz").write_bytes(gzip.compress(text.encode()))
    half = len(rows) // 2
    pair = folder / "pair"
    pair.mkdir()
    (pair / "0.csv").write_text(csv_of(rows[:half]))
    (pair / "1.csv").write_text(csv_of([(t, s, i) for s, i, t in rows[half:]], "time,sid,sku"))
    (pair / "2.csv").write_text("session,item,time\n")  # no rows
    (pair / ".hidden.csv").write_text("nonsense")
    (pair / "notes.md").write_text("nonsense")
    pandas = frame.to_pandas() if _has_pyarrow() else pd.DataFrame(rows, columns=names)
    return {
        **{name: folder / name for name in files},
        "parquet": folder / "plain.parquet",
        "parquet with times": folder / "datetimes.parquet",
        "parquet with other integers": folder / "typed.parquet",
        "gzip": folder / "zipped.csv.gz",
        "folder": pair,
        "glob": str(folder / "pair" / "?.csv"),
        "files": [pair / "0.csv", str(pair / "1.csv")],
        "polars": frame,
        "polars lazy": datetimes.lazy(),
        "polars text": frame.cast(pl.String),
        "polars categories": frame.with_columns(
            pl.col("session_id").cast(pl.String).cast(pl.Categorical)
        ),
        "polars halves": [frame[:half], frame[half:]],
        "pandas": pandas,
        "pandas floats": pandas.astype({"item_id": "float64"}),
        "pandas nullable": pandas.astype({"item_id": "Int64"}),
        "pandas text": pandas.astype({"item_id": "string"}),
        "pandas categories": pandas.astype({"item_id": "category"}),
        "pandas times": pandas.assign(timestamp=pd.to_datetime(pandas.timestamp, unit="s")),
        "pandas times of a zone": pandas.assign(
            timestamp=pd.to_datetime(pandas.timestamp, unit="s", utc=True)
        ),
        "frame and file": [frame[:half], pair / "1.csv"],
    }


def _has_pyarrow():
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


def test_every_kind_of_source_gives_the_same_store(tmp_path):
    fingerprints = {
        name: prepare(sources, tmp_path / "stores" / str(n), options=options()).store.fingerprint
        for n, (name, sources) in enumerate(equal_sources(tmp_path).items())
    }
    assert len(fingerprints) > 30
    expected = fingerprints["plain.csv"]
    assert {name: f for name, f in fingerprints.items() if f != expected} == {}


def test_the_order_of_the_files_changes_only_ties(log, tmp_path):
    rows = seconds(LOG)
    text = {"a": csv_of(rows[:5]), "b": csv_of(rows[5:])}
    stores = []
    for order in ("ab", "ba"):
        for n, part in enumerate(order):
            (tmp_path / f"{n}.csv").write_text(text[part])
        sources = [tmp_path / "0.csv", tmp_path / "1.csv"]
        stores.append(prepare(sources, tmp_path / order, options=options()).store.fingerprint)
    assert (
        stores[0] == stores[1] == prepare(log, tmp_path / "o", options=options()).store.fingerprint
    )


@pytest.mark.parametrize(
    ("rename", "expected"),
    [
        (lambda i: i + 2**33, [2**33 + 10, 2**33 + 20, 2**33 + 30]),
        (lambda i: -i, [-30, -20, -10]),
        (lambda i: i + 2**64, [str(2**64 + n) for n in (10, 20, 30)]),
        (lambda i: f"crème brûlée {i}", [f"crème brûlée {n}" for n in (10, 20, 30)]),
        (lambda i: "x" * 5000 + str(i), ["x" * 5000 + str(n) for n in (10, 20, 30)]),
        (lambda i: f"00{i}", ["0010", "0020", "0030"]),
        (lambda i: i + 0.5, ["10.5", "20.5", "30.5"]),
        (lambda i: f'"a,{i}\nb"', [f"a,{n}\nb" for n in (10, 20, 30)]),
        (lambda i: f"日本{i}😀", [f"日本{n}😀" for n in (10, 20, 30)]),
    ],
)
def test_ids_of_any_shape(tmp_path, rename, expected):
    path = tmp_path / "log.csv"
    path.write_text(csv_of([(s, rename(i), t) for s, i, t in seconds(LOG)]), encoding="utf-8")
    store = prepare(path, tmp_path / "store", options=options()).store
    ids = [store.items.raw(i) for i in range(1, len(store.items) + 1)]
    assert ids == expected
    assert store.items.indices(ids).tolist() == [1, 2, 3]


def test_integers_above_63_bits_in_a_frame(tmp_path):
    frame = pl.DataFrame(seconds(LOG), orient="row", schema=["session", "item", "time"])
    large = frame.with_columns(pl.col("item").cast(pl.UInt64) + 2**63)
    store = prepare(large, tmp_path / "store", options=options()).store
    assert store.items.raw(1) == str(2**63 + 10)


@pytest.mark.parametrize("shift", [0, -T0 - 10 * DAY])
def test_equal_times_and_times_before_1970(tmp_path, shift):
    rows = [(s, i, (T0 + t // DAY * DAY) + shift) for s, i, t in LOG]
    frame = pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])
    store = prepare(frame, tmp_path / "store", options=options()).store
    assert sessions_of(store, "train") == [[30, 10, 20], [20, 10], [10, 30, 10]]


def test_a_requested_column_wins(tmp_path):
    path = tmp_path / "log.csv"
    rows = [(s, i, i + 1, t) for s, i, t in seconds(LOG)]
    path.write_text(csv_of(rows, "session_id,item_id,shelf,timestamp"))
    read = ReadOptions(columns=Columns(item="shelf"))
    store = prepare(path, tmp_path / "store", options=options(read=read)).store
    assert store.items.raw(1) == 11


# Leakage ----------------------------------------------------------------------------------------


clicks = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 6), st.integers(0, 6 * DAY)),
    min_size=4,
    max_size=60,
)


def frame_of(rows, first="session"):
    return pl.DataFrame(rows, orient="row", schema=dict.fromkeys((first, "item", "time"), pl.Int64))


def prepared(rows, folder, first="session", **groups):
    """The store of random rows, or None if a part is empty."""
    try:
        return prepare(
            frame_of(rows, first),
            folder / "store",
            options=options(read=ReadOptions(unit="s"), **groups),
            overwrite=True,
        ).store
    except EmptyLogError:
        return None


@settings(max_examples=15)
@given(clicks, st.sampled_from(["last-days", "fraction", "blocks"]))
def test_training_ends_before_the_boundary(tmp_path_factory, rows, kind):
    split = SplitOptions(kind=kind, fraction=0.3)
    store = prepared(rows, tmp_path_factory.getbasetemp(), split=split)
    if store is None:
        return
    train, test = store.part("train"), store.part("test")
    assert train.times.max() <= store.protocol["boundary_ms"]
    assert set(np.unique(train.items)) == set(range(1, len(store.items) + 1))
    assert test.items.min() >= 1
    assert test.items.max() <= len(store.items)
    assert (np.diff(train.times[train.offsets[1:] - 1]) >= 0).all()


@settings(max_examples=15)
@given(clicks, st.data())
def test_the_items_of_test_sessions_do_not_change_training(tmp_path_factory, rows, data):
    folder = tmp_path_factory.getbasetemp()
    boundary = dt.datetime.fromtimestamp(3 * DAY, dt.UTC).isoformat()
    split = SplitOptions(kind="boundary", boundary=boundary, unseen="miss")
    filters = FilterOptions(min_item_support=1, min_session_length=1)
    first = prepared(rows, folder, split=split, filters=filters)
    if first is None:
        return
    before = _bytes_of(first.path, ("train", "items"))
    ends = {s: max(t for r, _, t in rows if r == s) for s, _, _ in rows}
    changed = [
        (s, data.draw(st.integers(50, 60)), t) if ends[s] >= 3 * DAY else (s, i, t)
        for s, i, t in rows
    ]
    second = prepared(changed, folder, split=split, filters=filters)
    assert _bytes_of(second.path, ("train", "items")) == before


def _bytes_of(store, parts):
    return {
        path.relative_to(store): path.read_bytes()
        for part in parts
        for path in sorted((store / part).rglob("*.npy"))
    }


# A reference in plain Python ---------------------------------------------------------------------


def reference(rows, *, by_user, support, length, fraction, unseen, filter_on):
    """Sessions, filters, split and indices in plain Python; None if a part is empty."""
    groups = {}
    for group, item, second in rows:
        groups.setdefault(group, []).append((second, item))
    sessions = []
    for group in groups.values():
        clicks_of = sorted(group, key=lambda c: c[0])
        gaps = [
            n
            for n in range(1, len(clicks_of))
            if by_user and clicks_of[n][0] - clicks_of[n - 1][0] > 3600
        ]
        bounds = pairwise([0, *gaps, len(clicks_of)])
        sessions += [clicks_of[a:b] for a, b in bounds]
    ends = [s[-1][0] for s in sessions]
    if filter_on == "all":
        sessions = filtered_until_stable(sessions, support, length)
    sessions = [s if len(s) >= length else [] for s in sessions]
    order = sorted((n for n, s in enumerate(sessions) if s), key=lambda n: ends[n])
    if not order:
        return None
    # Python rounds halves to even, as the code does
    n_train = len(order) - max(1, round(fraction * len(order)))
    train = [sessions[n] for n in order[:n_train]]
    if filter_on == "train":
        train = [s for s in filtered_until_stable(train, support, length) if s]
    index = {raw: n for n, raw in enumerate(sorted({i for s in train for _, i in s}), start=1)}
    test = [[c for c in sessions[n] if unseen == "miss" or c[1] in index] for n in order[n_train:]]
    test = [s for s in test if len(s) >= max(2, length)]
    if not train or not test:
        return None
    return {
        name: [[(index.get(i, 0), t * 1000) for t, i in s] for s in part]
        for name, part in (("train", train), ("test", test))
    }


def filtered_until_stable(sessions, support, length):
    while True:
        counts = Counter(i for s in sessions for _, i in s)
        filtered = [[c for c in s if counts[c[1]] >= support] for s in sessions]
        filtered = [s if len(s) >= length else [] for s in filtered]
        if filtered == sessions:
            return sessions
        sessions = filtered


@settings(max_examples=15)
@given(
    clicks,
    st.booleans(),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([0.1, 0.3, 0.5]),
    st.sampled_from(["drop", "miss"]),
    st.sampled_from(["train", "all"]),
)
def test_prepare_equals_the_reference(
    tmp_path_factory, rows, by_user, support, length, fraction, unseen, filter_on
):
    # times are close together, so that users have sessions of several clicks
    rows = [(g, i, t // 40) for g, i, t in rows]
    expected = reference(
        rows,
        by_user=by_user,
        support=support,
        length=length,
        fraction=fraction,
        unseen=unseen,
        filter_on=filter_on,
    )
    store = prepared(
        rows,
        tmp_path_factory.getbasetemp(),
        "user" if by_user else "session",
        filters=FilterOptions(
            min_item_support=support, min_session_length=length, filter_on=filter_on
        ),
        split=SplitOptions(kind="fraction", fraction=fraction, unseen=unseen),
    )
    if expected is None or store is None:
        assert expected is None
        assert store is None
        return
    for name, part in expected.items():
        sessions = store.part(name)
        bounds = zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True)
        lists = [
            list(zip(sessions.items[a:b].tolist(), sessions.times[a:b].tolist(), strict=True))
            for a, b in bounds
        ]
        # sessions that end at the same time may be in any order
        assert sorted(lists) == sorted(part)


# Errors ----------------------------------------------------------------------------------------


def prepare_text(text, tmp_path, *, on_bad_row="error", name="log.csv", **read):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    read_options = ReadOptions(on_bad_row=on_bad_row, **read)
    try:
        return prepare(path, tmp_path / "store", options=options(read=read_options))
    finally:
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


VALID_TEXT = csv_of(seconds(LOG))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("6,7,yesterday", "column 'timestamp': expected a time of 1990 to"),
        (
            "6,7,",
            r"column 'timestamp': expected a time of 1990 to \d+ in seconds .*got no value",
        ),
        ("6,7", r"column 'timestamp': expected a time .*got no value"),
        ("6,7,NaN", r"column 'timestamp': .*got 'NaN'"),
        ("6,7,1500000000000", r"column 'timestamp': .*got '1500000000000'"),
        ("6,,1500000000", r"column 'item_id': expected the id of the item, got no value"),
        (",7,1500000000", r"column 'session_id': expected the id of the session, got no value"),
        ("6,  ,1500000000", r"column 'item_id': expected the id of the item, got '  '"),
        ('6,"",1500000000', r"column 'item_id': expected the id of the item, got"),
        ("6,7,1500000000,x", "more fields than the header, got 'x'"),
        ("6,7,1500000000,,y,z", "more fields than the header, got 'y'"),
        ("6,7,15000\0", "NUL byte at byte 10 of the line"),
    ],
)
def test_a_bad_row_raises_or_is_skipped_and_counted(tmp_path, row, message):
    with pytest.raises(SourceError, match=rf"log\.csv, row 14 \(line 15\).*{message}") as caught:
        prepare_text(VALID_TEXT + row + "\n", tmp_path)
    assert "fix the row, or drop such rows with --on-bad-row skip" in str(caught.value)
    result = prepare_text(VALID_TEXT + row + "\n", tmp_path, on_bad_row="skip")
    assert result.report["bad_rows"] == 1
    assert result.report["bad_row_examples"][0]["row"] == 14
    assert result.report["bad_row_examples"][0]["file"].endswith("log.csv")
    assert "1 rows could not be parsed and were dropped" in result.report["warnings"]
    assert result.store.manifest["counts"]["train"]["events"] == 8


def test_a_log_without_a_header_and_lines_that_are_no_rows(tmp_path):
    rows = VALID_TEXT.split("\n", 1)[1]
    names = ("session", "item", "time")
    result = prepare_text(f"# export\n{rows}\n", tmp_path, names=names)
    assert (result.report["rows"], result.report["blank_rows"]) == (13, 1)
    assert result.store.manifest["prepared"]["read"]["names"] == list(names)


def test_the_report_counts_continuation_lines_and_notes(tmp_path):
    header, rows = VALID_TEXT.split("\n", 1)
    titled = rows.replace("\n", ',"Red\nshoe"\n')
    result = prepare_text(f"# export\n{header},title\n{titled}", tmp_path)
    assert (result.report["rows"], result.report["continuation_lines"]) == (13, 13)
    assert "log.csv: skipped line 1 before the header" in " ".join(result.report["warnings"])
    assert result.store.manifest["prepared"]["read"]["quote"] == "auto"


def test_an_open_quote_is_text_or_a_bad_row(tmp_path):
    text = VALID_TEXT.replace("\n", ',"Heroes\n')
    message = (
        r"row 1 \(line 2\): the quote of field 4 does not close, and no row of this source can"
    )
    with pytest.raises(SourceError, match=message):
        prepare_text(text.replace(',"Heroes', ",title", 1), tmp_path, quote='"')
    assert prepare_text(text, tmp_path).report["rows"] == 13


def test_a_bad_first_row_is_skipped_too(tmp_path):
    header, rest = VALID_TEXT.split("\n", 1)
    result = prepare_text(f"{header}\n6,7,1500000000,x,y,z\n{rest}", tmp_path, on_bad_row="skip")
    assert (result.report["bad_rows"], result.report["bad_row_examples"][0]["row"]) == (1, 1)


def test_examples_of_bad_rows_are_few_and_short(tmp_path):
    text = VALID_TEXT + "".join(f"6,7,{'x' * 500}{n}\n" for n in range(9))
    result = prepare_text(text, tmp_path, on_bad_row="skip")
    assert result.report["bad_rows"] == 9
    assert [e["row"] for e in result.report["bad_row_examples"]] == [14, 15, 16, 17, 18]
    assert all(len(e["value"]) == 60 for e in result.report["bad_row_examples"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_a_number_that_is_not_an_id_is_a_bad_row(tmp_path, bad):
    frame = pl.DataFrame(seconds(LOG), orient="row", schema=["session", "item", "time"])
    invalid = frame.with_columns(
        pl.when(pl.col("item") == 99)
        .then(bad)
        .otherwise(pl.col("item").cast(pl.Float64))
        .alias("item")
    )
    with pytest.raises(SourceError, match="frame, row 10, column 'item': expected the id of the"):
        prepare(invalid, tmp_path / "store", options=options())
    skip = options(read=ReadOptions(on_bad_row="skip"))
    result = prepare(invalid, tmp_path / "store", options=skip)
    assert result.report["bad_rows"] == 2
    json.dumps(result.report, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", SourceError, "the file is empty; expected a header and one row per click"),
        ("\n", SourceError, "the file is empty; expected a header"),
        ("session,item,time\n", EmptyLogError, "there is a header but no row; expected one"),
        ("session,item,time", EmptyLogError, "there is a header but no row"),
        (
            "session,item,time\n1,2,3\n",
            EmptyLogError,
            r"no session is left after the filters \(read",
        ),
        ("session,item,time\n1,2,3\n1,3,4\n", EmptyLogError, "the training part is empty: the bou"),
        (
            "session,item,item,time\n1,2,3,4\n",
            SourceError,
            "duplicate column 'item'; rename one of",
        ),
        ("session,item,time\n1,2,soon\n", SourceError, "row 1, column 'time': the times cannot be"),
        ("a,item,time\n1,2,3\n", SourceError, "no session column found among a, item, time; name"),
        ("a,b,time\n1,2,3\n", SourceError, "no item column found among a, b, time; name it with"),
        ("session,item\n1,2\n", SourceError, "no time column found among session, item; name it"),
        (
            VALID_TEXT.encode() + b"6,\xff,1500000000\n",
            SourceError,
            r"row 14 \(line 15\): invalid UTF-8 at byte 3 of the line; convert the file",
        ),
        (
            b"session,\xff\n",
            SourceError,
            "line 1: invalid UTF-8 at byte 9 of the line; expected a header of UTF-8 text; convert",
        ),
        (VALID_TEXT + '6,"a\n', SourceError, r"row 14 \(line 15\), column 'timestamp'"),
    ],
)
def test_an_invalid_log_is_rejected(tmp_path, text, error, message):
    with pytest.raises(error, match=message):
        prepare_text(text, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


def test_filters_that_drop_all_sessions_list_every_step(log, tmp_path):
    message = (
        r"no session is left after the filters \(read: 13 events, 5 sessions, 4 items; "
        "sessions of fewer than 2 clicks dropped: 13 events, 5 sessions, 4 items; "
        "items of fewer than 50 clicks dropped: 0 events, 0 sessions, 0 items"
    )
    filters = FilterOptions(min_item_support=50, filter_on="all")
    with pytest.raises(EmptyLogError, match=message):
        prepare(log, tmp_path / "s", options=options(filters=filters))


def test_filters_that_drop_all_training_sessions_list_the_steps_of_training(log, tmp_path):
    message = (
        r"no session is left after the filters \(training: all sessions: 8 events, 3 sessions, "
        "3 items; training: items of fewer than 50 clicks dropped: 0 events, 0 sessions, 0 items"
    )
    with pytest.raises(EmptyLogError, match=message):
        prepare(log, tmp_path / "s", options=options(filters=FilterOptions(min_item_support=50)))


def test_a_test_part_of_unseen_items_only(tmp_path):
    rows = [(s, i, d * DAY) for s, i, d in ((1, 1, 0), (1, 2, 0), (2, 8, 3), (2, 9, 3))]
    frame = frame_of(seconds(rows))
    with pytest.raises(EmptyLogError, match="no test session is left: all of their items are uns"):
        prepare(frame, tmp_path / "store", options=options())


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "session",
            pl.concat_list("session"),
            "expected one value per row for the role session, got List",
        ),
        (
            "time",
            pl.duration(seconds="time"),
            "expected a date and a time, got Duration",
        ),
        (
            "time",
            pl.from_epoch("time").dt.time(),
            "expected a date and a time, got Time",
        ),
    ],
)
def test_a_column_with_another_type_is_rejected(tmp_path, column, values, message):
    frame = frame_of(seconds(LOG)).with_columns(values.alias(column))
    with pytest.raises(SourceError, match=f"frame, column '{column}': {message}"):
        prepare(frame, tmp_path / "store", options=options())


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("user,item,time\n1,2,1500000000\n", "1.csv: no session column found among user, item"),
        ("session,item,time\n9,2,1500000000\n", "1.csv: no user column found .*the first file has"),
        (
            "session,user,item,time\n9,1,2,2017-07-14\n",
            "the times are text %Y-%m-%d .inferred., but",
        ),
    ],
)
def test_files_with_different_columns_or_units_are_rejected(tmp_path, second, message):
    rows = [(s, s, i, t) for s, i, t in seconds(LOG)]
    (tmp_path / "0.csv").write_text(csv_of(rows, "session,user,item,time"))
    (tmp_path / "1.csv").write_text(second)
    with pytest.raises(SourceError, match=message):
        prepare(tmp_path / "?.csv", tmp_path / "store", options=options())


def test_event_types(tmp_path):
    path = tmp_path / "log.csv"
    rows = [(s, "view" if i < 99 else "buy", i, t) for s, i, t in seconds(LOG)]
    path.write_text(csv_of(rows, "session,event,item,time"))
    views = options(read=ReadOptions(events=("view",)))
    result = prepare(path, tmp_path / "store", options=views)
    assert (result.report["rows"], result.report["other_event_rows"]) == (13, 2)
    assert result.report["steps"][0]["events"] == 11
    message = (
        r"no click is left of 13 rows \(0 bad, 13 of other event types; none has the event type loo"
    )
    with pytest.raises(EmptyLogError, match=message):
        prepare(path, tmp_path / "no", options=options(read=ReadOptions(events=("looked",))))
    path.write_text(csv_of(seconds(LOG)))
    with pytest.raises(SourceError, match="--events needs an event column, none was found among"):
        prepare(path, tmp_path / "no", options=views)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            PrepareOptions(split=SplitOptions(kind="lastday")),
            "split: kind must be one of auto, last-days",
        ),
        (PrepareOptions(filters=FilterOptions(min_item_support=0)), "min_item_support must be int"),
        (PrepareOptions(sessions=SessionOptions(gap_seconds=0)), "gap_seconds must be number > 0"),
        (PrepareOptions(read=ReadOptions(separator="é")), "separator must be 1 to 8 ASCII char"),
        (PrepareOptions(read=ReadOptions(format="csv")), "there is no log format 'csv': known: "),
        (
            PrepareOptions(read=ReadOptions(unit="min")),
            "time unit must be one of s, ms, us, ns, excel, iso",
        ),
        (
            PrepareOptions(split=SplitOptions(kind="pre-split")),
            "split pre-split: name the test part",
        ),
    ],
)
def test_invalid_options_are_rejected(log, tmp_path, chosen, message):
    with pytest.raises(ConfigError, match=message):
        prepare(log, tmp_path / "store", options=chosen)
    assert not (tmp_path / "store").exists()


def test_a_pre_split_log_is_not_split_again(log, tmp_path):
    fraction = PrepareOptions(split=SplitOptions(kind="fraction"))
    with pytest.raises(ConfigError, match="split fraction: the log is pre-split and cannot be spl"):
        prepare(log, tmp_path / "store", test=log, options=fraction)
    with pytest.raises(ConfigError, match="sources: expected at least one file, folder, glob or"):
        prepare([], tmp_path / "store")
    srgnn = PrepareOptions(read=ReadOptions(format="srgnn"))
    with pytest.raises(ConfigError, match="format srgnn: pass the folder of the pickles, without"):
        prepare(log, tmp_path / "store", test=log, options=srgnn)


def test_an_existing_output_is_rejected_before_reading(tmp_path):
    (tmp_path / "store").mkdir()
    with pytest.raises(
        OutputError, match="already exists; choose another path or pass --overwrite"
    ):
        prepare(tmp_path / "missing.csv", tmp_path / "store")


def test_overwrite_replaces_a_store(log, tmp_path):
    first = prepare(log, tmp_path / "store", options=options()).store.fingerprint
    keep = options(split=SplitOptions(days=1, unseen="miss"))
    second = prepare(log, tmp_path / "store", options=keep, overwrite=True).store.fingerprint
    assert first != second
    assert Store.open(tmp_path / "store").fingerprint == second
    assert Store.open(tmp_path / "store").protocol["split"]["unseen"] == "miss"
