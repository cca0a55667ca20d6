"""history=auto of ASARS: what it chooses for a log, and that the model is that of this choice."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, prepare, refresh, train
from nextclick.artifact import Artifact
from nextclick.core.earlier_sessions import returning_share
from nextclick.core.sessions import Sessions
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.errors import ConfigError
from nextclick.experiments.refresh_options import PublishCheckOptions
from nextclick.experiments.search_options import TuneOptions
from nextclick.experiments.search_plan import SearchPlan
from nextclick.experiments.training_setup import TrainingSetup
from nextclick.experiments.validation_objective import ValidationObjective
from nextclick.export.exportable import check_exportable
from nextclick.models.neural.asars import ASARS, ASARSConfig
from nextclick.training.training_config import NeuralOptions
from small_shop import SESSIONS, frame_of, make_store, make_user_store

WIDTHS = {"item_width": 8, "gap_width": 4, "user_width": 4, "hidden_width": 8}
QUICK = WIDTHS | {"epochs": 1, "threads": 1, "metric": "recall@2"}
CHOSEN = {"history": "attention-repeat"}


def log_of(users, starts, n_clicks=2):
    """A session of each user, with a click each second from its start."""
    log = Sessions.from_lists([[1, 2, 3][:n_clicks]] * len(users), n_items=3)
    times = np.add.outer(np.array(starts) * 1000, np.arange(n_clicks) * 1000).ravel()
    return replace(log, times=times, users=np.array(users, np.int32), n_users=max(users))


def store_of(folder, user_of):
    """The sessions of the small shop, each of the user that `user_of` gives its number."""
    frame = frame_of(SESSIONS)
    users = pl.Series([user_of(session) for session in frame["session"].to_list()])
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.2, valid_fraction=0.2, unseen="miss"),
    )
    return prepare(frame.with_columns(user=users), folder, options=options).store


@pytest.fixture(scope="module")
def returning(tmp_path_factory):
    return make_user_store(tmp_path_factory.mktemp("returning") / "store")


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Each user has one session."""
    return store_of(tmp_path_factory.mktemp("single") / "store", lambda session: 100 + session)


def test_the_share_of_sessions_with_an_earlier_one():
    assert returning_share(log_of([1, 2, 1, 1], [0, 10, 20, 30])) == 0.5
    assert returning_share(log_of([1, 2, 3], [0, 10, 20])) == 0.0
    assert returning_share(log_of([0, 0, 1], [0, 10, 20])) == 0.0  # anonymous visitors
    assert returning_share(log_of([1, 1], [0, 1])) == 0.0  # the first ends as the second begins
    assert returning_share(log_of([1, 1], [0, 2])) == 0.5
    log = log_of([1, 1], [0, 10])
    assert returning_share(replace(log, users=None, n_users=0)) == 0.0
    assert returning_share(replace(log, times=None)) == 0.0
    assert returning_share(log.slice(0, 0)) == 0.0


@pytest.mark.parametrize(("n_users", "expected"), [(99, "attention-repeat"), (101, "none")])
def test_a_share_of_one_in_a_hundred_is_enough(n_users, expected):
    users = [*range(1, n_users + 1), 1]
    log = log_of(users, [10 * n for n in range(len(users))])
    assert ASARS.for_log(ASARSConfig(history="auto"), log).history == expected


@pytest.mark.parametrize("history", ["none", "attention", "repeat", "state", "all"])
def test_an_explicit_value_stays(history):
    config = ASARSConfig(history=history)
    for users in ([1, 1], [1, 2]):
        assert ASARS.for_log(config, log_of(users, [0, 10])) is config


@pytest.mark.parametrize(("variant", "kind"), [("time_user", "returning"), ("time_att", "single")])
def test_the_model_is_that_of_the_explicit_value(variant, kind, request, tmp_path):
    store = request.getfixturevalue(kind)
    history = "attention-repeat" if kind == "returning" else "none"
    values = QUICK | {"variant": variant}
    auto = train(store, "asars", tmp_path / "model", config=values)
    explicit = train(store, "asars", config=values | {"history": history})
    assert auto.model.config == explicit.model.config
    assert auto.trained["chosen"] == {"history": history}
    assert "chosen" not in explicit.trained
    after, expected = auto.model.state(), explicit.model.state()
    assert after.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(after[name], array)
    loaded = Artifact.load(tmp_path / "model").model
    assert loaded.config.history == history
    assert loaded.capabilities == explicit.model.capabilities


def test_a_log_without_users_or_times_reads_no_earlier_session(tmp_path):
    store = make_store(tmp_path / "store")
    model = train(store, "asars", config=QUICK | {"variant": "time_att"}).model
    assert model.config.history == "none"
    assert model.capabilities.earlier_sessions == 0


def test_the_published_form_reads_no_earlier_session(returning):
    values = {"epochs": 1, "metric": "recall@2"}
    setup = TrainingSetup(ASARS, returning, values, NeuralOptions(preset="paper"), 0)
    assert setup.model_config.history == "none"
    assert setup.chosen == {}


@pytest.mark.parametrize(("first", "expected"), [(19, "none"), (18, "attention-repeat")])
def test_only_the_sessions_before_the_validation_are_read(tmp_path, first, expected):
    """30 sessions, 19 before the validation; the users of all from `first` on have returned."""

    def user_of(session):
        return 100 + (session if session < first else session - first)

    store = store_of(tmp_path / "store", user_of)
    assert (len(store.part("train_inner")), len(store.part("valid"))) == (19, 5)
    assert returning_share(store.part("train")) > 0.2
    setup = TrainingSetup(ASARS, store, QUICK, NeuralOptions(), 0)
    assert setup.model_config.history == expected


def test_a_trained_model_keeps_the_choice(returning):
    base = train(returning, "asars", config=QUICK | {"first_click": True})
    assert base.model.capabilities.first_click
    with pytest.raises(ConfigError, match=r"history=attention-repeat cannot .* history=none"):
        check_exportable(base.model)
    newer = frame_of([[10, 20, 30]] * 3)  # of users with one session each
    newer = newer.with_columns(
        time=newer["time"] + 2000 * 3600, user=90 + newer["session"], session=newer["session"] + 999
    )
    refreshed = refresh(base, newer, publish_check=PublishCheckOptions(holdout=0)).artifact
    assert refreshed.model.config == base.model.config


def test_a_member_of_a_blend_keeps_the_choice(returning, tmp_path):
    values = "+".join(f"{name}={value}" for name, value in QUICK.items())
    blend = train(
        returning, "blend", tmp_path / "blend", config={"members": f"item-knn,asars@{values}"}
    )
    for artifact in (blend, Artifact.load(tmp_path / "blend")):
        assert artifact.model.members[1].config.history == "attention-repeat"
        assert artifact.model.capabilities.earlier_sessions == 10
    assert blend.trained["members"][1]["chosen"] == CHOSEN


def test_the_trials_of_a_search_train_the_same_form(returning, monkeypatch):
    trained = []
    create = ASARS.__init__

    def spy(self, config, *arguments):
        trained.append(config.history)
        create(self, config, *arguments)

    monkeypatch.setattr(ASARS, "__init__", spy)
    fixed = {name: value for name, value in QUICK.items() if name != "metric"}
    options = TuneOptions(metric="recall@2", fixed=fixed, trials=1)
    plan = SearchPlan.create("asars", options, returning)
    objective = ValidationObjective.create(plan, returning)
    objective({}, on_validation=lambda metrics, share: None, progress=lambda *_: None)
    assert set(trained) == {"attention-repeat"}
