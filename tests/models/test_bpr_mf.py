import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.core.config import build_config
from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.errors import ConfigError, TrainingError
from nextclick.models.base import Model
from nextclick.models.classical.bpr_mf import BPRMF, BPRMFConfig
from reference.bpr_sgd import bpr_mf
from reference.logs import N_ITEMS, logs

# two groups of items, 1..4 and 5..8; each session has items of one group
TWO_GROUPS = [np.random.default_rng(s).integers(1, 5, 6).tolist() for s in range(200)]
TWO_GROUPS = [[i + 4 * (s % 2) for i in session] for s, session in enumerate(TWO_GROUPS)]
LEARNING = {"factors": 8, "learning_rate": 0.1, "epochs": 20}


def log_of(sessions, users=None, n_items=None):
    log = Sessions.from_lists(sessions, n_items)
    if users is None:
        return log
    return replace(log, users=np.array(users, dtype=np.int32), n_users=max(users, default=0))


def fit(log, seed=0, progress=silent, **parameters):
    return BPRMF.fit(log, BPRMFConfig(**parameters), seed=seed, progress=progress)


def batch_of(sessions, users=None):
    batch = SessionBatch.from_lists(sessions)
    return replace(batch, users=None if users is None else np.array(users, dtype=np.int32))


def test_scores_are_dense():
    model = fit(log_of(TWO_GROUPS), epochs=1, factors=4)
    assert isinstance(model, Model)
    assert not model.capabilities.sparse_scores
    assert (model.name, model.n_items) == ("bpr-mf", 8)
    scores = model.score(SessionBatch.from_lists([[1, 2], [], [8]]))
    assert (scores.shape, scores.dtype) == ((3, 9), np.float32)
    assert np.isfinite(scores).all()
    assert model.score(SessionBatch.from_lists([])).shape == (0, 9)


@given(
    log=logs,
    regularization=st.sampled_from([0.0, 0.1]),
    bias=st.booleans(),
    negatives=st.sampled_from(["unclicked", "first-clicks"]),
)
def test_training_equals_the_reference(log, regularization, bias, negatives):
    config = BPRMFConfig("session", 3, 0.5, regularization, 2, bias, 0.5, negatives)
    model = BPRMF.fit(Sessions.from_lists(log, N_ITEMS), config, seed=3, progress=silent)
    items, expected_bias, users = bpr_mf(log, N_ITEMS, config, 3)
    assert model.items == pytest.approx(items, rel=1e-3, abs=1e-5)
    assert model.bias == pytest.approx(expected_bias, rel=1e-3, abs=1e-5)
    assert model.users.tolist() == users.tolist() == [[0, 0, 0]]


@given(log=logs, data=st.data())
def test_training_with_users_equals_the_reference(log, data):
    n = len(log)
    users = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    config = BPRMFConfig("user", 3, 0.5, 0.01, 2, True, 0.5)
    sessions = replace(
        Sessions.from_lists(log, N_ITEMS), users=np.array(users, dtype=np.int32), n_users=3
    )
    model = BPRMF.fit(sessions, config, seed=3, progress=silent)
    items, bias, of_users = bpr_mf(log, N_ITEMS, config, 3, users, 3)
    assert model.items == pytest.approx(items, rel=1e-3, abs=1e-5)
    assert model.bias == pytest.approx(bias, rel=1e-3, abs=1e-5)
    assert model.users == pytest.approx(of_users, rel=1e-3, abs=1e-5)


def test_a_session_is_scored_with_the_mean_of_its_items_and_the_bias():
    model = fit(log_of(TWO_GROUPS), bias=True, epochs=2, factors=4)
    scores = model.score(SessionBatch.from_lists([[3, 5, 3]]))[0]
    mean = (2 * model.items[3] + model.items[5]) / 3
    assert scores == pytest.approx(model.items @ mean + model.bias, rel=1e-4, abs=1e-6)


def test_the_scores_of_an_empty_session_are_the_bias():
    model = fit(log_of(TWO_GROUPS), bias=True, epochs=2, factors=4)
    assert model.bias.any()
    assert model.score(SessionBatch.from_lists([[], [1]]))[0].tolist() == model.bias.tolist()
    without = fit(log_of(TWO_GROUPS), epochs=2, factors=4)
    assert not without.score(SessionBatch.from_lists([[]])).any()


def test_items_of_the_same_group_rank_first():
    model = fit(log_of(TWO_GROUPS), **LEARNING)
    scores = model.score(SessionBatch.from_lists([[1], [6, 7]]))[:, 1:]
    assert scores[0, :4].min() > scores[0, 4:].max()
    assert scores[1, 4:].min() > scores[1, :4].max()


def test_the_bias_increases_with_popularity():
    log = log_of([[1, 2]] * 50 + [[1, 3]] * 10, n_items=4)
    model = fit(log, bias=True, factors=4, learning_rate=0.1)
    assert model.bias[1] > model.bias[2] > model.bias[3] > model.bias[4]


def test_items_of_the_group_of_a_user_rank_first():
    users = [1 + s % 2 for s in range(200)]  # user 1 clicks the first group
    model = fit(log_of(TWO_GROUPS, users), of="user", **LEARNING)
    scores = model.score(batch_of([[], [], [5]], [1, 2, 1]))[:, 1:]
    assert scores[0, :4].min() > scores[0, 4:].max()
    assert scores[1, 4:].min() > scores[1, :4].max()
    assert scores[2].tolist() == scores[0].tolist()  # the factors of the user, not the clicks


