"""Models that are trained on, and models that advance by blocks of time."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, prepare, train
from nextclick.artifact import Artifact
from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.errors import ArtifactError, ConfigError, TrainingError
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.refresh_options import FineTuneOptions, PublishCheckOptions
from nextclick.graphs.daily_graphs import DailyGraphs
from nextclick.models.base import Capabilities, Model
from nextclick.models.incremental_state import scatter_rows
from nextclick.models.neural.tasrec import TASRec
from nextclick.models.ops.temporal_history import GRAPH_ARRAYS
from nextclick.simulation.simulate import SimulationConfig, simulate_frame
from nextclick.training.trainer import Trainer
from small_shop import START, frame_of, make_store

DAY = 86_400
SESSIONS = [[10, 20, 30], [20, 30, 40], [30, 40, 10], [40, 10, 20], [10, 50], [10, 20]] * 20
NEW = [[10, 20, 60], [60, 30, 40], [30, 40, 10], [40, 10, 20, 60]] * 15
CHECK = PublishCheckOptions(holdout=0.2, metric="recall@2")
OVER = "2100-01-01"  # all blocks of a log are over by then
SMALL = {"epochs": 4, "batch_size": 32, "metric": "recall@2", "learning_rate": 0.02}


def later(sessions, hours=2000):
    frame = frame_of(sessions)
    return frame.with_columns(time=frame["time"] + hours * 3600, session=frame["session"] + 10_000)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store", SESSIONS)


@pytest.fixture(scope="module")
def model(store):
    return train(store, "gru4rec", config=SMALL | {"hidden_width": 12})


def after(artifact, *raw_ids):
    """Raw ids, the likeliest next click first."""
    batch = SessionBatch.from_lists([[artifact.items.index(raw) for raw in raw_ids]])
    order = np.argsort(-artifact.model.score(batch)[0, 1:], kind="stable")
    return [artifact.items.raw(int(i) + 1) for i in order]


def test_a_neural_model_learns_the_new_item_and_keeps_the_old(model):
    assert after(model, 30)[0] == 40
    before = {key: array.tobytes() for key, array in model.model.state().items()}
    fine_tune = FineTuneOptions(epochs=6, rate=1.0)
    result = refresh(model, later(NEW), publish_check=CHECK, fine_tune=fine_tune)
    assert result.accepted
    refreshed = result.artifact
    assert refreshed.items.ids() == [10, 20, 30, 40, 50, 60]
    assert after(refreshed, 10, 20)[0] == 60
    assert after(refreshed, 30)[0] == 40
    assert (
        result.decision.unknown_targets["current"]
        > 0
        == result.decision.unknown_targets["refreshed"]
    )
    assert result.report["update"] == "fine-tune"
    assert result.report["epochs"] == 6
    assert {key: array.tobytes() for key, array in model.model.state().items()} == before
    again = refresh(model, later(NEW), publish_check=CHECK, fine_tune=fine_tune).artifact
    for key, array in refreshed.model.state().items():
        np.testing.assert_array_equal(again.model.state()[key], array, err_msg=key)


def test_a_refreshed_neural_model_is_saved_and_goes_on(model, tmp_path):
    refresh(
        model,
        later(NEW),
        tmp_path / "one",
        publish_check=CHECK,
        fine_tune=FineTuneOptions(epochs=2),
    )
    result = refresh(
        tmp_path / "one", later([[60, 70, 10]] * 20, 4000), tmp_path / "two", publish_check=CHECK
    )
    refreshed = Artifact.load(tmp_path / "two")
    assert refreshed.items.index(70) > 0
    assert len(refreshed.trained["refreshes"]) == 2
    scores = refreshed.model.score(SessionBatch.from_lists([[1, 2]]))
    np.testing.assert_array_equal(
        scores, result.artifact.model.score(SessionBatch.from_lists([[1, 2]]))
    )


def test_without_epochs_new_items_get_rows_and_nothing_is_trained(model):
    refreshed = refresh(
        model, later(NEW), publish_check=CHECK, fine_tune=FineTuneOptions(epochs=0)
    ).artifact
    index = np.append(np.int32(0), refreshed.items.indices(model.items.ids()))
    for name, array in model.model.state().items():
        moved = refreshed.model.state()[name]
        moved = moved[index] if name in model.model.item_arrays else moved
        np.testing.assert_array_equal(moved, array, err_msg=name)
    assert "history" not in refreshed.trained["refreshes"][0]
    assert len(refreshed.items) == 6


def test_minutes_stop_the_training(model):
    result = refresh(
        model,
        later(NEW),
        publish_check=PublishCheckOptions(holdout=0),
        fine_tune=FineTuneOptions(500, minutes=0.001),
    )
    assert 0 < result.report["epochs"] < 500
    assert not result.report["reproducible"]


def test_older_sessions_are_replayed(model, store):
    result = refresh(
        model,
        later(NEW),
        publish_check=PublishCheckOptions(holdout=0),
        fine_tune=FineTuneOptions(replay=1.0),
        store=store,
    )
    assert result.report["replayed_sessions"] == len(NEW)
    assert result.report["history"][0]["samples"] > sum(len(s) - 1 for s in NEW)


def test_a_rate_that_is_too_high_says_so(store):
    base = train(store, "bpr-mf", config={"epochs": 1})
    with pytest.raises(TrainingError, match="bpr-mf: epoch 1: a weight is not finite"):
        refresh(base, later(NEW), publish_check=CHECK, fine_tune=FineTuneOptions(rate=1e30))


def test_users_have_to_be_named(tmp_path):
    frame = frame_of(SESSIONS)
    frame = frame.with_columns(user=frame["session"] % 7)
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="fraction")
    )
    store = prepare(frame, tmp_path / "store", options=options).store
    base = train(store, "bpr-mf", config={"of": "user", "epochs": 2})
    with pytest.raises(ConfigError, match=r"bpr-mf reads users and the new log has none"):
        refresh(base, later(NEW))
    log = later(NEW).with_columns(user=pl.lit(3))
    refreshed = refresh(base, log, publish_check=PublishCheckOptions(holdout=0)).artifact
    assert refreshed.users.ids() == base.users.ids()
    changed = (refreshed.model.users != base.model.users).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [base.users.index(3)]


@dataclass(frozen=True)
class DiaryConfig:
    pass


class Diary(Model):
    """Counts clicks, and notes for each block how many sessions it had."""

    name = "diary"
    Config = DiaryConfig
    default_capabilities = Capabilities(update="by-block")
    item_arrays = ("clicks",)

    def __init__(self, config, clicks, days, last_block):
        self.config, self.clicks, self.days, self.last_block = config, clicks, days, last_block
        self.waiting = []

    @property
    def n_items(self):
        return len(self.clicks) - 1

    def keep_open(self, sessions):
        self.waiting.append(sessions)

    def advance(self, sessions):
        for part in (*self.waiting, sessions):
            self.clicks += part.support().astype(np.float32)
        self.clicks[0] = 0
        self.days = np.append(self.days, sum(map(len, (*self.waiting, sessions))))
        self.waiting = []
        self.last_block += 1

    def score(self, batch):
        return np.tile(self.clicks, (len(batch), 1))

    def state(self):
        return {"clicks": self.clicks, "days": self.days, "last": np.array([self.last_block])}

    @classmethod
    def from_state(cls, state, config):
        return cls(config, state["clicks"], state["days"], int(state["last"][0]))


@pytest.fixture
def diary(store):
    """A diary up to the last block of the training."""
    record = train(store, "pop")
    last = int(store.part("train").blocks[-1])
    clicks = scatter_rows(record.model.popularity, np.arange(6, dtype=np.int32), 5)
    return replace(record, model=Diary(DiaryConfig(), clicks, np.zeros(0, np.int64), last))


def sessions_on(days, first):
    """[10, 20] so many times a day, from day `first` on."""
    rows = [
        (n * 1000 + day, item, START // DAY * DAY + (first + day) * DAY + 3600 * (n + 1) + 30 * x)
        for day, count in enumerate(days)
        for n in range(count)
        for x, item in enumerate((10, 20, 60))
    ]
    return pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])


def test_a_model_advances_block_by_block(diary):
    last = diary.model.last_block
    log = sessions_on([2, 0, 0, 3, 1], last + 1)
    refreshed = refresh(diary, log, publish_check=NO_CHECK, until=OVER).artifact
    assert refreshed.model.days.tolist() == [2, 0, 0, 3, 1]
    assert refreshed.model.last_block == last + 5
    began = diary.model.clicks[diary.items.index(20)]  # the only neighbor of the new item
    assert refreshed.model.clicks[refreshed.items.index(60)] == began + 6
    assert (diary.model.last_block, len(diary.model.days)) == (last, 0)
    check = replace(CHECK, holdout=0.4, tolerance=1.0)
    gated = refresh(diary, log, publish_check=check, until=OVER)
    assert gated.decision.sessions == 2
    assert gated.artifact.model.days.tolist() == [2, 0, 0, 3, 1]
    assert gated.report["update"] == "by-block"


def test_empty_blocks_before_the_log_count(diary):
    last = diary.model.last_block
    log = sessions_on([1], last + 4)
    refreshed = refresh(diary, log, publish_check=NO_CHECK, until=OVER).artifact
    assert refreshed.model.days.tolist() == [0, 0, 0, 1]


def test_a_block_that_is_not_over_stays_open(diary):
    last = diary.model.last_block
    log = sessions_on([2, 3], last + 1)  # ends in the first hours of the second day
    refreshed = refresh(diary, log, publish_check=NO_CHECK).artifact
    assert (refreshed.model.days.tolist(), refreshed.model.last_block) == ([2], last + 1)
    assert [len(part) for part in refreshed.model.waiting] == [3]
    end = START // DAY * DAY + (last + 3) * DAY
    for until, days in ((end - 3601, [2]), (end - 3600, [2, 3]), (end, [2, 3])):
        over = refresh(diary, log, publish_check=NO_CHECK, until=str(1000 * until)).artifact
        assert over.model.days.tolist() == days, "an hour of a day may be missing"


def test_a_block_is_over_if_the_log_goes_on_after_it(diary):
    """The last block of what is left of a log, whose later sessions are too short."""
    last = diary.model.last_block
    log = sessions_on([2, 1], last + 1)
    short = log.filter((pl.col("session") % 1000 == 0) | (pl.col("item") == 10))
    refreshed = refresh(diary, short, publish_check=NO_CHECK).artifact
    assert (refreshed.model.days.tolist(), refreshed.model.waiting) == ([2], [])


def test_the_end_of_a_log_is_a_time(diary):
    log = sessions_on([1], diary.model.last_block + 1)
    with pytest.raises(ConfigError, match=r"until must be ISO 8601 or milliseconds .* 'midnight'"):
        refresh(diary, log, until="midnight")


def test_sessions_of_a_block_that_is_over_count_with_the_next(diary):
    last = diary.model.last_block
    diary.model.last_block += 2
    log = sessions_on([1], last + 2)
    refreshed = refresh(diary, log, publish_check=NO_CHECK, until=OVER).artifact
    assert (len(refreshed.model.days), refreshed.model.last_block) == (0, last + 2)
    assert [len(part) for part in refreshed.model.waiting] == [1]


def test_a_gate_may_be_shown_sessions_of_closed_blocks_only(diary):
    last = diary.model.last_block
    diary.model.last_block += 1  # the first day of the log
    log = sessions_on([3, 1], last + 1)
    check = replace(CHECK, holdout=0.2, tolerance=1.0)
    result = refresh(diary, log, publish_check=check, until=OVER)
    assert result.decision.sessions == 1
    assert result.artifact.model.days.tolist() == [4], "late sessions count with the next block"


COUNTS = [2, 0, 3]
ONE_BY_ONE = PublishCheckOptions(holdout=0.4, metric="recall@2", tolerance=1.0)
NO_CHECK = PublishCheckOptions(holdout=0)


@pytest.fixture(scope="module")
def tasrec(store):
    config = {"epochs": 1, "keep": "last", "width": 8, "metric": "recall@2", "loss": "ce"}
    return train(store, "tasrec", train_on="all", config=config | {"negatives": 0})


def indices(refreshed, base):
    """Where the items of the base are in the refreshed model."""
    return np.append(np.int32(0), refreshed.items.indices(base.items.ids())).astype(np.int32)


def newest(artifact):
    """The last block of the training, which is not over: the test begins within it."""
    return artifact.model.last_block + 1


def both_logs(store, base, refreshed, counts=COUNTS):
    """The sessions of the store and those of `sessions_on`, as one log of the refreshed model."""
    first = newest(base) + 1
    blocks = np.repeat(np.arange(first, first + len(counts)), counts).astype(np.int32)
    session = refreshed.items.indices([10, 20, 60]).tolist()
    new = replace(Sessions.from_lists([session] * len(blocks), 6), blocks=blocks)
    old = replace(store.part("train").remap_items(indices(refreshed, base), 6), times=None)
    return old.concatenate(new)


def same_state(one, other):
    result, expected = one.model.state(), other.model.state()
    return result.keys() == expected.keys() and all(
        np.array_equal(result[name], array) for name, array in expected.items()
    )


@pytest.mark.parametrize("epochs", [0, 2])
def test_tasrec_has_the_graph_of_both_logs(store, tasrec, epochs):
    last = newest(tasrec)
    refreshed = refresh(
        tasrec,
        sessions_on(COUNTS, last + 1),
        publish_check=ONE_BY_ONE,
        fine_tune=FineTuneOptions(epochs),
        until=OVER,
    ).artifact
    record = refreshed.trained["refreshes"][0]
    assert record["update"] == "by-block"
    assert ("history" in record) == (epochs > 0)
    assert refreshed.model.last_block == last + 3
    expected = DailyGraphs.from_sessions(both_logs(store, tasrec, refreshed)).graph.state()
    for name, array in expected.items():
        np.testing.assert_array_equal(refreshed.model.state()[name], array)
    assert newest(tasrec) == last
    assert np.isfinite(refreshed.model.score(SessionBatch.from_lists([[1, 6]]))).all()


def test_without_epochs_only_the_graph_moves(tasrec):
    refreshed = refresh(
        tasrec,
        sessions_on(COUNTS, newest(tasrec) + 1),
        publish_check=NO_CHECK,
        fine_tune=FineTuneOptions(
            epochs=0, replay=1.0
        ),  # nothing is replayed, no store is asked for
    ).artifact
    before, after = tasrec.model.state(), refreshed.model.state()
    for name in set(before) - set(GRAPH_ARRAYS):
        moved = after[name]
        if name in tasrec.model.item_arrays:
            moved = moved[indices(refreshed, tasrec)]
        np.testing.assert_array_equal(moved, before[name], err_msg=name)
    new, neighbor = refreshed.items.indices([60, 20])
    np.testing.assert_array_equal(after["items.weight"][new], after["items.weight"][neighbor])


@pytest.mark.parametrize("replay", [0.0, 4.0])
def test_a_new_session_is_trained_on_with_the_days_before_its_own(
    store, tasrec, monkeypatch, replay
):
    seen = {}
    prepare_prefixes = TASRec.prepare_prefixes

    def spy(self, items, cells, session, block=None):
        if block is not None:
            seen[block] = self._history.before[block]
        return prepare_prefixes(self, items, cells, session, block)

    monkeypatch.setattr(TASRec, "prepare_prefixes", spy)
    last = newest(tasrec)
    result = refresh(
        tasrec,
        sessions_on(COUNTS, last + 1),
        publish_check=NO_CHECK,
        fine_tune=FineTuneOptions(replay=replay),
        store=store,
    )
    assert result.report["replayed_sessions"] == round(replay * sum(COUNTS))
    assert {last + 1, last + 3} == {block for block in seen if block > last}
    assert (len(seen) > 2) == (replay > 0)
    expected = DailyGraphs.from_sessions(both_logs(store, tasrec, result.artifact)).neighbors_before
    for block, known in seen.items():
        for name in ("items", "offsets", "neighbors", "weights"):
            np.testing.assert_array_equal(getattr(known, name), getattr(expected[block], name))
    assert result.artifact.model._history.before is None, "nobody needs them any more"


def test_what_is_held_out_is_learned_after_the_gate(tasrec, monkeypatch):
    learned = []
    run = Trainer.run

    def spy(self, sessions, **how):
        weights = {name: array.copy() for name, array in self.model.state().items()}
        learned.append((len(sessions), sessions.blocks.tolist(), weights))
        return run(self, sessions, **how)

    monkeypatch.setattr(Trainer, "run", spy)
    first = newest(tasrec) + 1
    log, fine_tune = sessions_on(COUNTS, first), FineTuneOptions(epochs=2)
    gated = refresh(tasrec, log, publish_check=ONE_BY_ONE, fine_tune=fine_tune)
    whole = refresh(tasrec, log, publish_check=NO_CHECK, fine_tune=fine_tune)
    assert [n for n, _, _ in learned] == [3, 5, 5]
    assert learned[0][1] == [first, first, first + 2]
    assert same_state(gated.artifact, whole.artifact)
    for name, array in learned[0][2].items():  # it begins again where the current version is
        np.testing.assert_array_equal(array, learned[1][2][name], err_msg=name)


def test_refreshes_within_a_day_equal_one_of_the_whole_day(tasrec, tmp_path):
    first = newest(tasrec) + 1
    log = sessions_on([6], first)
    graph_only = FineTuneOptions(epochs=0)
    whole = refresh(tasrec, log, publish_check=NO_CHECK, fine_tune=graph_only, until=OVER).artifact
    base, pairs = tasrec, []
    for n, until in enumerate((None, None, OVER)):  # sessions of 1, 2; 3, 4; 5 and 6 o'clock
        part = log.filter(pl.col("session") // 2000 == n)
        base = refresh(
            base, part, tmp_path / str(n), publish_check=NO_CHECK, fine_tune=graph_only, until=until
        ).artifact
        pairs.append(base.model.neighbor_pairs[base.model.last_block + 1])
        assert base.model.last_block == (first - 1 if n < 2 else first)
    assert pairs[0] == pairs[1] > 0, "the day before is read until this one is over"
    loaded = Artifact.load(tmp_path / "2").model.state()
    for name in GRAPH_ARRAYS:
        np.testing.assert_array_equal(loaded[name], whole.model.state()[name], err_msg=name)


def test_minutes_bound_the_training_of_tasrec_too(tasrec):
    result = refresh(
        tasrec,
        sessions_on(COUNTS, newest(tasrec) + 1),
        publish_check=NO_CHECK,
        fine_tune=FineTuneOptions(500, minutes=0.0001),
    )
    assert 0 < result.report["epochs"] < 500
    assert not result.report["reproducible"]


def test_the_base_variant_of_tasrec_is_tuned(store):
    config = {"variant": "base", "epochs": 1, "width": 8, "metric": "recall@2", "negatives": 8}
    base = train(store, "tasrec", config=config)
    last = base.model.last_block
    result = refresh(
        base,
        sessions_on(COUNTS, last + 1),
        publish_check=NO_CHECK,
        fine_tune=FineTuneOptions(replay=1.0),
        store=store,
    )
    assert (result.report["update"], result.report["replayed_sessions"]) == ("fine-tune", 5)
    assert result.artifact.model.last_block == last + 3


def test_what_tasrec_replays_is_asked_for(tasrec):
    log = sessions_on(COUNTS, newest(tasrec) + 1)
    with pytest.raises(ArtifactError, match=r"tasrec needs the sessions .* or omit --replay"):
        refresh(tasrec, log, publish_check=NO_CHECK, fine_tune=FineTuneOptions(replay=1.0))


def test_training_on_the_new_items_of_a_day_beats_moving_the_graph(tmp_path):
    """Half of the items are released or taken away while the log goes on."""
    shop = SimulationConfig(
        events=4_000, items=80, users=200, days=4, categories=4, new_items=0.5, drift=2.0
    )
    log = simulate_frame(shop).select(
        session="session_id", item="item_id", time="timestamp",
        day=pl.col("timestamp").max().over("session_id") // (DAY * 1000),
    )  # fmt: skip
    last = log["day"].min() + shop.days - 1
    past, new = (
        log.filter(which).drop("day") for which in (pl.col("day") < last, pl.col("day") == last)
    )
    options = PrepareOptions(split=SplitOptions(kind="fraction"))
    store = prepare(past, tmp_path / "store", options=options).store
    config = {"epochs": 6, "width": 16, "learning_rate": 0.01, "keep": "last", "batch_size": 64}
    base = train(store, "tasrec", train_on="all", config=config | {"negatives": 40})
    publish_check = PublishCheckOptions(holdout=0.3, metric="recall@10", tolerance=1.0)
    moved, trained = (
        refresh(
            base, new, publish_check=publish_check, fine_tune=FineTuneOptions(epochs, rate=1.0)
        ).decision
        for epochs in (0, 3)
    )
    assert moved.unknown_targets == trained.unknown_targets
    assert trained.unknown_targets["current"] > trained.unknown_targets["refreshed"]
    assert trained.refreshed > moved.refreshed + 0.1
