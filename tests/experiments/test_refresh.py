"""`refresh`: published and rejected versions, and errors."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, evaluate, prepare, train
from nextclick.artifact import Artifact, Registry
from nextclick.data.increment import options_from_manifest
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.errors import (
    ArtifactError,
    ConfigError,
    EmptyLogError,
    NextclickWarning,
    OutputError,
    SourceError,
)
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.publish_check import n_held_out
from nextclick.experiments.refresh_options import FineTuneOptions, PublishCheckOptions
from nextclick.models.classical.popularity import SessionPop
from small_shop import SESSIONS, START, frame_of, make_store

HOUR = 3600
NEW = [[10, 20, 30], [20, 30, 40], [30, 40, 10], [40, 10, 20]] * 5
NO_CHECK = PublishCheckOptions(holdout=0)
CHECK = PublishCheckOptions(holdout=0.25, metric="recall@1")
OPTIONS = PrepareOptions(
    filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="fraction")
)


def later(sessions, hours=1000, seconds=1.0):
    """The same as `frame_of`, so many hours later; ids of sessions are not those of the store."""
    frame = frame_of(sessions)
    time = ((frame["time"] + hours * HOUR) * seconds).cast(pl.Int64)
    return frame.with_columns(time=time, session=frame["session"] + 1000 * hours)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(scope="module")
def model(store):
    return train(store, "markov", refreshable=True)


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_artifact_gets_a_newer_one_beside_it(store, tmp_path):
    train(store, "pop", tmp_path / "model")
    before = files_of(tmp_path / "model")
    result = refresh(tmp_path / "model", later(NEW), tmp_path / "new", publish_check=CHECK)
    assert result.accepted
    assert result.path == tmp_path / "new"
    assert files_of(tmp_path / "model") == before
    record = Artifact.load(tmp_path / "new").trained["refreshes"][0]
    assert record["update"] == "exact"
    assert record["sessions"] == 20
    assert record["decision"]["metric"] == "recall@1"
    assert record["decision"]["sessions"] == 5
    with pytest.raises(OutputError, match="choose another path or pass --overwrite"):
        refresh(tmp_path / "model", later(NEW), tmp_path / "new", publish_check=CHECK)


def test_a_registry_is_refreshed_from_its_current_version(store, tmp_path):
    train(store, "pop", tmp_path / "model")
    registry = Registry.create(tmp_path / "shop")
    registry.publish(tmp_path / "model")
    for day in (1, 2):
        result = refresh(registry.path, later(NEW, 1000 * day), publish_check=CHECK)
        assert result.version == registry.current()
        assert result.version.name == f"v{day + 1}"
        assert result.version.note == f"refreshed from v{day}"
    assert len(Artifact.load(registry.current().path).trained["refreshes"]) == 2
    assert registry.current().metrics["difference"] == result.decision.difference
    into = Registry.create(tmp_path / "other")
    assert (
        refresh(tmp_path / "model", later(NEW), into.path, publish_check=CHECK).version
        == into.current()
    )


@pytest.fixture
def spoiling(monkeypatch):
    """A refresh of S-POP reverses its ranking."""
    extended = SessionPop.update_exactly

    def spoil(self, new, past, *, progress):
        refreshed = extended(self, new, past, progress=progress)
        refreshed.rank = (1 - refreshed.rank).astype(np.float32)
        return refreshed

    monkeypatch.setattr(SessionPop, "update_exactly", spoil)


# everybody clicks the most popular item, 10, and then an item that most others click, too
POPULAR = [[50, 10], [40, 10], [50, 10, 20]] * 20


def test_a_worse_refresh_is_rejected(store, tmp_path, spoiling):
    train(store, "s-pop", tmp_path / "model")
    before = files_of(tmp_path / "model")
    result = refresh(
        tmp_path / "model",
        later(POPULAR),
        tmp_path / "new",
        publish_check=PublishCheckOptions(metric="mrr@5"),
    )
    assert not result.accepted
    assert result.path == tmp_path / "new.rejected"
    assert not (tmp_path / "new").exists()
    assert files_of(tmp_path / "model") == before
    decision = result.decision
    assert decision.refreshed < decision.current
    assert decision.high < 0
    assert decision.reason.startswith("mrr@5 on the 8 held-out prefixes is ")
    assert "the tolerance is 0.01" in decision.reason
    rejected = Artifact.load(result.path).trained["refreshes"][0]
    assert rejected["decision"]["reason"] == decision.reason
    assert rejected["sessions"] == 54, "it is not trained on the held-out sessions"


def test_a_worse_refresh_is_not_published(store, tmp_path, spoiling):
    train(store, "s-pop", tmp_path / "model")
    registry = Registry.create(tmp_path / "shop")
    registry.publish(tmp_path / "model")
    publish_check = PublishCheckOptions(metric="mrr@5")
    result = refresh(registry.path, later(POPULAR), publish_check=publish_check)
    assert registry.current().name == "v1"
    assert [v.name for v in registry.rejected()] == ["v2"]
    assert registry.rejected()[0].reason == result.decision.reason
    easy = PublishCheckOptions(metric="mrr@5", tolerance=1.0)
    assert refresh(registry.path, later(POPULAR), publish_check=easy).version == registry.current()
    assert refresh(registry.path, later(POPULAR, 9000), publish_check=NO_CHECK).decision is None


def test_new_items_are_misses_of_the_current_version(model):
    result = refresh(model, later([[10, 77], [77, 10]] * 20), publish_check=CHECK)
    # ten held out: half of their targets are the new item
    assert result.decision.unknown_targets == {"current": 5, "refreshed": 0}
    assert result.decision.refreshed > result.decision.current
    assert result.decision.low > 0
    assert result.artifact.items.index(77) > 0


def test_a_rare_new_item_stays_out(store, tmp_path):
    base = train(store, "pop")
    options = options_from_manifest(base.trained["protocol"], base.trained["prepared"])
    assert options.filters.min_item_support == 1
    strict = replace(options, filters=replace(options.filters, min_item_support=3))
    log = later([[10, 77, 20], [77, 50], [88, 99], [88, 10], [88, 20], [88, 30]])
    refreshed = refresh(base, log, publish_check=NO_CHECK, options=strict)
    known = refreshed.artifact.items
    assert [known.index(i) > 0 for i in (77, 88, 99, 50)] == [False, True, False, True]
    # [77, 50] and [88, 99] have lost all but one click; without the latter 88 has three
    assert refreshed.report["sessions"] == 4


def test_an_older_log_is_refused(model):
    with pytest.raises(
        SourceError,
        match=r"none after the last click of the artifact at .*, so the log is not newer",
    ):
        refresh(model, frame_of(SESSIONS[:10]), publish_check=NO_CHECK)


@pytest.mark.parametrize("seconds", [0.001, 1000])
def test_another_unit_of_time_is_refused(model, seconds):
    options = options_from_manifest(model.trained["protocol"], model.trained["prepared"])
    asked = replace(options, read=replace(options.read, unit="s"))
    log = later(NEW, seconds=seconds)
    with pytest.raises(SourceError, match=r"1000 times too small|expected a time of 1990 to"):
        refresh(model, log, options=asked, publish_check=NO_CHECK)


def test_relative_times_in_another_unit_are_refused(tmp_path):
    shop = frame_of(SESSIONS)
    shop = shop.with_columns(time=shop["time"] - START)
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="fraction")
    )
    base = train(prepare(shop, tmp_path / "store", options=options).store, "pop")
    log = later(NEW, 40)
    log = log.with_columns(time=(log["time"] - START) * 1000)
    with pytest.raises(
        SourceError, match=r"1000 times too large to follow .*--time-unit|expected a time of 1990"
    ):
        refresh(base, log, publish_check=NO_CHECK)


def test_a_log_of_years_after_is_refused(model):
    with pytest.raises(SourceError, match=r"more than a year after the last click of the artifact"):
        refresh(model, later(NEW, 24 * 400), publish_check=NO_CHECK)


def test_a_log_without_a_known_item_is_refused(model):
    log = later([[i + 1000 for i in s] for s in NEW])
    with pytest.raises(
        SourceError, match=r"none of the 4 items of the new log, such as 1010, is among the 5 of"
    ):
        refresh(model, log, publish_check=NO_CHECK)


def test_a_log_without_a_new_session_is_refused(model):
    log = later([[10], [20], [30]])
    with pytest.raises(EmptyLogError, match=r"the new log has no new session: 0 ended by"):
        refresh(model, log, publish_check=NO_CHECK)


def test_sessions_that_were_over_are_left_out_and_counted(model):
    both = pl.concat([frame_of(SESSIONS[:6]), later(NEW)])
    result = refresh(model, both, publish_check=NO_CHECK)
    assert result.report["sessions"] == len(NEW)
    assert result.report["old_sessions"] == 6
    assert any(w.startswith("6 sessions ended by ") for w in result.warnings)


def test_sessions_across_the_last_click_stay_whole_or_are_cut(model):
    last = model.trained["last_ms"] // 1000
    rows = [(1, 10, last - 60), (1, 20, last), (1, 30, last + 60), (1, 40, last + 90)]
    log = pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])
    whole = refresh(model, log, publish_check=NO_CHECK)
    assert whole.report["events"] == 4
    assert any("1 sessions began by" in w and "--overlap cut" in w for w in whole.warnings)
    cut = refresh(model, log, publish_check=NO_CHECK, overlap="cut")
    assert cut.report["events"] == 2
    assert any(w.startswith("2 clicks up to ") for w in cut.warnings)
    with pytest.raises(ConfigError, match="overlap must be whole or cut, got 'some'"):
        refresh(model, log, publish_check=NO_CHECK, overlap="some")


def test_a_table_without_its_sessions_is_refused(store, tmp_path):
    bare = train(store, "item-knn")
    with pytest.raises(ArtifactError, match=r"item-knn needs the sessions it was trained on"):
        refresh(bare, later(NEW))
    other = make_store(tmp_path / "other", [*SESSIONS, [10, 30], [30, 10]] * 2)
    with pytest.raises(ArtifactError, match=r"the model was first trained on data .*; name the"):
        refresh(bare, later(NEW), store=other)


def test_an_artifact_without_times_is_refused(model):
    old = replace(model, trained={k: v for k, v in model.trained.items() if k != "last_ms"})
    with pytest.raises(ArtifactError, match=r"markov does not know when its log ended"):
        refresh(old, later(NEW))


def test_the_metric_of_a_small_catalog(model):
    with pytest.warns(NextclickWarning, match="5 items: K = 20 is lowered to 5"):
        refreshed = refresh(model, later(NEW), publish_check=PublishCheckOptions(metric="mrr@20"))
    assert refreshed.decision.metric == "mrr@5"


def test_a_gate_that_cannot_be(model):
    with pytest.raises(ConfigError, match=r"holdout 0.1: the new log has 1 session, of which none"):
        refresh(model, later(NEW[:1]))
    with pytest.raises(EmptyLogError, match="no prefix to evaluate"):
        refresh(model, later([[10, 20], [30]]), publish_check=CHECK, options=one_click(model))
    assert [n_held_out(n, 0.1) for n in (2, 10, 100)] == [1, 1, 10]


def one_click(model):
    options = options_from_manifest(model.trained["protocol"], model.trained["prepared"])
    return replace(options, filters=replace(options.filters, min_session_length=1))


def test_pickles_are_not_a_newer_log(model):
    options = options_from_manifest(model.trained["protocol"], None)
    asked = replace(options, read=replace(options.read, format="srgnn"))
    with pytest.raises(ConfigError, match=r"format srgnn has no times, so the log cannot be shown"):
        refresh(model, later(NEW), options=asked)


def test_a_refreshed_model_is_measured_on_a_later_store(model, store, tmp_path):
    """The store has another vocabulary; items go by their raw ids."""
    refreshed = refresh(model, later([*NEW, [10, 77]]), publish_check=NO_CHECK).artifact
    parts = later(NEW), later([[5, 10]], 2000), later([[5, 10, 20], [10, 20]], 3000)
    everything = pl.concat([frame_of(SESSIONS), *parts])
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="boundary", boundary=str((START + 2500 * HOUR) * 1000)),
    )
    newer = prepare(everything, tmp_path / "newer", options=options).store
    result = evaluate(refreshed, newer, ks=[1], n_bootstrap=0)
    assert result.data_fingerprint == newer.fingerprint
    assert result.protocol["trained_on"] == "train, refreshed 1 times"
    # 20 follows 10, twice; after 5, which the model does not know, nothing follows
    assert result.metrics["recall@1"].value == pytest.approx(2 / 3)
    with pytest.raises(ArtifactError, match=r"ended before: the metrics would be biased"):
        evaluate(refreshed, store)
    with pytest.raises(ArtifactError, match="the model was trained on data"):
        evaluate(model, newer)


def test_tuning_says_what_it_was(store):
    base = train(store, "bpr-mf", config={"epochs": 3})
    result = refresh(
        base, later(NEW), publish_check=NO_CHECK, fine_tune=FineTuneOptions(epochs=2, minutes=5)
    )
    record = json.loads(json.dumps(result.artifact.trained))["refreshes"][0]
    assert (record["update"], record["rate"], record["reproducible"]) == ("fine-tune", 0.5, False)
    with pytest.raises(ArtifactError, match=r"name its store with --store, or omit --replay"):
        refresh(base, later(NEW), fine_tune=FineTuneOptions(replay=1))
    mixed = refresh(
        base, later(NEW), publish_check=NO_CHECK, fine_tune=FineTuneOptions(replay=0.5), store=store
    )
    assert mixed.report["replayed_sessions"] == 10


def future_session(log):
    now = int(time.time())
    columns = {"session": 9_999_999, "item": log["item"][0], "time": [now + 9 * 86_400] * 2}
    return pl.DataFrame({"user": "u", **columns}).select(log.columns).cast(dict(log.schema))


def test_a_session_in_the_future_never_ends_the_log(model):
    log = later(NEW)
    result = refresh(model, pl.concat([log, future_session(log)]), publish_check=NO_CHECK)
    assert result.artifact.trained["last_ms"] == int(log["time"].max()) * 1000
    assert any("end in the future or long after the others" in w for w in result.warnings)


def test_an_artifact_whose_log_ends_in_the_future_is_refreshed(store):
    base = train(store, "pop")
    base.trained["last_ms"] = round((time.time() + 9 * 86_400) * 1000)
    result = refresh(base, later(NEW), publish_check=NO_CHECK)
    assert any("the last click of the artifact is in the future" in w for w in result.warnings)


def test_text_ids_do_not_turn_integer_ids_into_text(model):
    log = later(NEW)
    text = log.with_columns(item=pl.col("item").cast(pl.String).replace("40", "A40"))
    message = r"the items of the model are integers, such as 10, and the new log has 'A40'; all ids"
    with pytest.raises(SourceError, match=message):
        refresh(model, text, publish_check=NO_CHECK)
    floats = log.with_columns(item=pl.col("item").cast(pl.String) + ".0")
    assert not refresh(model, floats, publish_check=NO_CHECK).artifact.items.is_text


def test_a_refresh_reads_dates_in_the_order_that_the_longer_log_decided(tmp_path):
    def dated(frame):
        times = pl.from_epoch("time", time_unit="s").dt.strftime("%d/%m/%Y %H:%M:%S")
        return frame.with_columns(times.alias("time"))

    start = datetime(2017, 10, 3, tzinfo=UTC).timestamp()
    later_start = datetime(2018, 2, 3, tzinfo=UTC).timestamp()
    log = frame_of(SESSIONS)
    log = log.with_columns(time=((log["time"] - log["time"].min()) * 24 + start).cast(pl.Int64))
    day = frame_of(NEW)
    day = day.with_columns(
        time=((day["time"] - day["time"].min()) // 9 + later_start).cast(pl.Int64)
    )
    store = prepare(dated(log), tmp_path / "store", options=OPTIONS).store
    assert store.manifest["prepared"]["read"]["time_format"] == "%d/%m/%Y %H:%M:%S%.f"
    result = refresh(train(store, "pop"), dated(day), publish_check=NO_CHECK)
    assert result.artifact.trained["last_ms"] == int(day["time"].max()) * 1000
