import math

import pytest
import torch

from nextclick.models.neural.narm import NARM, NARMConfig, NARMEncoder
from reference.neural_cases import small_model, spread_weights

CLICKS = torch.tensor([[1, 2, 3, 4]])


def states_of(model):
    """(T, H) states of the GRU."""
    return model.encoder.gru(model.encoder.items(CLICKS))[0][0]


@torch.no_grad()
def test_equal_energies_attend_to_the_mean_of_the_states():
    model = spread_weights(small_model("narm local, full"))
    model.encoder.attend.zero_()
    states = states_of(model)
    queries = model.encoder(CLICKS)[0]
    for t in range(4):
        torch.testing.assert_close(queries[t], states[: t + 1].mean(dim=0))


@torch.no_grad()
def test_without_softmax_equal_energies_add_up():
    model = spread_weights(small_model("narm local, full", attention_norm="none"))
    model.encoder.attend_last.weight.zero_()
    model.encoder.attend_each.weight.zero_()
    model.encoder.attend.fill_(0.4)  # 5 · 0.4 · σ(0) = 1
    torch.testing.assert_close(model.encoder(CLICKS)[0], states_of(model).cumsum(dim=0))


@torch.no_grad()
def test_hybrid_is_global_beside_local():
    model = spread_weights(small_model("narm full"))
    states = states_of(model)
    alpha = model.encoder.attention(states[None])[0]
    torch.testing.assert_close(alpha.sum(dim=1), torch.ones(4))
    assert (alpha.triu(1) == 0).all()
    expected = torch.cat([states, alpha @ states], dim=1)
    torch.testing.assert_close(model.encoder(CLICKS)[0], expected)


@torch.no_grad()
def test_the_bilinear_decoder_shares_the_embedding():
    model = spread_weights(small_model("narm"))
    table, bias = model.encoder.table()
    assert table is model.encoder.items.weight
    assert bias is None


def test_widths_and_parameters_are_the_paper_s():
    encoder = NARMEncoder(NARMConfig(), n_items=7)
    shapes = {name: tuple(weight.shape) for name, weight in encoder.named_parameters()}
    assert shapes == {
        "items.weight": (8, 50),
        "attend": (100,),
        "gru.weight_ih_l0": (300, 50),
        "gru.weight_hh_l0": (300, 100),
        "gru.bias_ih_l0": (300,),
        "gru.bias_hh_l0": (300,),
        "attend_last.weight": (100, 100),
        "attend_each.weight": (100, 100),
        "bilinear.weight": (50, 200),
    }
    full = NARMEncoder(NARMConfig(decoder="full"), n_items=7)
    assert full.outputs.weight.shape == (8, 200)
    assert full.bias.shape == (8,)


def test_initial_weights_are_the_authors():
    torch.manual_seed(0)
    encoder = NARMEncoder(NARMConfig(), n_items=5000)
    for weight, rows in (
        (encoder.items.weight, 5000),
        (encoder.gru.weight_ih_l0, 50),
        (encoder.attend_last.weight, 100),
        (encoder.attend_each.weight, 100),
        (encoder.bilinear.weight, 50),
    ):
        assert weight.std().item() == pytest.approx(math.sqrt(2 / rows), rel=0.05)
    assert encoder.attend.std().item() == pytest.approx(math.sqrt(2.0), rel=0.3)
    full = NARMEncoder(NARMConfig(decoder="full"), n_items=5000)
    assert full.outputs.weight.std().item() == pytest.approx(0.1, rel=0.05)
    assert (full.bias == 0).all()


def test_dropout_stands_before_the_gru_and_before_the_decoder():
    encoder = NARM(NARMConfig(decoder="full"), n_items=50).encoder.train()
    seen = []
    encoder.gru.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    queries = encoder(torch.randint(1, 51, (64, 10)))
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (queries == 0).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_presets_are_the_published_forms():
    assert set(NARM.presets) == {
        "default",
        "global",
        "local",
        "fully-connected",
        "hybrid-50",
        "global-50",
        "local-50",
    }
