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
def test_equal_energies_give_the_mean_of_the_states():
    model = spread_weights(small_model("narm local, full"))
    model.encoder.attend.zero_()
    states = states_of(model)
    queries = model.encoder(CLICKS)[0]
    for t in range(4):
        torch.testing.assert_close(queries[t], states[: t + 1].mean(dim=0))


@torch.no_grad()
def test_without_softmax_unit_energies_sum_the_states():
    model = spread_weights(small_model("narm local, full", attention_norm="none"))
    model.encoder.attend_last.weight.zero_()
    model.encoder.attend_each.weight.zero_()
    model.encoder.attend.fill_(0.4)  # 5 · 0.4 · σ(0) = 1
    torch.testing.assert_close(model.encoder(CLICKS)[0], states_of(model).cumsum(dim=0))


@torch.no_grad()
def test_hybrid_concatenates_global_and_local():
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


def test_default_widths_match_the_paper():
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


def test_initial_weights_match_the_authors_code():
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


def test_dropout_applies_before_the_gru_and_the_decoder():
    encoder = NARM(NARMConfig(decoder="full"), n_items=50).encoder.train()
    recorded = []
    encoder.gru.register_forward_pre_hook(lambda _, inputs: recorded.append(inputs[0]))
    queries = encoder(torch.randint(1, 51, (64, 10)))
    assert (recorded[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (queries == 0).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_presets_cover_the_published_variants():
    assert set(NARM.presets) == {
        "default",
        "paper",
        "global",
        "local",
        "fully-connected",
        "hybrid-50",
        "global-50",
        "local-50",
    }
