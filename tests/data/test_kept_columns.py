"""Columns that `prepare --keep-column` stores, and metrics by their values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, evaluate, prepare, train
from nextclick.data.increment import options_from_manifest
from nextclick.data.options import FilterOptions, ReadOptions, SessionOptions, SplitOptions
from nextclick.data.readers.kept_columns import RESERVED
from nextclick.errors import ConfigError, SourceError
from nextclick.evaluation.segments import BUILT_IN, TARGET

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.data.store import Store

HEADER = ["session", "item", "time", "user", "device", "year"]
# session 3 has its first value later, session 4 has none; session 2 is not in order
ROWS = [
    (1, 10, 100, "a", "phone", 2020),
    (1, 20, 101, "a", "desktop", 2020),
    (2, 20, 201, "b", "desktop", None),
    (2, 10, 200, "b", "tablet", 2021),
    (3, 10, 300, "a", None, None),
    (3, 20, 301, "a", " phone", 2020),
    (4, 10, 400, "c", "", None),
    (4, 20, 401, "c", None, None),
]


def prepared(
    folder: Path, rows: Any = ROWS, keep: tuple[str, ...] = ("device",), **other: Any
) -> Store:
    frame = pl.DataFrame(rows, orient="row", schema=HEADER)
    options = PrepareOptions(
        read=ReadOptions(keep_columns=keep),
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.5, valid_fraction=0.5),
    )
    return prepare(frame, folder, options=replace(options, **other)).store


def values_of(store: Store, part: str, name: str) -> list[str | None]:
    codes, values = store.column(part, name)
    return [None if code == 0 else values[code - 1] for code in codes]


def test_the_first_value_of_a_session_is_stored(tmp_path: Path) -> None:
    store = prepared(tmp_path / "store", keep=("year", "device"))
    assert store.columns == ("year", "device")
    assert values_of(store, "train", "device") == ["phone", "tablet"]
    assert values_of(store, "test", "device") == ["phone", None]
    assert values_of(store, "train_inner", "device") == ["phone"]
    assert values_of(store, "valid", "device") == ["tablet"]
    assert values_of(store, "train", "year") == ["2020", "2021"]
    assert values_of(store, "test", "year") == ["2020", None]


def test_sessions_of_users_have_values_of_their_own(tmp_path: Path) -> None:
    rows = [(0, 10, 100, "a", "phone", 1), (0, 20, 101, "a", None, 1)]
    rows += [(0, 10, 9_000, "a", None, 1), (0, 20, 9_001, "a", "desktop", 1)]
    store = prepared(tmp_path / "store", rows, sessions=SessionOptions(by="user"))
    assert values_of(store, "train", "device") == ["phone"]
    assert values_of(store, "test", "device") == ["desktop"]


def test_both_parts_of_a_split_log_have_values(tmp_path: Path) -> None:
    frame = pl.DataFrame(ROWS, orient="row", schema=HEADER)
    options = PrepareOptions(read=ReadOptions(keep_columns=("device",)))
    store = prepare(frame[:4], tmp_path / "store", test=frame[4:], options=options).store
    assert values_of(store, "train", "device") == ["phone", "tablet"]
    assert values_of(store, "test", "device") == ["phone", None]


def test_a_column_of_a_role_may_be_kept(tmp_path: Path) -> None:
    store = prepared(tmp_path / "store", keep=("session",))
    assert values_of(store, "test", "session") == ["3", "4"]


def test_metrics_by_a_column(tmp_path: Path) -> None:
    store = prepared(tmp_path / "store", keep=("year", "device"))
    result = evaluate(train(store, "pop"), store, ks=[1], by=["device"])
    rows = result.evaluation["segments"]["device"]
    assert [(row["segment"], row["prefixes"]) for row in rows] == [("(missing)", 1), ("phone", 1)]
    with pytest.raises(
        ConfigError, match=r"by must name segments of .*earlier-sessions, year, device, got 'd'"
    ):
        evaluate(train(store, "pop"), store, ks=[1], by=["d"])


def test_the_values_do_not_change_the_sessions(tmp_path: Path) -> None:
    plain, kept = prepared(tmp_path / "plain", keep=()), prepared(tmp_path / "kept")
    for part in ("train", "test"):
        assert kept.part(part).items.tolist() == plain.part(part).items.tolist()
    assert plain.columns == ()
    assert kept.fingerprint != plain.fingerprint
    read = options_from_manifest(kept.protocol, kept.prepared).read
    assert read.keep_columns == ("device",)


def test_invalid_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no column 'shop' of --keep-column among session, item"):
        prepared(tmp_path / "store", keep=("shop",))
    with pytest.raises(ConfigError, match="--keep-column must name each column once"):
        prepared(tmp_path / "store", keep=("device", "device"))
    for name in RESERVED:
        with pytest.raises(ConfigError, match=f"--keep-column {name}: metrics by {name} mean"):
            prepared(tmp_path / "store", keep=(name,))
    nested = [(*row[:4], [row[4]], row[5]) for row in ROWS]
    with pytest.raises(SourceError, match="column 'device' of --keep-column: expected one value"):
        prepared(tmp_path / "store", nested)
    with pytest.raises(ConfigError, match="format srgnn has no column to keep"):
        prepare(
            "logs",
            tmp_path / "store",
            options=PrepareOptions(read=ReadOptions(format="srgnn", keep_columns=("device",))),
        )
    with pytest.raises(ConfigError, match=r"column must be one of device, got 'year'"):
        prepared(tmp_path / "store").column("test", "year")


def test_the_names_of_other_segments_are_reserved() -> None:
    assert set(RESERVED) == {TARGET, *BUILT_IN}


def test_codes_are_those_of_the_values(tmp_path: Path) -> None:
    codes, values = prepared(tmp_path / "store").column("train", "device")
    assert values == ("phone", "tablet")
    assert codes.dtype == np.int32
