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
from nextclick.models.classical.fpmc import FPMC, FPMCConfig
from reference.bpr_sgd import fpmc
from reference.logs import N_ITEMS, logs

N = 8
# a cycle 1 → 2 → … → 8 → 1, from every start
CYCLE = [[(start + step) % N + 1 for step in range(4)] for start in range(N)] * 20
LEARNING = {"factors": 8, "learning_rate": 0.1, "epochs": 20}


def log_of(sessions, users=None, n_items=None, n_users=0):
    log = Sessions.from_lists(sessions, n_items)
    if users is None:
        return log
    highest_user = max([n_users, *users])
    return replace(log, users=np.array(users, dtype=np.int32), n_users=highest_user)


def fit(log, seed=0, progress=silent, **parameters):
    return FPMC.fit(log, FPMCConfig(**parameters), seed=seed, progress=progress)


def batch_of(sessions, users=None):
    batch = SessionBatch.from_lists(sessions)
    return replace(batch, users=None if users is None else np.array(users, dtype=np.int32))


# from item 1, user 1 goes to 2, user 2 to 3, and the unknown user 0 to either
TASTES = log_of([[1, 2], [1, 3], [1, 2], [1, 3]] * 40, [1, 2, 0, 0] * 40, n_items=4)


def test_scores_are_dense():
    model = fit(log_of(CYCLE), epochs=1, factors=4)
    assert isinstance(model, Model)
    assert not model.capabilities.sparse_scores
    assert (model.name, model.n_items) == ("fpmc", N)
    scores = model.score(SessionBatch.from_lists([[1, 2], [], [8]]))
    assert (scores.shape, scores.dtype) == ((3, N + 1), np.float32)
    assert np.isfinite(scores).all()
    assert model.score(SessionBatch.from_lists([])).shape == (0, N + 1)


@given(log=logs, regularization=st.sampled_from([0.0, 0.1]))
def test_training_equals_the_reference(log, regularization):
    config = FPMCConfig(False, 3, 0.5, regularization, 2, 0.3, 0.1)
    model = FPMC.fit(Sessions.from_lists(log, N_ITEMS), config, seed=3, progress=silent)
    last, users, items = fpmc(log, N_ITEMS, config, 3)
    assert model.last == pytest.approx(last, rel=1e-3, abs=1e-5)
    assert model.items == pytest.approx(items, rel=1e-3, abs=1e-5)
    assert model.users.shape == users.shape == (1, 0)


@given(log=logs, dropout=st.sampled_from([0.0, 0.4]), data=st.data())
def test_training_with_users_equals_the_reference(log, dropout, data):
    n = len(log)
    users = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    config = FPMCConfig(True, 3, 0.5, 0.01, 2, 0.3, dropout)
    sessions = replace(
        Sessions.from_lists(log, N_ITEMS), users=np.array(users, dtype=np.int32), n_users=3
    )
    model = FPMC.fit(sessions, config, seed=3, progress=silent)
    last, of_users, items = fpmc(log, N_ITEMS, config, 3, users, 3)
    assert model.last == pytest.approx(last, rel=1e-3, abs=1e-5)
    assert model.items == pytest.approx(items, rel=1e-3, abs=1e-5)
    assert model.users == pytest.approx(of_users, rel=1e-3, abs=1e-5)


def test_scores_are_products_with_the_last_click():
    model = fit(log_of(CYCLE), epochs=2, factors=4)
    scores = model.score(SessionBatch.from_lists([[5, 3]]))[0]
    assert scores == pytest.approx(model.items @ model.last[3], rel=1e-4, abs=1e-6)


def test_scores_include_the_factors_of_the_user():
    model = fit(TASTES, users=True, epochs=2, factors=4)
    scores = model.score(batch_of([[2, 1]], [2]))[0]
    expected = model.items[:, :4] @ model.last[1] + model.items[:, 4:] @ model.users[2]
    assert scores == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_next_item_of_a_cycle_ranks_first():
    model = fit(log_of(CYCLE), **LEARNING)
    scores = model.score(SessionBatch.from_lists([[i] for i in range(1, N + 1)]))[:, 1:]
    assert (scores.argmax(1) + 1).tolist() == [2, 3, 4, 5, 6, 7, 8, 1]


def test_only_the_last_click_is_read():
    model = fit(log_of(CYCLE), epochs=2, factors=4)
    scores = model.score(SessionBatch.from_lists([[3, 5], [1, 2, 5], [5]]))
    assert scores[1] == pytest.approx(scores[0])
    assert scores[2] == pytest.approx(scores[0])


def test_transitions_depend_on_the_user():
    scores = fit(TASTES, users=True, **LEARNING).score(batch_of([[1], [1], [1]], [1, 2, 0]))
    assert scores[0].argmax() == 2
    assert scores[1].argmax() == 3
    either = scores[2, 2:4]
    assert abs(either[0] - either[1]) < min(
        scores[0, 2] - scores[0, 3], scores[1, 3] - scores[1, 2]
    )
    assert either.min() > scores[2, [1, 4]].max()


