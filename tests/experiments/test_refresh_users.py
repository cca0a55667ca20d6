"""Refresh gives new users with enough clicks a row, in models with a row per user."""

import numpy as np
import polars as pl
import pytest

from nextclick import train
from nextclick.errors import ConfigError
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.refresh_options import FineTuneOptions, PublishCheckOptions
from nextclick.models.classical.fpmc import FPMC, FPMCConfig
from nextclick.models.grow_users import add_user_rows
from small_shop import frame_of, make_user_store

CHECK = PublishCheckOptions(holdout=0, metric="recall@2")
WIDTHS = {"item_width": 8, "gap_width": 4, "user_width": 4, "hidden_width": 8, "epochs": 1}
WIDTHS |= {"metric": "recall@2"}
MODELS = {
    "time_user": ("asars", WIDTHS | {"variant": "time_user"}),
    "user_att drift": ("asars", WIDTHS | {"variant": "user_att", "drift": True}),
    "bpr-mf": ("bpr-mf", {"of": "user", "epochs": 2, "factors": 4}),
    "fpmc": ("fpmc", {"users": True, "epochs": 2, "factors": 4}),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_user_store(tmp_path_factory.mktemp("users") / "store")


def later(*users):
    """A session of three clicks of each user, in a later log."""
    frame = frame_of([[10, 20, 30]] * len(users))
    user_of = dict(enumerate(users))
    return frame.with_columns(
        time=frame["time"] + 2000 * 3600,
        user=frame["session"].replace_strict(user_of, return_dtype=pl.Int64),
        session=frame["session"] + 10_000,
    )


def test_rows_by_hand():
    users = np.arange(6, dtype=np.float32).reshape(3, 2)
    items = np.ones((5, 4), dtype=np.float32)
    model = FPMC(FPMCConfig(factors=2, users=True), items[:, :2], users, items)
    grown = add_user_rows(model, np.array([0, 2, 4], dtype=np.int32), 4)
    assert grown.users.tolist() == [[0, 1], [0, 1], [2, 3], [0, 1], [4, 5]]
    assert model.users.tolist() == users.tolist()


@pytest.mark.parametrize("name", MODELS)
def test_users_with_enough_clicks_get_rows(store, name):
    kind, values = MODELS[name]
    base = train(store, kind, config=values)
    # 9 has six clicks, 11 is known, 99 has three clicks
    log = later(9, 9, 11, 99)
    for epochs in (0, 1):
        fine_tune = FineTuneOptions(epochs=epochs)
        result = refresh(base, log, publish_check=CHECK, fine_tune=fine_tune)
        assert result.artifact.users.ids() == [9, 10, 11, 12]
        assert result.report["new_users"] == 1
        assert result.artifact.model.n_users == 4
        arrays = result.artifact.model.user_arrays
        before, after = base.model.state(), result.artifact.model.state()
        assert arrays
        for array in arrays:
            assert len(after[array]) == 5
            if array == "seen_users":
                assert after[array].tolist() == [False, True, True, True, True]
            elif epochs == 0:
                np.testing.assert_array_equal(after[array][[0, 2, 3, 4]], before[array])
                np.testing.assert_array_equal(after[array][1], before[array][0])
    assert (after[arrays[0]][1] != before[arrays[0]][0]).any()  # trained


def test_no_row_without_enough_clicks(store):
    base = train(store, "fpmc", config=MODELS["fpmc"][1])
    for least, users in [(7, (9, 9)), (0, (9, 9)), (5, (11, 11))]:
        fine_tune = FineTuneOptions(epochs=0, min_user_clicks=least)
        result = refresh(base, later(*users), publish_check=CHECK, fine_tune=fine_tune)
        assert result.artifact.users.ids() == [10, 11, 12]
        assert result.report["new_users"] == 0


def test_a_model_with_a_history_and_no_users_is_trained_further(store):
    values = WIDTHS | {"variant": "time_att", "history": "all", "first_click": True}
    base = train(store, "asars", config=values)
    assert base.users is None
    result = refresh(base, later(9, 9, 11), publish_check=CHECK)
    assert result.artifact.users is None
    assert result.report["epochs"] == 1
    checked = refresh(
        base, later(*[9, 11] * 10), publish_check=PublishCheckOptions(metric="recall@2")
    )
    assert checked.decision is not None
    with pytest.raises(ConfigError, match=r"asars reads users and the new log has none"):
        refresh(base, later(9).drop("user"))
