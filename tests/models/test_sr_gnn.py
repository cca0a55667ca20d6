import math

import numpy as np
import pytest
import torch

from nextclick.models.neural.sr_gnn import SRGNNConfig, SRGNNEncoder
from reference.neural_cases import small_model, spread_weights


@torch.no_grad()
def test_three_clicks_by_hand():
    encoder = SRGNNEncoder(SRGNNConfig(width=1), n_items=2).eval()
    for name, weight in encoder.named_parameters():
        weight.fill_(0.0 if "bias" in name else 1.0)
    encoder.items.weight[:, 0] = torch.tensor([0.0, 0.5, -1.0])
    encoder.network.into_bias.fill_(0.1)
    encoder.network.out_of.bias.fill_(0.2)

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    def gru(h, inputs):  # with weights of 1 the three gates have the same input
        reset = update = sigmoid(inputs + h)
        return (1 - update) * math.tanh(inputs + reset * h) + update * h

    # 1 → 2 → 1: each has one edge in and one out, from and to the other
    one = gru(0.5, (-1 + 0.1) + (-1 + 0.2))
    two = gru(-1, (0.5 + 0.1) + (0.5 + 0.2))
    session = 2 * sigmoid(one + one) * one + sigmoid(one + two) * two
    # 1 → 2: 1 has no edge in, 2 none out
    one_of_two, two_of_two = gru(0.5, 0.1 + (-1 + 0.2)), gru(-1, (0.5 + 0.1) + 0)
    of_two = sigmoid(two_of_two + one_of_two) * one_of_two
    of_two += sigmoid(2 * two_of_two) * two_of_two
    alone = gru(0.5, 0.1)
    expected = [sigmoid(2 * alone) * alone + alone, of_two + two_of_two, session + one]
    queries = encoder(torch.tensor([[1, 2, 1]]))[0, :, 0]
    assert queries.tolist() == pytest.approx(expected, rel=1e-5)


def test_initial_weights_are_uniform():
    weights = small_model("sr-gnn", n_items=2000, width=16).state()
    for name, weight in weights.items():
        drawn = weight[1:] if name == "items.weight" else weight
        assert np.abs(drawn).max() <= 0.25, name
    assert np.abs(weights["items.weight"][1:]).max() > 0.249
    assert weights["items.weight"][1:].std() == pytest.approx(0.5 / math.sqrt(12), rel=0.02)
    assert "output.weight" in weights


def test_gradients_equal_those_of_separate_prefixes():
    model = spread_weights(small_model("sr-gnn two steps"))
    items = torch.randint(1, 5, (3, 6), generator=torch.Generator().manual_seed(0))
    weight = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(1))

    def gradients(loss):
        model.encoder.zero_grad()
        loss.backward()
        return {name: p.grad.clone() for name, p in model.encoder.named_parameters()}

    shared = gradients((model.encoder(items) * weight).sum())
    separate = gradients(
        sum((model.encoder(items[:, : t + 1])[:, t] * weight[:, t]).sum() for t in range(6))
    )
    for name, gradient in shared.items():
        torch.testing.assert_close(gradient, separate[name], atol=1e-4, rtol=1e-4, msg=name)
