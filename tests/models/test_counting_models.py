"""Properties of all models with sparse scores."""

import numpy as np
import pytest

from installed import COUNTING
from nextclick.core import hardware as runtime
from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.models.model_registry import model_class

NAMES = [n for n in COUNTING if model_class(n).default_capabilities.sparse_scores]
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


def test_an_empty_session_lists_nothing(name):
    offsets = fit(name, LOG).score_sparse(BATCH).offsets
    assert offsets[1] == 0
    assert offsets[-1] == offsets[-2]


def test_an_item_without_training_clicks_lists_no_other_item(name):
    model = fit(name, LOG, n_items=N + 1)
    sparse = model.score_sparse(SessionBatch.from_lists([[N + 1]]))
    assert set(sparse.items.tolist()) <= {N + 1}


def test_the_model_is_independent_of_the_number_of_threads(name, monkeypatch):
    results = []
    for cpus in (1, 5):
        monkeypatch.setattr(runtime, "cpus", lambda cpus=cpus: cpus)
        model = fit(name, LOG)
        state = {key: array.tolist() for key, array in model.state().items()}
        results.append((state, model.score(BATCH).tolist()))
    assert results[0] == results[1]


def test_unknown_clicks_are_ignored_in_training(name):
    log = random_sessions(3, 200, low=0)
    model = fit(name, log)
    assert not np.isin(0, model.score_sparse(BATCH).items)
    padded = [[*session, 0] for session in log] + [[0], [0, 0]]
    if name == "session-knn":  # its idf counts sessions, known or not
        padded = padded[:-2]
    assert fit(name, padded).score(BATCH).tolist() == model.score(BATCH).tolist()


def test_an_empty_log(name):
    model = fit(name, [])
    scores = model.score(SessionBatch.from_lists([[1, 2], []]))
    assert np.isfinite(scores).all()


def test_a_slice_of_a_log_trains_like_a_separate_log(name):
    cls = model_class(name)
    whole = Sessions.from_lists(LOG, N)
    part = cls.fit(whole.slice(100, 300), cls.Config(), seed=0, progress=silent)
    assert part.score(BATCH).tolist() == fit(name, LOG[100:]).score(BATCH).tolist()


def test_progress_reaches_its_total(name):
    reports = []
    cls = model_class(name)
    cls.fit(
        Sessions.from_lists(LOG, N),
        cls.Config(),
        seed=0,
        progress=lambda stage, done, total: reports.append((stage, done, total)),
    )
    stage, done, total = reports[-1]
    assert stage
    assert done == total
