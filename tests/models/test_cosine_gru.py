"""Cosine-GRU: its equations by a slow twin, and the unit vectors that remain after training."""

import numpy as np
import pytest
import torch

from nextclick.core.sessions import Sessions
from nextclick.graphs.nearby_items import NearbyItems, nearby_items
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.features.item_embedding import ItemEmbedding
from nextclick.models.neural.cosine_gru import (
    CosineGRU,
    CosineGRUConfig,
    NeighborVectors,
    clicks_so_far,
)
from nextclick.models.ops.gap_bins import GapBins
from nextclick.models.ops.layers import unit_rows_
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import build_configs
from reference.neural_cases import spread_weights
from reference.neural_cosine_gru import cosine_gru_queries, item_vectors

SESSIONS = [[1, 2, 1, 3, 1, 1], [5], [4, 4, 4, 4], [2, 6, 3]]
CONFIG = CosineGRUConfig(width=8, max_length=4, neighbors=2)
LOG = Sessions.from_lists([*SESSIONS, [1, 2, 3, 4], [6, 5, 4]])


def model_of(config=CONFIG):
    return spread_weights(CosineGRU(config, n_items=6))


def state_of(model):
    return {name: array.astype(np.float64) for name, array in model.state().items()}


@torch.no_grad()
@pytest.mark.parametrize("neighbors", [False, True])
def test_queries_equal_the_equations(neighbors):
    model = model_of()
    nearby = nearby_items(LOG, 2)
    vectors = item_vectors(state_of(model))
    if neighbors:
        model.encoder.neighbors = NeighborVectors(nearby, 0.5, torch.device("cpu"))
        vectors = item_vectors(state_of(model), nearby.items, nearby.weights, 0.5)
    np.testing.assert_allclose(model.encoder.eval().table()[0], vectors, atol=1e-6)
    for session in SESSIONS:
        queries = model.encoder(torch.tensor([session]))[0]
        expected = cosine_gru_queries(session, state_of(model), CONFIG, vectors)
        np.testing.assert_allclose(queries, expected, atol=2e-5)


@torch.no_grad()
def test_gaps_move_the_queries_after_them_only():
    config = CosineGRUConfig(width=8, times=True)
    model = CosineGRU(config, 6, DatasetInfo(bins=GapBins(10.0, 5)))
    torch.nn.init.normal_(model.encoder.gaps.weight)
    items, gaps = torch.tensor([[1, 2, 3]]), torch.tensor([[0.0, 5.0, 25.0]])
    queries = model.encoder.eval()(items, gaps=gaps)
    changed = model.encoder(items, gaps=torch.tensor([[0.0, 5.0, 15.0]]))
    torch.testing.assert_close(changed[:, :2], queries[:, :2])
    assert not torch.allclose(changed[:, 2], queries[:, 2])


def test_clicks_so_far_by_hand():
    items = torch.tensor([7, 8, 7])
    same = (items[:, None] == items)[None]
    # at row t, column j: clicks on the item of j among 0..t
    assert clicks_so_far(same)[0].tolist() == [[1, 0, 1], [1, 1, 1], [2, 1, 2]]
    assert clicks_so_far(same, last_only=True)[0].tolist() == [[2, 1, 2]]


def test_scores_are_cosines_times_the_temperature():
    model = model_of()
    queries = model.encoder.eval()(torch.tensor([[1, 2, 3]]))
    torch.testing.assert_close(queries.norm(dim=-1), torch.full((1, 3), CONFIG.temperature))
    norms = model.encoder.table()[0].norm(dim=-1)
    torch.testing.assert_close(norms, torch.tensor([0.0, *[1.0] * 6]))


@torch.no_grad()
def test_the_neighbors_become_part_of_the_table():
    model = model_of()
    model.setup(LOG)
    before = model.encoder.eval().table()[0].clone()
    queries = model.encoder(torch.tensor(SESSIONS[:1]))
    model.teardown()
    assert model.encoder.neighbors is None
    torch.testing.assert_close(model.encoder.table()[0], before)
    assert model.encoder.table()[0] is model.encoder.items.weight
    torch.testing.assert_close(model.encoder(torch.tensor(SESSIONS[:1])), queries)


@torch.no_grad()
def test_candidates_are_rows_of_the_table_without_dropout():
    model = model_of(CosineGRUConfig(width=8, neighbors=2, item_dropout=0.0))
    model.setup(LOG)
    model.encoder.train()
    items = torch.tensor([3, 1, 0])
    torch.testing.assert_close(model.encoder.candidate_rows(items), model.encoder.table()[0][items])


def train(model, **values):
    _, config = build_configs(
        "cosine-gru", CosineGRUConfig, CosineGRU.presets, None,
        {"epochs": 2, "batch_size": 4, "negatives": 5, "threads": 1, **values},
    )  # fmt: skip
    Trainer(model, config).run(LOG)
    return model


def test_a_trained_model_has_unit_vectors_and_survives_its_state():
    model = train(CosineGRU(CONFIG, 6))
    weight = model.encoder.items.weight.detach()
    torch.testing.assert_close(weight[1:].norm(dim=1), torch.ones(6))
    loaded = CosineGRU.from_state(model.state(), CONFIG)
    for name, array in model.state().items():
        np.testing.assert_array_equal(loaded.state()[name], array)


def test_a_trained_model_is_trained_further_without_neighbors():
    model = train(CosineGRU(CONFIG, 6))
    first = model.encoder.items.weight.detach().clone()
    model.setup(LOG)
    assert model.encoder.neighbors is None
    torch.testing.assert_close(model.encoder.eval().table()[0], first)
    model.teardown()
    train(model)
    assert not torch.equal(model.encoder.items.weight, first)


def test_full_softmax_trains_the_same_table():
    model = train(CosineGRU(CONFIG, 6), loss="ce", negatives=0, sparse=False)
    assert torch.isfinite(model.encoder.items.weight).all()


def test_unit_rows_leave_rounded_units_and_zeros():
    weight = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.6, 0.8]])
    unit_rows_(weight)
    torch.testing.assert_close(weight, torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.6, 0.8]]))
    again = weight.clone()
    unit_rows_(again)
    assert torch.equal(again, weight)


def test_neighbor_vectors_by_hand():
    nearby = NearbyItems(
        np.array([[0, 0], [2, 0]], dtype=np.int32), np.array([[0, 0], [1.0, 0]], dtype=np.float32)
    )
    table = ItemEmbedding(2, 1)
    table.weight.data.copy_(torch.tensor([[0.0], [1.0], [5.0]]))
    vectors = NeighborVectors(nearby, 0.5, torch.device("cpu"))
    assert vectors(torch.tensor([[1, 0]]), table).tolist() == [[[3.5], [0.0]]]