def test_an_unknown_user_has_row_0():
    model = fit(TASTES, users=True, **LEARNING)
    without_users = model.score(batch_of([[1], []]))
    assert model.score(batch_of([[1], []], [0, 0])).tolist() == without_users.tolist()
    assert without_users[1] == pytest.approx(
        model.items[:, 8:] @ model.users[0], rel=1e-4, abs=1e-6
    )
    assert model.users[0].any()


def test_a_user_without_transitions_is_unknown():
    # user 3 has one click, user 4 none
    sessions = [[1, 2], [1, 3]] * 40 + [[2]]
    model = fit(log_of(sessions, [1, 2] * 40 + [3], n_users=4), users=True, **LEARNING)
    assert model.users[3].tolist() == model.users[4].tolist() == model.users[0].tolist()
    assert model.users[1].tolist() != model.users[0].tolist()


def test_an_empty_session_scores_0_without_users():
    model = fit(TASTES, epochs=2, factors=4)
    assert not model.score(batch_of([[]], [1])).any()


def test_users_are_ignored_by_default():
    model = fit(TASTES, epochs=2, factors=4)
    assert model.users.shape == (1, 0)
    assert model.score(batch_of([[1]], [2])).tolist() == model.score(batch_of([[1]])).tolist()


@pytest.mark.parametrize("log", [log_of(CYCLE), log_of([], users=[])])
def test_a_log_without_user_ids_is_rejected(log):
    message = (
        "fpmc: users=true requires user ids, and this log has none; prepare it with --user-column, "
        "or use users=false"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        fit(log, users=True)


def test_users_are_required_only_if_configured():
    assert FPMC.requires(FPMCConfig(users=True)) == {"users"}
    assert FPMC.requires(FPMCConfig(users=False)) == set()


def test_infinite_weights_are_rejected():
    message = (
        "fpmc: epoch 1: a weight is not finite; lower learning_rate (1e+20) or regularization (1)"
    )
    with pytest.raises(TrainingError, match=re.escape(message)):
        fit(log_of(CYCLE), learning_rate=1e20, regularization=1.0)


def test_the_model_depends_on_the_seed():
    one, again, other = (
        fit(TASTES, seed=s, users=True, epochs=2, factors=4, user_dropout=0.5) for s in (1, 1, 2)
    )
    for name, array in one.state().items():
        assert array.tobytes() == again.state()[name].tobytes()
        assert array.tobytes() != other.state()[name].tobytes()


@pytest.mark.parametrize("users", [False, True])
def test_a_model_built_from_the_state_is_the_same(users):
    model = fit(TASTES, users=users, epochs=2, factors=4)
    state = {name: array.copy() for name, array in model.state().items()}
    for array in state.values():
        array.flags.writeable = False
    again = FPMC.from_state(state, model.config)
    batch = batch_of([[], [1, 2], [3]], [2, 1, 0])
    assert again.score(batch).tolist() == model.score(batch).tolist()
    assert (again.n_items, again.config) == (model.n_items, model.config)


def test_unknown_clicks_and_earlier_sessions_are_ignored():
    expected = fit(log_of(CYCLE), epochs=2, factors=4).items.tobytes()
    unknown = [[0, session[0], 0, *session[1:]] for session in CYCLE] + [[0], []]
    assert fit(log_of(unknown), epochs=2, factors=4).items.tobytes() == expected
    longer = log_of([[8, 7]] * 5 + CYCLE)
    assert fit(longer.slice(5, 5 + len(CYCLE)), epochs=2, factors=4).items.tobytes() == expected


def test_rows_are_independent():
    model = fit(log_of(CYCLE), epochs=2, factors=4)
    sessions = [[1, 2, 3], [], [8], [5, 6, 5, 6]]
    together = model.score(SessionBatch.from_lists(sessions))
    for row, session in enumerate(sessions):
        alone = model.score(SessionBatch.from_lists([session]))
        assert alone[0] == pytest.approx(together[row], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("log", [[], [[]], [[0, 1], [2]]])
def test_a_log_without_a_transition(log):
    reports = []
    model = fit(log_of(log, n_items=4), progress=lambda *report: reports.append(report))
    assert np.isfinite(model.score(SessionBatch.from_lists([[1, 2], []]))).all()
    assert reports == [("train", 0, 0)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"users": "perhaps"}, "fpmc: users must be true or false, got 'perhaps'"),
        ({"factors": 0}, "fpmc: factors must be integer ≥ 1, got 0"),
        ({"learning_rate": -1}, "fpmc: learning_rate must be number > 0, got -1"),
        ({"regularization": -1}, "fpmc: regularization must be number ≥ 0, got -1"),
        ({"epochs": 0}, "fpmc: epochs must be integer ≥ 1, got 0"),
        ({"init_std": 0}, "fpmc: init_std must be number > 0, got 0"),
        ({"user_dropout": 1}, "fpmc: user_dropout must be number ≥ 0 and < 1, got 1"),
    ],
)
def test_invalid_parameters_are_rejected(values, message):
    with pytest.raises(ConfigError, match=message):
        build_config(FPMCConfig, values, "fpmc")
