import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.core.config import build_config
from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.errors import ConfigError
from nextclick.models.classical.item_knn import ItemKNN, ItemKNNConfig
from reference.item_knn import neighbors
from reference.logs import N_ITEMS, logs
from reference.rows import rows

# sessions with the item: 1 in three, 2 in two, 3 in two; 1 and 2 share two, 1 and 3 share one
LOG = Sessions.from_lists([[1, 2, 1], [2, 1], [3, 1], [3]])


def fit(log, **parameters):
    return ItemKNN.fit(log, ItemKNNConfig(**parameters, repeats="keep"), seed=0, progress=silent)


def scores_after(model, *clicks):
    return rows(model.score_sparse(SessionBatch.from_lists([list(clicks)])))[0]


def test_cosine_of_shared_sessions():
    assert scores_after(fit(LOG, shrinkage=0), 1) == pytest.approx({2: 2 / 6**0.5, 3: 1 / 6**0.5})


def test_shrinkage_is_added_to_both_counts():
    expected = {2: 2 / (23 * 22) ** 0.5, 3: 1 / (23 * 22) ** 0.5}
    assert scores_after(fit(LOG, shrinkage=20), 1) == pytest.approx(expected)


def test_alpha_splits_the_divisor():
    assert scores_after(fit(LOG, shrinkage=0, alpha=1), 1) == pytest.approx({2: 2 / 3, 3: 1 / 3})
    assert scores_after(fit(LOG, shrinkage=0, alpha=0), 1) == pytest.approx({2: 2 / 2, 3: 1 / 2})


def test_count_clicks_counts_every_click_on_the_last_item_and_the_other_item_once():
    # item 1 has four clicks; its two clicks in the first session each meet item 2 once
    model = fit(LOG, shrinkage=0, count="clicks")
    assert scores_after(model, 1) == pytest.approx({2: 3 / (4 * 2) ** 0.5, 3: 1 / (4 * 2) ** 0.5})
    assert scores_after(model, 2) == pytest.approx({1: 2 / (4 * 2) ** 0.5})


def test_only_the_last_click_is_read_and_it_is_no_candidate():
    model = fit(LOG)
    assert scores_after(model, 3, 2, 1) == scores_after(model, 1)
    assert 1 not in scores_after(model, 1)


def test_ties_keep_the_lower_index():
    log = Sessions.from_lists([[1, 4], [1, 3], [1, 2], [1, 2]])
    assert list(scores_after(fit(log, neighbors=2, shrinkage=0, alpha=1), 1)) == [2, 3]


@given(
    log=logs,
    neighbors_=st.integers(1, 4),
    shrinkage=st.sampled_from([0.0, 20.0]),
    alpha=st.sampled_from([0.0, 0.5, 0.75, 1.0]),
    count=st.sampled_from(["sessions", "clicks"]),
)
def test_table_equals_the_reference(log, neighbors_, shrinkage, alpha, count):
    config = ItemKNNConfig(neighbors_, shrinkage, alpha, count, "keep")
    model = ItemKNN.fit(Sessions.from_lists(log, N_ITEMS), config, seed=0, progress=silent)
    expected = neighbors(log, config)
    table = rows(model.score_sparse(SessionBatch.from_lists([[i] for i in range(1, N_ITEMS + 1)])))
    assert table == [pytest.approx(expected.get(i, {}), rel=1e-6) for i in range(1, N_ITEMS + 1)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shrinkage": "-1"}, "item-knn: shrinkage must be number ≥ 0, got '-1'"),
        ({"alpha": "1.5"}, "item-knn: alpha must be number ≥ 0 and ≤ 1, got '1.5'"),
        ({"count": "events"}, "item-knn: count must be one of sessions, clicks, got 'events'"),
        ({"neighbor": "20"}, "item-knn has no parameter 'neighbor': did you mean neighbors"),
    ],
)
def test_invalid_parameters_are_rejected(values, message):
    with pytest.raises(ConfigError, match=message):
        build_config(ItemKNNConfig, values, "item-knn")
