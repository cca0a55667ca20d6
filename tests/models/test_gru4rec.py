import math

import pytest
import torch
from torch import nn

from nextclick.models.neural.gru4rec import GRU4Rec, GRU4RecConfig, GRU4RecEncoder, OneHotGRULayer
from reference.neural_cases import CASES, N, small_model, spread_weights

FORMS = [case for case in CASES if case.startswith("gru4rec")]


@pytest.fixture(params=FORMS)
def encoder(request):
    return spread_weights(small_model(request.param)).encoder


def clicks(n_lanes, n_steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, N + 1, (n_lanes, n_steps), generator=generator)


@torch.no_grad()
def test_steps_equal_the_forward_pass(encoder):
    items = clicks(4, 6)
    at_once = encoder(items)
    state = encoder.initial_state(4)
    assert state.shape == (len(encoder.layers), 4, 5)
    for t in range(6):
        query, state = encoder.step(items[:, t], state)
        torch.testing.assert_close(query, at_once[:, t], atol=1e-5, rtol=1e-5)
        assert torch.equal(query, state[-1])


@torch.no_grad()
def test_a_zero_state_starts_a_new_session(encoder):
    items = clicks(3, 4)
    state = encoder.initial_state(3)
    for t in range(2):
        _, state = encoder.step(items[:, t], state)
    state = state.clone()
    state[:, 1] = 0.0
    for t in (2, 3):
        query, state = encoder.step(items[:, t], state)
    torch.testing.assert_close(query[1], encoder(items[1:2, 2:])[0, 1])
    torch.testing.assert_close(query[0], encoder(items[:1])[0, 3])


@torch.no_grad()
def test_lanes_do_not_influence_each_other(encoder):
    items = clicks(3, 1)[:, 0]
    state = torch.randn(len(encoder.layers), 3, 5)
    query, after = encoder.step(items, state)
    other_items, other_state = items.clone(), state.clone()
    other_items[1] = items[1] % N + 1
    other_state[:, 1] = 0.3
    other_query, other_after = encoder.step(other_items, other_state)
    assert torch.equal(query[[0, 2]], other_query[[0, 2]])
    assert torch.equal(after[:, [0, 2]], other_after[:, [0, 2]])


def test_a_detached_state_stops_the_gradient(encoder):
    items = torch.tensor([[1, 2]])
    _, state = encoder.step(items[:, 0], encoder.initial_state(1))
    query, _ = encoder.step(items[:, 1], state.detach())
    query.sum().backward()
    touched = encoder.items.weight.grad.abs().sum(dim=1) > 0
    assert touched[2]
    assert not touched[1]


def test_a_step_returns_the_dropped_state():
    encoder = spread_weights(small_model("gru4rec two layers", hidden_dropout=0.5)).encoder
    query, state = encoder.train().step(torch.arange(1, N + 1), encoder.initial_state(N))
    assert torch.equal(state[-1], query)
    for layer in state:
        assert 0.2 < (layer == 0).float().mean().item() < 0.8


def test_dropout_of_the_input():
    encoder = spread_weights(small_model("gru4rec", embedding_dropout=0.5)).encoder.train()
    inputs = []
    encoder.layers[0].gru.register_forward_pre_hook(
        lambda _, arguments: inputs.append(arguments[0])
    )
    encoder(clicks(200, 5))
    assert (inputs[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


@torch.no_grad()
def test_one_hot_equals_a_gru_over_one_hot_vectors():
    encoder = spread_weights(small_model("gru4rec one-hot")).encoder
    gru = nn.GRU(N + 1, 5, batch_first=True)
    input_weights, recurrent_weights, input_bias, bias = gru.all_weights[0]
    input_weights.copy_(encoder.items.weight.T)
    layer = encoder.layers[0]
    recurrent_weights.copy_(layer.recur.weight)
    input_bias.copy_(layer.input_bias)
    bias.copy_(layer.recur.bias)
    items = clicks(3, 5)
    expected = gru(nn.functional.one_hot(items, N + 1).float())[0]
    torch.testing.assert_close(encoder(items), expected)


@torch.no_grad()
def test_one_step_by_hand():
    layer = OneHotGRULayer(1)
    layer.recur.weight.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
    layer.recur.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    layer.input_bias.copy_(torch.tensor([0.0, 0.0, 1.0]))

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    reset, update = sigmoid(0.5 + 0.5 + 0.1), sigmoid(-1.0 + 1.0 + 0.2)
    new = math.tanh(2.0 + 1.0 + reset * (1.5 + 0.3))
    state = layer.step(torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([[0.5]]))
    assert state.item() == pytest.approx((1 - update) * new + update * 0.5, rel=1e-6)


def test_the_table_is_the_input_embedding_only_if_tied():
    tied = small_model("gru4rec").encoder
    assert tied.table()[0] is tied.items.weight
    for case in ("gru4rec separate", "gru4rec one-hot"):
        encoder = small_model(case).encoder
        assert encoder.table()[0] is encoder.outputs.weight
        assert encoder.table()[0].shape == (N + 1, 5)
    assert tied.table()[1].shape == (N + 1,)


@pytest.mark.parametrize(
    ("embedding", "n_inputs", "bounds"),
    [
        ("tied", 100, {"items.weight": (900, 100), "layers.0.gru.weight_ih_l0": (100, 100)}),
        ("separate", 50, {"items.weight": (900, 50), "layers.0.gru.weight_ih_l0": (50, 100)}),
        ("one-hot", 50, {"items.weight": (900, 100), "layers.0.recur.weight": (100, 100)}),
    ],
)
def test_initial_weights_match_the_authors_code(embedding, n_inputs, bounds):
    config = GRU4RecConfig(embedding=embedding, embedding_width=n_inputs)
    encoder = GRU4RecEncoder(config, n_items=900)
    weights = dict(encoder.named_parameters())
    if embedding != "tied":
        bounds = bounds | {"outputs.weight": (900, 100)}
    for name, (a, b) in bounds.items():
        assert weights[name].abs().max().item() == pytest.approx(math.sqrt(6 / (a + b)), rel=0.01)
    for name, weight in weights.items():
        if "bias" in name:
            assert (weight == 0).all(), name


def test_presets_train_lanes_with_adagrad():
    published = GRU4Rec.presets.keys() - {"default"}
    assert {"paper", "top1", "bpr", "bpr-max"} <= published
    for preset in map(GRU4Rec.presets.get, published):
        assert preset["order"] == "lanes"
        assert preset["optimizer"] == "adagrad"
