import math

import numpy as np
import pytest
import torch

from nextclick.models.neural.lessr import BatchNorm, LESSRConfig, LESSREncoder
from nextclick.training.optim import Optimizers
from nextclick.training.training_config import TrainingConfig
from reference.neural_cases import small_model, spread_weights


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@torch.no_grad()
def test_eopa_by_hand():
    config = LESSRConfig(width=1, layers=1, batch_norm=False)
    encoder = LESSREncoder(config, n_items=2).eval()
    for name, weight in encoder.named_parameters():
        weight.fill_(0.0 if "bias" in name else 1.0)
    encoder.items.weight[:, 0] = torch.tensor([0.0, 0.5, -4.0])  # read as 0.5 and -1

    def gru(inputs, h):
        gate = sigmoid(inputs + h)
        return (1 - gate) * math.tanh(inputs + gate * h) + gate * h

    # 1 → 2 → 1 → 1: item 1 receives 2, then itself; PReLU with a slope of 1 is the identity
    one, two = 0.5 + gru(0.5, gru(-1.0, 0.0)), -1 + gru(0.5, 0.0)
    nodes = [one + 0.5, two - 1]
    energies = [sigmoid(node + nodes[0]) for node in nodes]
    shares = [math.exp(e) for e in energies]
    whole = sum(s * node for s, node in zip(shares, nodes, strict=True)) / sum(shares)
    queries = encoder(torch.tensor([[1, 2, 1, 1]]))
    assert queries[0, 3, 0].item() == pytest.approx(nodes[0] + whole, rel=1e-5)
    assert queries[0, 0, 0].item() == pytest.approx(4 * 0.5, rel=1e-5)  # alone


@torch.no_grad()
def test_sgat_by_hand():
    config = LESSRConfig(width=1, layers=2, batch_norm=False)
    encoder = LESSREncoder(config, n_items=3).eval()
    for name, weight in encoder.named_parameters():
        weight.fill_(0.0 if "bias" in name else 1.0)
    encoder.items.weight[:, 0] = torch.tensor([0.0, 0.5, -0.5, 0.25])
    encoder.layers[0].own.weight.fill_(0.0)
    encoder.layers[0].neighbors.weight.fill_(0.0)
    encoder.readout.output.weight.fill_(0.0)
    encoder.output.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))  # of the last, SGAT alone
    values = [0.5, -0.5, 0.25]
    shares = [math.exp(sigmoid(v + 0.25)) for v in values]
    expected = sum(s * v for s, v in zip(shares, values, strict=True)) / sum(shares)
    queries = encoder(torch.tensor([[1, 2, 3]]))
    assert queries[0, 2, 0].item() == pytest.approx(expected, rel=1e-5)
    assert queries[0, 0, 0].item() == pytest.approx(0.5, rel=1e-5)


def test_embeddings_have_norm_at_most_1():
    model = small_model("lessr", n_items=300)
    norms = np.linalg.norm(model.state()["items.weight"], axis=1)
    assert norms.max() <= 1 + 1e-6
    model = spread_weights(model)
    table, bias = model.encoder.table()
    assert table.norm(dim=1).max().item() == pytest.approx(1.0)
    assert bias is None
    model.encoder.train()
    model.encoder(torch.tensor([[1, 2]]))  # limits the norms of all rows
    assert model.encoder.items.weight.norm(dim=1).max().item() == pytest.approx(1.0)
    assert model.encoder.table()[0] is model.encoder.items.weight


def test_batch_norm_uses_all_nodes_of_the_batch():
    model = small_model("lessr")
    model.encoder.train()
    model.encoder(torch.tensor([[1, 2, 1], [3, 4, 0]]))
    norm = model.encoder.layers[0].norm
    # nodes of prefixes: 1; 1, 2; 1, 2; 3; 3, 4
    read = model.encoder.items.weight[[1, 1, 2, 1, 2, 3, 3, 4]].detach()
    torch.testing.assert_close(norm.running_mean, 0.1 * read.mean(0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * read.var(0), atol=1e-6, rtol=1e-5)


def test_a_batch_of_one_prefix_trains():
    norm = BatchNorm(2).train()
    norm.running_mean.fill_(1.0)
    normalized = norm(torch.tensor([[1.0, 3.0]]))
    torch.testing.assert_close(normalized, torch.tensor([[0.0, 2.0]]), atol=1e-4, rtol=1e-4)
    model = small_model("lessr")
    model.encoder.train()
    model.encoder(torch.tensor([[5]])).sum().backward()
    assert torch.isfinite(model.encoder.items.weight.grad).all()


def test_biases_norms_and_activations_do_not_decay():
    encoder = small_model("lessr").encoder
    without_decay = {name for name, _ in encoder.named_parameters() if not encoder.decays(name)}
    assert "items.weight" not in without_decay
    assert "layers.0.gru.weight_hh_l0" not in without_decay
    assert "readout.attend" not in without_decay
    assert {"layers.0.gru.bias_ih_l0", "layers.1.norm.weight", "norm.bias"} <= without_decay
    assert {"layers.1.activation.weight", "readout.activation.weight"} <= without_decay
    config = TrainingConfig(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    optimizers = Optimizers(encoder, config)
    before = {name: weight.detach().clone() for name, weight in encoder.named_parameters()}
    for weight in encoder.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizers.step(0.1)
    for name, weight in encoder.named_parameters():
        factor = 1.0 if name in without_decay else 0.95
        torch.testing.assert_close(weight.detach(), factor * before[name], msg=name)
