import pytest
import torch

from nextclick.errors import ConfigError
from nextclick.models.neural.sasrec import SASRec, SASRecConfig, SASRecEncoder
from reference.neural_cases import small_model, spread_weights


@torch.no_grad()
def test_queries_depend_on_positions():
    encoder = spread_weights(small_model("sasrec")).encoder
    queries = encoder(torch.tensor([[3, 3, 3]]))[0]
    assert not torch.allclose(queries[0], queries[1], atol=0.01)
    encoder.positions.zero_()
    same = encoder(torch.tensor([[3, 3, 3]]))[0]
    torch.testing.assert_close(same[0], same[2])


@torch.no_grad()
def test_zero_blocks_leave_the_normalized_embedding():
    encoder = spread_weights(small_model("sasrec")).encoder
    for block in encoder.blocks:
        for layer in (block.merge, block.outer):
            layer.weight.zero_()
            layer.bias.zero_()
    x = encoder.items.weight[[4, 2]] + encoder.positions[:2]
    torch.testing.assert_close(encoder(torch.tensor([[4, 2]]))[0], encoder.norm(x))


def test_too_many_clicks_are_rejected():
    encoder = small_model("sasrec").encoder
    with pytest.raises(ValueError, match="reads at most max_length=7 clicks, got 8"):
        encoder(torch.ones(1, 8, dtype=torch.int64))


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="heads must divide width, got heads=4 and width=6"):
        SASRecConfig(width=6, heads=4)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_dropout_applies_to_embeddings_and_sublayers(norm):
    torch.manual_seed(0)
    model = small_model("sasrec", norm=norm, dropout=0.5, blocks=1, width=60)
    recorded = {}
    block = model.encoder.blocks[0]
    for name, layer in (("project", block.project), ("outer", block.outer)):
        layer.register_forward_pre_hook(
            lambda _, inputs, name=name: recorded.__setitem__(name, inputs[0])
        )
    items = torch.randint(1, 12, (50, 7))
    model.encoder.train()(items)
    if norm == "post":  # norm=pre normalizes after the dropout
        assert (recorded["project"] == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    zeros = (recorded["outer"] == 0).float().mean().item()  # by dropout and by relu
    assert zeros == pytest.approx(0.75, abs=0.05)


def test_attention_dropout_applies_in_training_only():
    encoder = spread_weights(small_model("sasrec", dropout=0.5)).encoder
    block, x = encoder.blocks[0], torch.randn(2, 5, 6)
    assert torch.equal(block.eval().attend(x), block.attend(x))
    block.train()
    assert not torch.equal(block.attend(x), block.attend(x))


def test_initial_weights():
    torch.manual_seed(0)
    encoder = SASRecEncoder(SASRecConfig(), n_items=3000)
    for name, weight in encoder.named_parameters():
        if name.endswith("bias"):
            assert (weight == 0).all(), name
        elif "norm" in name:
            assert (weight == 1).all(), name
        else:
            assert weight.std().item() == pytest.approx(0.02, rel=0.05), name


def test_presets_use_the_whole_catalog_or_shared_negatives():
    assert SASRec.presets["paper"]["loss"] == "ce"
    assert SASRec.presets["sampled"]["negatives"] == 2048
