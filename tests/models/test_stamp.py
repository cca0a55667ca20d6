import math

import pytest
import torch

from nextclick.models.neural.stamp import STAMPConfig, STAMPEncoder
from reference.neural_cases import small_model, spread_weights


@torch.no_grad()
def test_two_clicks_by_hand():
    encoder = STAMPEncoder(STAMPConfig(width=1), n_items=3).eval()
    for weight in encoder.parameters():
        weight.fill_(1.0)
    encoder.attend_last.bias.fill_(-2.0)
    encoder.items.weight[:, 0] = torch.tensor([0.0, 0.5, -4.0, 9.0])

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    # the norm is bounded, so the inputs are 0.5 and -1; their means are 0.5 and -0.25
    first = sigmoid(0.5 + 0.5 + 0.5 - 2) * 0.5 + 0.5
    second = sigmoid(0.5 - 1 - 0.25 - 2) * 0.5 + sigmoid(-1 - 1 - 0.25 - 2) * -1 - 0.25
    expected = [math.tanh(first) * math.tanh(0.5), math.tanh(second) * math.tanh(-1)]
    queries = encoder(torch.tensor([[1, 2]]))[0, :, 0]
    assert queries.tolist() == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_candidates_are_scored_with_the_raw_table():
    encoder = spread_weights(small_model("stamp, tight norm")).encoder
    table, bias = encoder.table()
    assert table is encoder.items.weight
    assert table.norm(dim=1).max() > 0.2
    assert bias is None


@torch.no_grad()
def test_the_norm_of_a_long_embedding_has_no_effect():
    encoder = spread_weights(small_model("stamp, tight norm")).encoder
    clicks = torch.tensor([[3, 5, 3]])
    before = encoder(clicks)
    encoder.items.weight[3] *= 7.0
    torch.testing.assert_close(encoder(clicks), before)


@torch.no_grad()
def test_attention_is_causal_and_not_normalized():
    encoder = spread_weights(small_model("stamp")).encoder
    clicks = encoder.items(torch.tensor([[1, 2, 3]]))
    weights = encoder.attention(clicks, clicks, clicks)[0]
    assert (weights.triu(1) == 0).all()
    assert not torch.allclose(weights.sum(dim=1), torch.ones(3), atol=0.01)


def test_initial_weights_match_the_authors_code():
    torch.manual_seed(0)
    encoder = STAMPEncoder(STAMPConfig(), n_items=5000)
    for name, weight in encoder.named_parameters():
        if name == "attend_last.bias":
            assert (weight == 0).all()
        else:
            std = 0.002 if name == "items.weight" else 0.05
            assert weight.std().item() == pytest.approx(std, rel=0.2), name
    assert encoder.items.weight.shape == (5001, 100)
