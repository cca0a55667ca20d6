"""Backtests: windows of a store, no leak from later clicks, means with intervals, and resuming."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from nextclick import BacktestOptions, PrepareOptions, WindowOptions, backtest, prepare, train
from nextclick.core.item_rules import ItemRules
from nextclick.core.sessions import MS_PER_DAY
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.data.window_stores import Window, WindowLog
from nextclick.errors import ConfigError, EmptyLogError, InterruptedRunError
from nextclick.evaluation.window_means import mean_over_windows
from nextclick.experiments import cached_run
from nextclick.experiments.artifact_evaluation import store_protocol
from small_shop import make_store

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.data.store import Store

START, DAY = 1_500_000_000 // 86_400 * 86_400, 86_400
OPTIONS = BacktestOptions(windows=WindowOptions(windows=3), ks=[1, 3])


def rows_of(n_days: int = 8, per_day: int = 12) -> list[tuple[int, str, int, int]]:
    """Sessions of 2 to 5 clicks on 9 items, by 7 users."""
    rng = np.random.default_rng(1)
    rows = []
    for session in range(n_days * per_day):
        time = START + session * DAY // per_day
        for _ in range(rng.integers(2, 6)):
            rows.append((session, f"u{session % 7}", int(rng.integers(1, 10)), time))
            time += 30
    return rows


def store_of(
    rows: list[tuple[int, str, int, int]], folder: Path, min_item_support: int = 1, **split: object
) -> Store:
    frame = pl.DataFrame(rows, orient="row", schema=["session", "user", "item", "time"])
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=min_item_support),
        split=SplitOptions(**{"kind": "last-days", "days": 1} | split),  # type: ignore[arg-type]
    )
    return prepare(frame, folder, options=options).store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_of(rows_of(), tmp_path_factory.mktemp("log") / "store")


def training_files(store: Store) -> dict[str, bytes]:
    return {
        f"{part}/{path.name}": path.read_bytes()
        for part in ("train", "items", "users")
        for path in sorted((store.path / part).iterdir())
    }


def test_windows_are_consecutive_and_end_with_the_log(store: Store) -> None:
    log = WindowLog.read(store)
    first, second = log.windows(2, days=1.5)
    assert (first.name, second.name) == ("window-1", "window-2")
    assert first.stop_ms == second.boundary_ms == second.stop_ms - 1.5 * MS_PER_DAY
    assert second.stop_ms == log.ends[-1] + 1
    (only, _) = log.windows(2, days=1, train_days=2)
    assert only.start_ms == only.boundary_ms - 2 * MS_PER_DAY
    assert len(log.windows(30)) == 30  # longer than the log in steps of the test: shorter windows


def test_a_window_trains_on_its_past_and_tests_on_what_follows(
    store: Store, tmp_path: Path
) -> None:
    log = WindowLog.read(store)
    for window in log.windows(3):
        written = log.write(window, tmp_path / window.name)
        train_part, test = written.part("train"), written.part("test")
        assert train_part.times is not None and test.times is not None
        assert train_part.times.max() < window.boundary_ms
        ends = test.times[test.offsets[1:] - 1]
        assert ends.min() >= window.boundary_ms and ends.max() < window.stop_ms
        assert len(train_part) == np.count_nonzero(log.ends < window.boundary_ms)
        raw = written.items.raw_ids(train_part.items[:5])
        assert raw == store.items.raw_ids(log.sessions.items[:5])
        assert log.write(window, tmp_path / window.name).fingerprint == written.fingerprint


def test_the_last_window_of_one_day_is_the_split_of_the_store(store: Store, tmp_path: Path) -> None:
    log = WindowLog.read(store)
    written = log.write(log.windows(2)[-1], tmp_path / "last")
    for name in ("train", "test"):
        assert written.part(name).items.tolist() == store.part(name).items.tolist()
        assert written.part(name).offsets.tolist() == store.part(name).offsets.tolist()
    assert written.items.ids() == store.items.ids()


@pytest.mark.parametrize("model", ["session-knn", "markov", "pop"])
def test_later_clicks_do_not_change_a_model(tmp_path: Path, model: str) -> None:
    rows = rows_of()
    boundary = START + 5 * DAY
    started = {session for session, _, _, time in rows if time >= boundary - 300}
    # later clicks are on one item only, so the support in the whole log is another one
    popular = Counter(i for s, _, i, _ in rows if s not in started).most_common(1)[0][0]
    changed = [(s, u, popular if s in started else i, t) for s, u, i, t in rows]
    window = Window("window-1", None, (boundary - 300) * 1000, (boundary + DAY) * 1000)
    models = []
    for name, log_rows in (("one", rows), ("two", changed)):
        log = WindowLog.read(store_of(log_rows, tmp_path / name), min_item_support=20)
        written = log.write(window, tmp_path / f"{name}-window")
        train(written, model, tmp_path / f"{name}-model")
        files = {
            str(path.relative_to(tmp_path / f"{name}-model")): path.read_bytes()
            for path in (tmp_path / f"{name}-model").rglob("*")
            if path.is_file() and path.name not in ("manifest.json", "card.json")  # the seconds
        }
        models.append((training_files(written), files))
    assert models[0] == models[1]
    assert 1 < written.part("train").n_items < 9  # the filter has an effect


def test_support_counts_the_past_only(tmp_path: Path) -> None:
    rows = rows_of()
    # item 99 has two clicks before the window and many after it
    rows += [(1000, "u1", item, START + n) for n, item in enumerate([99, 1, 99])]
    rows += [(2000, "u1", 99, START + 7 * DAY + 3600 + n) for n in range(40)]
    store = store_of(rows, tmp_path / "store", unseen="drop")
    log = WindowLog.read(store, min_item_support=3)
    written = log.write(log.windows(2, days=1)[0], tmp_path / "window")
    assert 99 in store.items.ids()
    assert 99 not in written.items.ids()


def test_the_mean_has_students_interval() -> None:
    found = mean_over_windows([0.2, 0.3, 0.4])
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - 4.302653 * 0.1 / 3**0.5)  # t with 2 degrees of freedom
    assert found.high == pytest.approx(0.3 + 4.302653 * 0.1 / 3**0.5)
    single = mean_over_windows([0.2])
    assert (single.value, single.low, single.high) == (0.2, None, None)


def test_the_table_is_the_mean_of_the_windows(store: Store, tmp_path: Path) -> None:
    tested = backtest(store, ["pop", "markov"], tmp_path / "out", OPTIONS)
    numbers = json.loads((tmp_path / "out/backtest.json").read_text())
    assert numbers == json.loads(json.dumps(tested.numbers))
    assert [window["window"] for window in numbers["windows"]] == [
        "window-1", "window-2", "window-3",
    ]  # fmt: skip
    assert [row["rank"] for row in numbers["leaderboard"]] == [1, 2]
    by_label = {row["label"]: row for row in numbers["leaderboard"]}
    values = {
        label: [
            next(m for m in window["models"] if m["label"] == label)["metrics"]["recall@3"]["value"]
            for window in numbers["windows"]
        ]
        for label in by_label
    }
    for label, row in by_label.items():
        expected = mean_over_windows(values[label])
        assert row["metrics"]["recall@3"]["value"] == pytest.approx(expected.value)
        assert row["metrics"]["recall@3"]["low"] == pytest.approx(max(expected.low or 0, 0))
        assert row["window_deviation"]["recall@3"] == pytest.approx(np.std(values[label], ddof=1))
    best, other = (row["label"] for row in numbers["leaderboard"])
    gap = mean_over_windows(np.subtract(values[best], values[other]).tolist())
    assert by_label[best]["difference"] is None
    assert by_label[other]["difference"]["low"] == pytest.approx(gap.low)
    table = (tmp_path / "out/backtest.csv").read_text().splitlines()
    assert len(table) == 1 + 3 * 2


def test_a_backtest_resumes(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def record(store: Store, model: str, **options: object) -> object:
        if len(trained) == 2:
            trained.append("stopped")
            raise KeyboardInterrupt
        trained.append(model)
        return train(store, model, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cached_run, "train", record)
    with pytest.raises(InterruptedRunError, match="stopped in window-3; completed trainings are"):
        backtest(store, ["pop"], tmp_path / "out", OPTIONS)
    resumed = backtest(store, ["pop"], tmp_path / "out", OPTIONS)
    assert trained == ["pop", "pop", "stopped", "pop"]
    whole = backtest(store, ["pop"], None, OPTIONS)
    assert whole.path is None
    for one, other in zip(resumed.numbers["windows"], whole.numbers["windows"], strict=True):
        assert one["models"][0]["metrics"] == other["models"][0]["metrics"]
    more = backtest(store, ["pop", "rules"], tmp_path / "out", OPTIONS)
    assert trained[4:] == ["pop"] * 3 + ["rules"] * 3
    assert len(more.numbers["leaderboard"]) == 2


def test_rules_apply_in_every_window(store: Store) -> None:
    protocol = replace(store_protocol(store), rules=ItemRules(exclude_seen=True))
    tested = backtest(store, ["pop"], None, replace(OPTIONS, protocol=protocol))
    assert tested.numbers["protocol"]["rules"] == "exclude seen"


def test_a_model_that_fails_in_a_window_is_not_in_the_table(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_calls = []

    def failing(store: Store, model: str, **options: object) -> object:
        n_calls.append(model)
        if model == "rules" and n_calls.count("rules") == 2:
            raise ConfigError("no memory")
        return train(store, model, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cached_run, "train", failing)
    numbers = backtest(store, ["pop", "rules"], None, OPTIONS).numbers
    assert [row["label"] for row in numbers["leaderboard"]] == ["pop"]
    assert numbers["failed"] == [
        {"window": "window-2", "label": "rules", "seed": 0, "reason": "ConfigError: no memory"}
    ]


def test_invalid_backtests_are_refused(store: Store, tmp_path: Path) -> None:
    log = WindowLog.read(store)
    with pytest.raises(EmptyLogError, match="5 windows of 9 days start before the first session"):
        log.windows(5, days=9)
    early = Window("window-1", None, int(log.ends[0]), int(log.ends[-1]))
    with pytest.raises(EmptyLogError, match="the training part of window-1 has no session"):
        log.write(early, tmp_path / "early")
    late = Window("window-1", None, int(log.ends[-1]) + 1, int(log.ends[-1]) + 2)
    with pytest.raises(EmptyLogError, match="the test part of window-1 has no session"):
        log.write(late, tmp_path / "late")
    with pytest.raises(ConfigError, match=r"windows must be"):
        backtest(store, ["pop"], None, replace(OPTIONS, windows=WindowOptions(windows=1)))
    train(store, "pop", tmp_path / "models" / "pop")
    with pytest.raises(ConfigError, match="pop is trained already, and a backtest trains"):
        backtest(store, [str(tmp_path / "models/pop")], None, OPTIONS)
    backtest(store, ["pop"], tmp_path / "out", OPTIONS)
    other = replace(OPTIONS, windows=WindowOptions(windows=2))
    with pytest.raises(ConfigError, match="windows is 3 there and 2 here"):
        backtest(store, ["pop"], tmp_path / "out", other)


def test_a_log_without_times_has_no_windows(tmp_path: Path) -> None:
    plain = make_store(tmp_path / "store")
    sessions = replace(plain.part("train"), times=None)
    plain._parts = {"train": sessions, "test": replace(plain.part("test"), times=None)}
    with pytest.raises(ConfigError, match="backtest needs the times of the clicks"):
        WindowLog.read(plain)
