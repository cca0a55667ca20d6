"""What holds for every model that counts."""

from types import MappingProxyType

import numpy as np
import pytest

from nextclick.core import hardware as runtime
from nextclick.core.config import describe
from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import SparseScorer, silent
from nextclick.models import model_class
from nextclick.models.base import Model

NAMES = ["pop", "s-pop", "item-knn", "markov", "rules", "session-knn"]
N = 40


def random_sessions(seed, n_sessions, low=1, n_items=N):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 9, n_sessions)
    return [rng.integers(low, n_items + 1, length).tolist() for length in lengths]


def fit(name, log, n_items=N):
    cls = model_class(name)
    return cls.fit(Sessions.from_lists(log, n_items), cls.Config(), seed=0, progress=silent)


LOG = random_sessions(1, 300)
BATCH = SessionBatch.from_lists([[], *random_sessions(2, 200), []])


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_is_a_model_that_scores_sparsely(name):
    model = fit(name, LOG)
    assert isinstance(model, Model)
    assert isinstance(model, SparseScorer)
    assert model.name == name
    assert model.n_items == N


def test_every_parameter_is_described(name):
    for parameter in describe(model_class(name).Config):
        assert parameter.description, parameter.name
        assert parameter.default is not None, parameter.name


def test_scores_are_finite_float32_over_all_items(name):
    scores = fit(name, LOG).score(BATCH)
    assert scores.shape == (len(BATCH), N + 1)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_sparse_scores_keep_their_promises(name):
    sparse = fit(name, LOG).score_sparse(BATCH)
    assert (sparse.offsets.dtype, sparse.items.dtype) == (np.int64, np.int32)
    assert (sparse.values.dtype, sparse.base.dtype) == (np.float32, np.float32)
    assert sparse.base.shape == (N + 1,)
    assert sparse.offsets[0] == 0
    assert sparse.offsets[-1] == len(sparse.items) == len(sparse.values)
    for start, stop in zip(sparse.offsets[:-1], sparse.offsets[1:], strict=True):
        row = sparse.items[start:stop]
        assert len(np.unique(row)) == len(row)
        assert ((row >= 1) & (row <= N)).all()


def test_an_empty_session_lists_nothing(name):
    offsets = fit(name, LOG).score_sparse(BATCH).offsets
    assert offsets[1] == 0
    assert offsets[-1] == offsets[-2]


def test_a_batch_of_no_rows(name):
    assert fit(name, LOG).score(SessionBatch.from_lists([])).shape == (0, N + 1)


def test_an_item_without_a_past_lists_no_other_item(name):
    model = fit(name, LOG, n_items=N + 1)
    sparse = model.score_sparse(SessionBatch.from_lists([[N + 1]]))
    assert set(sparse.items.tolist()) <= {N + 1}


def test_rows_do_not_influence_each_other(name):
    model = fit(name, LOG)
    together = model.score(BATCH)
    for row in range(0, len(BATCH), 17):
        alone = SessionBatch(BATCH.items[row : row + 1], BATCH.lengths[row : row + 1])
        assert model.score(alone).tolist() == [together[row].tolist()]


def test_what_stands_behind_the_end_of_a_session_is_not_read(name):
    model = fit(name, LOG)
    clean = SessionBatch.from_lists([[3, 4]])
    dirty = SessionBatch(np.array([[3, 4, 5, 6]], dtype=np.int32), clean.lengths)
    assert model.score(clean).tolist() == model.score(dirty).tolist()


def test_the_state_builds_the_same_model_even_where_it_may_not_be_written_to(name):
    model = fit(name, LOG)
    state = {key: array.copy() for key, array in model.state().items()}
    for array in state.values():
        array.flags.writeable = False
    again = type(model).from_state(MappingProxyType(state), model.config)
    assert again.n_items == N
    assert again.config == model.config
    assert again.score(BATCH).tolist() == model.score(BATCH).tolist()


def test_the_number_of_threads_changes_nothing(name, monkeypatch):
    found = []
    for cpus in (1, 5):
        monkeypatch.setattr(runtime, "cpus", lambda cpus=cpus: cpus)
        model = fit(name, LOG)
        state = {key: array.tolist() for key, array in model.state().items()}
        found.append((state, model.score(BATCH).tolist()))
    assert found[0] == found[1]


def test_nothing_is_learned_from_unknown_clicks(name):
    log = random_sessions(3, 200, low=0)
    model = fit(name, log)
    assert not np.isin(0, model.score_sparse(BATCH).items)
    padded = [[*session, 0] for session in log] + [[0], [0, 0]]
    if name == "session-knn":  # its idf counts sessions, known or not
        padded = padded[:-2]
    assert fit(name, padded).score(BATCH).tolist() == model.score(BATCH).tolist()


def test_a_log_of_no_sessions(name):
    model = fit(name, [])
    scores = model.score(SessionBatch.from_lists([[1, 2], []]))
    assert np.isfinite(scores).all()


def test_a_later_part_of_a_log_is_learned_as_if_it_were_alone(name):
    cls = model_class(name)
    whole = Sessions.from_lists(LOG, N)
    part = cls.fit(whole.slice(100, 300), cls.Config(), seed=0, progress=silent)
    assert part.score(BATCH).tolist() == fit(name, LOG[100:]).score(BATCH).tolist()


def test_fitting_tells_how_far_it_is(name):
    told = []
    cls = model_class(name)
    cls.fit(
        Sessions.from_lists(LOG, N),
        cls.Config(),
        seed=0,
        progress=lambda stage, done, total: told.append((stage, done, total)),
    )
    stage, done, total = told[-1]
    assert stage
    assert done == total
