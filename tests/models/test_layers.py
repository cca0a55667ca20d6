import pytest
import torch
from torch import nn

from nextclick.models.ops.layers import (
    Dropout,
    causal_softmax,
    clamp_norm,
    clear_padding_,
    init_like_narm_,
    item_embedding,
    normal_,
    uniform_,
)


def test_the_embedding_of_padding_is_zero():
    embedding = item_embedding(4, 3)
    assert embedding.weight.shape == (5, 3)
    assert embedding(torch.tensor([0])).tolist() == [[0.0, 0.0, 0.0]]
    normal_(embedding.weight, 1.0)
    assert (embedding.weight != 0).all()
    clear_padding_(embedding)
    assert embedding.weight[0].tolist() == [0.0, 0.0, 0.0]
    assert (embedding.weight[1:] != 0).all()


def test_normal_has_the_given_deviation():
    weight = torch.empty(400, 500)
    normal_(weight, 0.05)
    assert weight.std().item() == pytest.approx(0.05, rel=0.01)
    assert abs(weight.mean().item()) < 0.001


def test_uniform_fills_its_bounds():
    weight = torch.empty(300, 300)
    uniform_(weight, 50, 100)  # √(6 / 150) = 0.2
    assert weight.abs().max().item() == pytest.approx(0.2, rel=1e-3)
    assert weight.std().item() == pytest.approx(0.2 / 3**0.5, rel=0.02)


def test_init_like_narm():
    gru = nn.GRU(50, 40)
    init_like_narm_(gru)
    input_weights, recurrent_weights, *biases = gru.all_weights[0]
    assert input_weights.std().item() == pytest.approx(0.2, rel=0.05)  # √(2 / 50)
    for gate in recurrent_weights.chunk(3):
        torch.testing.assert_close(gate @ gate.T, torch.eye(40), atol=1e-5, rtol=0)
    assert all((bias == 0).all() for bias in biases)


@pytest.mark.parametrize("p", [0.25, 0.4, 0.5])
def test_dropout_drops_with_probability_p_and_scales_the_rest(p):
    torch.manual_seed(0)
    output = Dropout(p)(torch.ones(1000, 999))
    assert (output == 0).float().mean().item() == pytest.approx(p, abs=0.002)
    assert output.max().item() == pytest.approx(1 / (1 - p), rel=1e-4)
    assert len(output.unique()) == 2
    # adjacent entries come from one draw, and must be independent
    both = ((output[:, :-1] == 0) & (output[:, 1:] == 0)).float().mean().item()
    assert both == pytest.approx(p * p, abs=0.002)


def test_dropout_of_whole_rows():
    torch.manual_seed(0)
    output = Dropout(0.25, whole=True)(torch.ones(100, 99, 3))
    assert torch.equal(output, output[..., :1].expand_as(output))
    assert (output == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)


def test_dropout_passes_the_gradient_of_entries_it_keeps():
    x = torch.ones(5, 7, requires_grad=True)
    output = Dropout(0.5)(x)
    output.sum().backward()
    assert torch.equal(x.grad, output.detach())


def test_dropout_is_the_identity_in_eval_mode_and_for_p_0():
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_with_p_near_1_stays_finite():
    assert torch.isfinite(Dropout(1 - 1e-9)(torch.ones(10_000))).all()


def test_dropout_depends_on_the_torch_seed_only():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(Dropout(0.5)(torch.ones(50)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_clamp_norm_scales_long_rows_down():
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]], requires_grad=True)
    clamped = clamp_norm(rows, 1.0)
    torch.testing.assert_close(clamped.detach(), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0, 0]]))
    clamped[:, 0].sum().backward()
    # d (x / |x|) / d(x, y) = (y², -xy) / |x|³ at (3, 4); the identity where nothing was clamped
    expected = torch.tensor([[16 / 125, -12 / 125], [1.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(rows.grad, expected)


def test_causal_softmax_by_hand():
    energy = torch.log(torch.tensor([[[1.0, 9.0, 9.0], [1.0, 3.0, 9.0], [1.0, 1.0, 2.0]]]))
    expected = [[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.25, 0.25, 0.5]]
    torch.testing.assert_close(causal_softmax(energy), torch.tensor([expected]))
