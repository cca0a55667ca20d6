"""A refreshed model that counts is the model of all the data, bit for bit."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick import PrepareOptions, prepare, train
from nextclick.artifact import Artifact
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.refresh_options import PublishCheckOptions
from nextclick.models.incremental_state import PriorSessions, scatter_rows
from nextclick.models.model_registry import model_class
from small_shop import START, make_store

CASES = [
    ("pop", {}),
    ("s-pop", {}),
    ("markov", {}),
    ("markov", {"neighbors": 2}),
    ("rules", {"weighting": "quadratic", "steps": 3}),
    ("rules", {"neighbors": 1}),
    ("item-knn", {"neighbors": 2}),
    ("item-knn", {"count": "clicks", "alpha": 0.3}),
    ("session-knn", {}),
    ("session-knn", {"sample_size": 2, "k": 1}),
    ("session-knn", {"sample_size": 1, "similarity": "vec"}),
]
NO_CHECK = PublishCheckOptions(holdout=0)


def fitted(name, config, sessions):
    kind = model_class(name)
    return kind.fit(sessions, kind.Config(**config), seed=0, progress=silent)


def same_state(one, other):
    one, other = one.state(), other.state()
    assert one.keys() == other.keys()
    for key, array in one.items():
        assert array.dtype == other[key].dtype, key
        np.testing.assert_array_equal(array, other[key], err_msg=key)


logs = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=12)


@pytest.mark.parametrize(("name", "config"), CASES)
@settings(max_examples=20)
@given(old=logs, new=logs, known=st.sets(st.integers(1, 9), min_size=1))
def test_an_extended_model_equals_one_of_both_logs(name, config, old, new, known):
    """Items 1..9, of which the older log knows some; the new log may bring the others."""
    places = [0, *sorted(known)]  # index in the older vocabulary to index in the new one
    back = {item: index for index, item in enumerate(places)}
    index = np.array(places, dtype=np.int32)
    older = Sessions.from_lists([[back.get(i, 0) for i in s] for s in old], len(known))
    newer = Sessions.from_lists(new, 9)
    past = PriorSessions(
        index=index,
        n_items=9,
        n_sessions=len(older),
        support=scatter_rows(older.support(), index, 9),
        sessions=older.remap_items(index, 9),
    )
    before = fitted(name, config, older)
    kept = {key: array.tobytes() for key, array in before.state().items()}
    refreshed = before.update_exactly(newer, past, progress=silent)
    same_state(refreshed, fitted(name, config, past.concatenate(newer)))
    assert kept == {key: array.tobytes() for key, array in before.state().items()}


def frame(sessions, first, name=int):
    """Sessions one after the other, an hour apart, from hour `first` on."""
    rows = [
        (f"s{first + s}", name(item), START + (first + s) * 3600 + n * 20)
        for s, session in enumerate(sessions)
        for n, item in enumerate(session)
    ]
    return pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])


OLD = [[10, 20, 30], [20, 30, 40], [30, 40, 10], [40, 10, 20], [10, 50], [10, 20]] * 5
NEW = [[15, 20, 30, 15], [50, 15], [20, 60, 60, 10], [30, 5, 40], [40, 15, 30, 20]] * 3


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize(("name", "config"), CASES)
def test_a_refresh_equals_a_training_on_both_logs(name, config, text, tmp_path):
    """Items 5, 15, 60 are new and stand between, before and behind the known ones."""
    naming = (lambda i: f"i{i:03}") if text else int
    whole = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.2, valid_fraction=0.1),
    )
    store = prepare(frame(OLD, 0, naming), tmp_path / "old", options=whole).store
    n_old = len(store.part("train"))
    train(store, name, tmp_path / "model", config=config, refreshable=True)
    result = refresh(
        tmp_path / "model", frame(NEW, 1000, naming), tmp_path / "new", publish_check=NO_CHECK
    )
    assert result.accepted
    assert result.report["new_items"] == 3
    # the same log whole, of which the test is the last session
    both = pl.concat([frame(OLD[:n_old], 0, naming), frame([*NEW, [10, 20]], 1000, naming)])
    last = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.5 / (n_old + 16), valid_fraction=0),
    )
    expected = train(prepare(both, tmp_path / "both", options=last).store, name, config=config)
    refreshed = Artifact.load(tmp_path / "new")
    same_state(refreshed.model, expected.model)
    assert refreshed.items.ids() == expected.items.ids()
    np.testing.assert_array_equal(refreshed.support, expected.support)
    for count in ("events", "sessions", "prefixes", "items"):
        assert refreshed.trained["counts"][count] == expected.trained["counts"][count]
    assert refreshed.trained["last_ms"] == expected.trained["last_ms"]


@pytest.mark.parametrize(("name", "config"), CASES)
def test_two_refreshes_equal_one(name, config, tmp_path):
    store = make_store(tmp_path / "store")
    base = train(store, name, config=config, refreshable=True)
    first, second = frame(NEW[:6], 1000), frame(NEW[6:], 2000)
    twice = refresh(base, first, publish_check=NO_CHECK).artifact
    twice = refresh(twice, second, publish_check=NO_CHECK).artifact
    once = refresh(base, pl.concat([first, second]), publish_check=NO_CHECK).artifact
    same_state(twice.model, once.model)
    assert len(twice.trained["refreshes"]) == 2
    assert twice.trained["base_fingerprint"] == store.fingerprint
    assert twice.trained["data_fingerprint"] not in (store.fingerprint, "")


@pytest.mark.parametrize("name", ["item-knn", "markov", "rules"])
def test_the_store_takes_the_place_of_a_log_that_was_not_kept(name, tmp_path):
    store = make_store(tmp_path / "store")
    bare, whole = train(store, name), train(store, name, refreshable=True)
    assert bare.log is None
    one = refresh(bare, frame(NEW, 1000), store=store, publish_check=NO_CHECK).artifact
    other = refresh(whole, frame(NEW, 1000), publish_check=NO_CHECK).artifact
    same_state(one.model, other.model)
    assert one.log is not None, "from now on it keeps what it needs"
    assert one.log.items.tolist() == other.log.items.tolist()


@pytest.mark.parametrize("name", ["pop", "item-knn", "session-knn"])
def test_what_was_held_out_is_learned_after_the_gate(name, tmp_path):
    base = train(make_store(tmp_path / "store"), name, refreshable=True)
    gated = refresh(
        base, frame(NEW, 1000), publish_check=PublishCheckOptions(holdout=0.3, metric="recall@2")
    )
    assert gated.accepted
    assert gated.decision.sessions == 4
    free = refresh(base, frame(NEW, 1000), publish_check=NO_CHECK)
    same_state(gated.artifact.model, free.artifact.model)
