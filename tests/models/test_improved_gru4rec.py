import pytest
import torch

from nextclick.models.neural.improved_gru4rec import ImprovedGRU4RecConfig, ImprovedGRU4RecEncoder
from reference.neural_cases import small_model, spread_weights


def inputs_of_gru(encoder, items):
    """The inputs of the GRU in training."""
    recorded = []
    hook = encoder.gru.register_forward_pre_hook(lambda _, inputs: recorded.append(inputs[0]))
    encoder.train()(items)
    hook.remove()
    return recorded[0]


def test_whole_clicks_are_dropped_from_the_input():
    encoder = spread_weights(small_model("improved-gru4rec", n_items=50)).encoder
    items = torch.randint(1, 51, (200, 20))
    inputs = inputs_of_gru(encoder, items)  # (B, T, d)
    dropped = (inputs == 0).all(dim=-1)
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.02)
    torch.testing.assert_close(inputs[~dropped], encoder.items(items)[~dropped] / 0.75)


def test_elementwise_mode_drops_single_entries():
    encoder = spread_weights(small_model("improved-gru4rec elementwise", n_items=50)).encoder
    inputs = inputs_of_gru(encoder, torch.randint(1, 51, (200, 20)))
    assert (inputs == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (inputs == 0).all(dim=-1).float().mean().item() < 0.02


def test_output_dropout_is_off_by_default_and_applies_to_the_state():
    items = torch.randint(1, 12, (100, 10))
    for p in (0.0, 0.5):
        encoder = spread_weights(small_model("improved-gru4rec", output_dropout=p)).encoder.train()
        dropped = (encoder(items) == 0).float().mean().item()
        assert dropped == pytest.approx(p, abs=0.05)
    assert ImprovedGRU4RecConfig().output_dropout == 0.0


def test_default_widths_match_the_paper():
    encoder = ImprovedGRU4RecEncoder(ImprovedGRU4RecConfig(), n_items=7)
    shapes = {name: tuple(weight.shape) for name, weight in encoder.named_parameters()}
    assert shapes == {
        "items.weight": (8, 50),
        "gru.weight_ih_l0": (300, 50),
        "gru.weight_hh_l0": (300, 100),
        "gru.bias_ih_l0": (300,),
        "gru.bias_hh_l0": (300,),
        "outputs.weight": (8, 100),
        "bias": (8,),
    }
