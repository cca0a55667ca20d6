"""What each row of docs/common-tasks.md achieves on the simulated shop."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import nextclick
from nextclick import Store
from nextclick.artifact import Artifact, create_registry
from nextclick.errors import InterruptedRunError
from nextclick.serving.event_log import EventLog
from started_server import first_answer
from task_shop import NEW_ITEM, NO_CLICK, QUICK, Shop, prepared, recommended

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextclick.core.types import RawId

    Check = Callable[[Shop, Any], None]

SHORT = tuple(word for name, value in QUICK.items() for word in ("--set", f"{name}={value}"))


@dataclass(frozen=True, slots=True)
class Task:
    """The test of a row.

    Attributes:
        check: receives the shop, and the JSON of the command or the value of the expression.
        options: further options of the command, which only shorten it.
        before: creates what the row requires, and returns the names of an expression.
    """

    check: Check
    options: tuple[str, ...]
    before: Callable[[Shop], dict[str, Any] | None]


TASKS: dict[str, Task] = {}  # by the command or expression of the page


def task(
    row: str, *options: str, before: Callable[[Shop], dict[str, Any] | None] = lambda _: None
) -> Callable[[Check], Check]:
    """Register the check of a row."""

    def register(check: Check) -> Check:
        assert row not in TASKS, f"two checks of {row}"
        TASKS[row] = Task(check, options, before)
        return check

    return register


def raw_sessions(store: Store, part: str) -> set[tuple[RawId | None, ...]]:
    """The sessions of a part, as raw ids; None is an item unseen in training."""
    sessions, ids = store.part(part), [None, *store.items.ids()]
    bounds = pairwise(sessions.offsets.tolist())
    return {tuple(ids[i] for i in sessions.items[a:b]) for a, b in bounds}


# data


@task("nextclick prepare clicks.csv -o prepared", "--min-item-support", "1")
def every_row_is_a_click(shop: Shop, printed: Any) -> None:
    assert printed["report"]["rows"] == len(shop.log)
    store = Store.open("prepared")
    sessions = raw_sessions(store, "train") | raw_sessions(store, "test")
    assert sessions <= {tuple(items) for items in shop.sessions.values()}


def frame_of_lists(shop: Shop) -> dict[str, Any]:
    lists = shop.log.group_by("session_id", maintain_order=True).agg("item_id", "timestamp")
    return {"clicks": pd.DataFrame(lists.to_dict(as_series=False))}


@task('Estimator("session-knn").fit(clicks).recommend(["A", "B"], k=5)', before=frame_of_lists)
def a_frame_of_lists_is_a_log(shop: Shop, answer: Any) -> None:
    assert answer.from_model == 5
    assert not answer.unknown
    assert set(answer.items) <= set(shop.log["item_id"])


@task("nextclick prepare clicks.csv -o dated --split boundary --boundary 2026-03-06")
def training_ends_at_the_date(shop: Shop, printed: Any) -> None:
    boundary = datetime(2026, 3, 6, tzinfo=UTC).timestamp() * 1000
    store = Store.open("dated")
    train, test = store.part("train"), store.part("test")
    assert train.times is not None
    assert test.times is not None
    assert train.times.max() < boundary
    assert (test.times[test.offsets[1:] - 1] >= boundary).all()


def two_files(shop: Shop) -> None:
    test = list(shop.sessions)[-100:]
    is_test = pl.col("session_id").is_in(test)
    shop.log.filter(~is_test).write_csv("train.csv")
    shop.log.filter(is_test).write_csv("test.csv")


@task("nextclick prepare train.csv --test test.csv -o given", before=two_files)
def the_given_sessions_are_the_test(shop: Shop, printed: Any) -> None:
    store = Store.open("given")
    known = set(store.items.ids())
    expected = [
        tuple(item if item in known else None for item in shop.sessions[session])
        for session in list(shop.sessions)[-100:]
    ]
    assert raw_sessions(store, "test") == {items for items in expected if len(items) > 1}


# recommendations


@task("nextclick recommend model --session A,B -k 5")
def the_clicks_decide(shop: Shop, printed: Any) -> None:
    assert printed["from_model"] == 5
    assert printed["items"] != recommended("model", [shop.ids["C"]])


@task('nextclick.load("model").recommend([["A", "B"]], k=5)')
def python_and_command_agree(shop: Shop, answers: Any) -> None:
    assert list(answers[0].items) == recommended("model", shop.session)


def sessions_of_log(shop: Shop) -> dict[str, Any]:
    return {"clicks": shop.log}


@task('nextclick.recommend_frame("model", clicks, k=5)', before=sessions_of_log)
def each_recommendation_has_a_score(shop: Shop, frame: Any) -> None:
    assert frame.columns == ["session", "rank", "item", "score"]
    assert set(frame["item"]) <= set(shop.log["item_id"])
    falls = frame.group_by("session").agg(pl.col("score").drop_nulls().diff().max())["score"]
    assert (falls.drop_nulls() <= 0).all()


@task("nextclick recommend model --sessions clicks.csv -o recommendations.parquet -k 5")
def every_session_has_five_items(shop: Shop, printed: Any) -> None:
    table = pl.read_parquet("recommendations.parquet")
    counts = table.group_by("session", maintain_order=True).len()
    assert counts["session"].to_list() == list(shop.sessions)
    assert set(counts["len"]) == {5}
    session, items = next(iter(shop.sessions.items()))
    assert table.filter(session=session)["item"].to_list() == recommended("model", items)


@task("nextclick recommend model --session A,B -k 5 --block C")
def a_blocked_item_is_replaced(shop: Shop, printed: Any) -> None:
    best = recommended("model", shop.session, 6)
    assert shop.ids["C"] in best[:5]
    assert printed["items"] == [item for item in best if item != shop.ids["C"]]


@task("nextclick recommend model --session A,B -k 5 --where 'category == \"category-5\"'")
def only_items_of_the_category(shop: Shop, printed: Any) -> None:
    category = dict(pl.read_csv("items.csv").select("item_id", "category").iter_rows())
    ranked = recommended("model", shop.session, k=len(shop.store.items))
    expected = [item for item in ranked if category[item] == "category-5"]
    assert expected[:5] == printed["items"] != ranked[:5]


@task("nextclick train store -m session-knn --set repeats=keep -o repeats")
def clicked_items_return(shop: Shop, printed: Any) -> None:
    nextclick.train(shop.store, "session-knn", "hidden", config={"repeats": "hide"})
    assert set(recommended("repeats", shop.session)) & set(shop.session)
    assert not set(recommended("hidden", shop.session)) & set(shop.session)


# new clicks


def trained_narm(shop: Shop) -> None:
    if not Path("narm").exists():
        nextclick.train(shop.store, "narm", "narm", config=QUICK)


def newer_log(shop: Shop) -> None:
    shop.newer_log()


@task("nextclick refresh model newer.csv -o refreshed", before=newer_log)
def the_new_clicks_are_learned(shop: Shop, printed: Any) -> None:
    counts = [Artifact.load(name).trained["counts"]["sessions"] for name in ("model", "refreshed")]
    assert counts[1] == counts[0] + 10
    assert recommended("refreshed", [NEW_ITEM])[0] == shop.ids["A"]


def narm_and_newer_log(shop: Shop) -> None:
    trained_narm(shop)
    shop.newer_log()


@task("nextclick refresh narm newer.csv -o narm-2", before=narm_and_newer_log)
def the_network_keeps_its_vectors(shop: Shop, printed: Any) -> None:
    old, new = Artifact.load("narm"), Artifact.load("narm-2")
    assert set(new.items.ids()) == {*old.items.ids(), NEW_ITEM}
    before = vectors(old)[1:]
    after = vectors(new)[new.items.indices(old.items.ids())]
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    assert np.median((before * after).sum(axis=1) / norms) > 0.9
    assert NEW_ITEM in recommended("narm-2", shop.session, k=len(new.items))


def vectors(artifact: Artifact) -> Any:
    """The item vectors of a network, (N + 1, D)."""
    return artifact.model.encoder.table()[0].detach().numpy()  # type: ignore[attr-defined]


def registry_and_event_log(shop: Shop) -> None:
    create_registry("shop-models").publish("model")
    Path("events").mkdir()
    log = EventLog("events", pytest.fail, start=False)
    start = shop.log["timestamp"].max() / 1000 + 3600  # type: ignore[operator]
    for session in range(10):
        for n, item in enumerate((NEW_ITEM, shop.ids["A"])):
            seconds = start + 600 * session + 20 * n
            log.add(
                session=f"s{session}", user=None, seconds=seconds, item=item,
                answered_by=("shop-models", "v1"), items=[shop.ids["B"]],
            )  # fmt: skip
    log.close()


@task("nextclick refresh shop-models --from events", before=registry_and_event_log)
def the_events_are_learned(shop: Shop, printed: Any) -> None:
    assert printed["path"] == "shop-models/versions/v2"
    assert recommended("shop-models", [NEW_ITEM])[0] == shop.ids["A"]


def interrupted_training(shop: Shop) -> None:
    config: dict[str, Any] = QUICK
    nextclick.train(shop.store, "gru4rec", "uninterrupted", config=config)
    with pytest.raises(InterruptedRunError):
        nextclick.train(
            shop.store, "gru4rec", "resumed", config=config,
            progress=lambda *_: signal.raise_signal(signal.SIGINT),
        )  # fmt: skip


@task("nextclick train store -m gru4rec -o resumed --resume", *SHORT, before=interrupted_training)
def the_weights_are_those_without_interruption(shop: Shop, printed: Any) -> None:
    expected, resumed = Artifact.load("uninterrupted"), Artifact.load("resumed")
    np.testing.assert_array_equal(vectors(expected), vectors(resumed))


# search and evaluation


@task("nextclick tune store -m item-knn --trials 4 -o study")
def every_trial_is_complete(shop: Shop, printed: Any) -> None:
    study = printed["study"]
    assert study["states"] == {"complete": 4, "pruned": 0, "failed": 0}
    assert study["best"]["value"] == max(trial["value"] for trial in study["trials"])


@task("nextclick sweep store -m session-knn --param k=5,50 -o sweep")
def each_value_is_measured(shop: Shop, printed: Any) -> None:
    points = printed["sweep"]["points"]
    assert [point["parameters"] for point in points] == [{"k": 5}, {"k": 50}]
    assert points[0]["value"] < points[1]["value"]
    assert all(point["low"] <= point["value"] <= point["high"] for point in points)


@task("nextclick compare store -m pop,session-knn -o comparison")
def the_difference_has_a_p_value(shop: Shop, printed: Any) -> None:
    (pair,) = printed["comparison"]["pairs"]
    assert 0 <= pair["p"] <= 1


@task("nextclick backtest store --windows 2 -m pop,markov -o backtest")
def each_window_trains_before_its_test(shop: Shop, printed: Any) -> None:
    first, second = printed["backtest"]["windows"]
    assert first["boundary_ms"] < first["stop_ms"] <= second["boundary_ms"] < second["stop_ms"]
    ends = shop.log.group_by("session_id").agg(pl.max("timestamp"))
    for window in (first, second):
        before = ends.filter(pl.col("timestamp") < window["boundary_ms"])
        assert window["train"]["sessions"] <= len(before)
    assert {row["windows"] for row in printed["backtest"]["leaderboard"]} == {2}


@task("nextclick evaluate model store --by popularity")
def segments_of_popularity(shop: Shop, printed: Any) -> None:
    evaluation = printed["result"]["evaluation"]
    segments = evaluation["segments"]["popularity"]
    assert len(segments) > 1
    assert sum(each["prefixes"] for each in segments) == evaluation["counts"]["prefixes"]


@task("nextclick evaluate model store --diversity 0")
def coverage_and_diversity(shop: Shop, printed: Any) -> None:
    evaluation = printed["result"]["evaluation"]
    assert 0 < evaluation["coverage"]["coverage@20"] <= 1
    assert 0 < evaluation["diversity"]["diversity@20"] < 1


@task("nextclick explain narm --session A,B --item C", before=trained_narm)
def the_effect_of_each_click(shop: Shop, printed: Any) -> None:
    (explained,) = printed["explanations"]
    assert explained["items"] == [shop.ids["C"]]
    narm = nextclick.load("narm")
    for rest, without in zip(reversed(shop.session), explained["without"], strict=True):
        alone = narm.explain([rest], items=[shop.ids["C"]]).now
        np.testing.assert_allclose(without["scores"], alone.scores, rtol=1e-4)


# networks


def store_of_all_items(shop: Shop) -> None:
    prepared("catalog", catalog="all")


@task(
    "nextclick train catalog -m narm --set features=category,brand -o with-features",
    *SHORT,
    before=store_of_all_items,
)
def an_item_without_a_click_is_ranked(shop: Shop, printed: Any) -> None:
    n_items = len(Store.open("catalog").items)
    assert NO_CLICK in recommended("with-features", shop.session, k=n_items)
    assert NO_CLICK not in recommended("model", shop.session, k=len(shop.store.items))


@task("nextclick export narm -o exported", before=trained_narm)
def onnx_runtime_recommends_the_same(shop: Shop, printed: Any) -> None:
    source = Path("exported/example.py").read_text()
    assert "import torch" not in source
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, "example.py", "exec"), names)
    clicks = [str(item) for item in shop.session]
    answer = names["Exported"](Path("exported")).recommend(clicks, k=5)
    assert [int(item) for item, _ in answer] == recommended("narm", shop.session)


# serving


@task("nextclick serve model", "--port", "0")
def the_server_recommends_the_same(shop: Shop, server: Any) -> None:
    answer = first_answer(server, {"session": shop.session, "k": 5})
    assert answer["items"] == recommended("model", shop.session)