def test_an_unknown_user_is_scored_with_the_session():
    users = [s % 3 for s in range(200)]  # 0 is unknown
    model = fit(log_of(TWO_GROUPS, users), of="user", bias=True, **LEARNING)
    without_users = model.score(batch_of([[5, 6], []]))
    unknown = model.score(batch_of([[5, 6], []], [0, 0]))
    assert unknown.tolist() == without_users.tolist()
    assert unknown[0] == pytest.approx(
        model.items @ model.items[[5, 6]].mean(0) + model.bias, rel=1e-4, abs=1e-5
    )
    assert unknown[1].tolist() == model.bias.tolist()


def test_a_user_without_training_clicks_is_unknown():
    log = replace(log_of(TWO_GROUPS, [1 + s % 2 for s in range(200)]), n_users=3)
    model = fit(log, of="user", **LEARNING)
    assert not model.users[3].any()
    scores = model.score(batch_of([[5, 6]], [3]))
    assert scores.tolist() == model.score(batch_of([[5, 6]])).tolist()


def test_users_are_ignored_with_of_session():
    model = fit(log_of(TWO_GROUPS, [1] * 200), **LEARNING)
    assert model.users.shape == (1, 8)
    scores = model.score(batch_of([[5, 6]], [1]))
    assert scores.tolist() == model.score(batch_of([[5, 6]])).tolist()


@pytest.mark.parametrize("log", [log_of(TWO_GROUPS), log_of([], users=[])])
def test_a_log_without_user_ids_is_rejected(log):
    message = (
        "bpr-mf: of=user requires user ids, and this log has none; prepare it with --user-column, "
        "or use of=session"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        fit(log, of="user")


def test_users_are_required_only_if_configured():
    assert BPRMF.requires(BPRMFConfig(of="user")) == {"users"}
    assert BPRMF.requires(BPRMFConfig(of="session")) == set()


def test_infinite_weights_are_rejected():
    message = (
        "bpr-mf: epoch 1: a weight is not finite; lower learning_rate (1e+20) or regularization (1)"
    )
    with pytest.raises(TrainingError, match=re.escape(message)):
        fit(log_of([[1, 2]], n_items=3), learning_rate=1e20, regularization=1.0)


def test_the_model_depends_on_the_seed():
    log = log_of(TWO_GROUPS)
    one, again, other = (fit(log, seed=s, epochs=2, factors=4) for s in (1, 1, 2))
    for name, array in one.state().items():
        assert array.tobytes() == again.state()[name].tobytes()
    assert one.items.tobytes() != other.items.tobytes()


def test_a_model_built_from_the_state_is_the_same():
    log = log_of(TWO_GROUPS, [s % 3 for s in range(200)])
    model = fit(log, of="user", bias=True, epochs=2, factors=4)
    state = {name: array.copy() for name, array in model.state().items()}
    for array in state.values():
        array.flags.writeable = False
    again = BPRMF.from_state(state, model.config)
    batch = batch_of([[], [1, 2], [3]], [2, 1, 0])
    assert again.score(batch).tolist() == model.score(batch).tolist()
    assert (again.n_items, again.config) == (model.n_items, model.config)


def test_unknown_clicks_and_earlier_sessions_are_ignored():
    expected = fit(log_of(TWO_GROUPS), epochs=2, factors=4).items.tobytes()
    unknown = [[0, *session, 0] for session in TWO_GROUPS] + [[0], []]
    assert fit(log_of(unknown), epochs=2, factors=4).items.tobytes() == expected
    longer = log_of([[8, 7]] * 5 + TWO_GROUPS)
    assert fit(longer.slice(5, 205), epochs=2, factors=4).items.tobytes() == expected


def test_rows_are_independent():
    model = fit(log_of(TWO_GROUPS), epochs=2, factors=4)
    sessions = [[1, 2, 3], [], [8], [5, 6, 5, 6]]
    together = model.score(SessionBatch.from_lists(sessions))
    for row, session in enumerate(sessions):
        alone = model.score(SessionBatch.from_lists([session]))
        assert alone[0] == pytest.approx(together[row], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("log", [[], [[]], [[0]]])
def test_a_log_without_a_click(log):
    reports = []
    model = fit(log_of(log, n_items=4), progress=lambda *report: reports.append(report))
    assert np.isfinite(model.score(SessionBatch.from_lists([[1, 2], []]))).all()
    assert reports == [("train", 0, 0)]


def test_a_session_with_all_items_has_no_negatives():
    model = fit(log_of([[1, 2]] * 5), **LEARNING)
    assert np.isfinite(model.score(SessionBatch.from_lists([[1]]))).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"of": "item"}, "bpr-mf: of must be one of session, user, got 'item'"),
        ({"factors": 0}, "bpr-mf: factors must be integer ≥ 1, got 0"),
        ({"learning_rate": 0}, "bpr-mf: learning_rate must be number > 0, got 0"),
        ({"regularization": -1}, "bpr-mf: regularization must be number ≥ 0, got -1"),
        ({"epochs": 0}, "bpr-mf: epochs must be integer ≥ 1, got 0"),
        ({"bias": "perhaps"}, "bpr-mf: bias must be true or false, got 'perhaps'"),
        ({"init_range": 0}, "bpr-mf: init_range must be number > 0, got 0"),
    ],
)
def test_invalid_parameters_are_rejected(values, message):
    with pytest.raises(ConfigError, match=message):
        build_config(BPRMFConfig, values, "bpr-mf")
