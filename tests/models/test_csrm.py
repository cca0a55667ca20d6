import math

import numpy as np
import pytest
import torch

from nextclick.core.session_batch import SessionBatch
from nextclick.models.neural.csrm import CSRM, CSRMConfig, CSRMEncoder, Memory
from reference.neural_cases import N, small_model, spread_weights
from reference.neural_graphs import csrm_queries


def memory_of(vectors, session, neighbors=2):
    config = CSRMConfig(hidden_width=2, memory_size=5, neighbors=neighbors)
    memory = Memory(config)
    memory.write(torch.tensor(vectors), torch.tensor(session))
    return memory


def test_the_nearest_vectors_by_hand():
    # cosines with (1, 0): 1, 0.6 and -1; the length of a vector does not count
    memory = memory_of([[2.0, 0.0], [3.0, 4.0], [-1.0, 0.0]], [7, 8, 9])
    share = 1 / (1 + math.exp(0.6 - 1))
    expected = [share * 2 + (1 - share) * 3, (1 - share) * 4]
    output = memory.read(torch.tensor([[1.0, 0.0], [5.0, 0.0]]), None)
    torch.testing.assert_close(output, torch.tensor([expected, expected]))


def test_a_session_does_not_read_its_own_vectors():
    memory = memory_of([[2.0, 0.0], [3.0, 4.0]], [7, 8])
    query = torch.tensor([[1.0, 0.0]] * 3)
    output = memory.read(query, torch.tensor([7, 8, 9]))
    torch.testing.assert_close(output[:2], torch.tensor([[3.0, 4.0], [2.0, 0.0]]))
    torch.testing.assert_close(output[2:], memory.read(query[:1], None))


def test_an_empty_memory_returns_the_query():
    query = torch.tensor([[1.0, 2.0]], requires_grad=True)
    empty = memory_of([[1.0, 1.0]], [3])
    torch.testing.assert_close(empty.read(query, torch.tensor([3])), query)
    empty.clear()
    output = empty.read(query, None)
    torch.testing.assert_close(output, query)
    output.sum().backward()
    assert query.grad.tolist() == [[1.0, 1.0]]


def test_the_oldest_vectors_are_overwritten():
    memory = memory_of([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], [1, 1, 2])
    memory.write(torch.tensor([[4.0, 0.0], [5.0, 0.0], [6.0, 0.0]]), torch.tensor([2, 3, 3]))
    held = sorted(zip(memory.held[:, 0].tolist(), memory.session.tolist(), strict=True))
    assert held == [(2.0, 1), (3.0, 2), (4.0, 2), (5.0, 3), (6.0, 3)]
    many = torch.arange(14.0).view(7, 2)
    memory.write(many, torch.arange(7))
    assert sorted(memory.session.tolist()) == [2, 3, 4, 5, 6]


@torch.no_grad()
def test_one_click_by_hand():
    encoder = CSRMEncoder(CSRMConfig(embedding_width=1, hidden_width=2), n_items=2).eval()
    for name, weight in encoder.named_parameters():
        weight.fill_(0.0 if "bias" in name or "whole" in name else 1.0)
    encoder.whole.weight_ih_l0[4:] = torch.tensor([[1.0], [0.0]])
    encoder.purpose.weight_ih_l0[4:] = torch.tensor([[0.0], [2.0]])
    encoder.memory.write(torch.tensor([[0.0, 1.0]]), torch.tensor([4]))
    encoder.gate.weight.copy_(torch.tensor([[1.0, 0.0, 2.0, 0.0, 3.0, 0.0]]))
    encoder.bilinear.weight.copy_(torch.tensor([[1.0, 0.0, 10.0, 0.0]]))
    # normalized vectors of two numbers are (1, -1) or (-1, 1): l = o = (-1, 1), g = (1, -1)
    f = 1 / (1 + math.exp(-(-1 - 2 + 3)))
    expected = -f + 10 * f + (1 - f) * -11
    assert encoder(torch.tensor([[1]]))[0, 0, 0].item() == pytest.approx(expected, abs=1e-3)


def test_initial_weights_match_the_authors_code():
    weights = small_model("csrm", n_items=5000, embedding_width=20, hidden_width=30).state()
    assert weights["items.weight"][1:].std() == pytest.approx(math.sqrt(2 / 5000), rel=0.05)
    assert weights["attend"].std() == pytest.approx(math.sqrt(2), rel=0.4)
    for gru in ("whole", "purpose"):
        assert weights[f"{gru}.bias_ih_l0"].tolist() == [1.0] * 60 + [0.0] * 30
        assert weights[f"{gru}.bias_hh_l0"].tolist() == [0.0] * 90
        gates, new = np.split(weights[f"{gru}.weight_ih_l0"], [60])
        assert np.abs(gates).max() <= math.sqrt(6 / 110)
        assert math.sqrt(6 / 110) < np.abs(new).max() <= math.sqrt(6 / 80)


def test_own_vectors_are_excluded_as_in_the_reference():
    model = spread_weights(small_model("csrm"))
    items = torch.randint(1, N + 1, (4, 5), generator=torch.Generator().manual_seed(0))
    session = np.array([0, 3, 4, 99])
    prefixes = model.encoder.prepare_prefixes(items.numpy(), np.arange(20), session)
    with torch.no_grad():
        output = model.encoder(items, prefixes)
    for row, clicks, owner in zip(output.numpy(), items.tolist(), session, strict=True):
        expected = csrm_queries(clicks, model.state(), model.config, owner)
        np.testing.assert_allclose(row, expected, atol=1e-5, rtol=1e-4)


def test_a_step_reads_before_it_writes_its_prefixes():
    model = small_model("csrm", embedding_dropout=0.0, output_dropout=0.0)
    encoder = model.encoder.train()
    items, cells = torch.tensor([[1, 2, 3], [4, 5, 0]]), np.array([1, 2, 3, 4])
    prefixes = encoder.prepare_prefixes(items.numpy(), cells, np.array([17, 18]))
    empty = encoder(items, prefixes).detach()
    assert sorted(encoder.memory.session.tolist()) == [-1] * 5 + [17, 17, 18, 18]
    assert encoder.memory.held.requires_grad is False
    again = encoder(items, prefixes).detach()
    # 17 now reads 18 and the other way round
    assert not torch.allclose(again[0, 1], empty[0, 1])
    encoder.begin_epoch()
    assert (encoder.memory.session == -1).all()
    torch.testing.assert_close(encoder(items, prefixes).detach(), empty)


def test_scoring_does_not_change_the_memory():
    model = spread_weights(small_model("csrm"))
    before = {name: array.copy() for name, array in model.state().items()}
    batch = SessionBatch.from_lists([[1, 2, 3], [4], [5, 6]])
    scores = model.score(batch)
    model.score(SessionBatch.from_lists([[1, 2, 3, 4], [7, 8]]))
    assert model.score(batch).tolist() == scores.tolist()
    for name, array in model.state().items():
        assert (array == before[name]).all(), name


def test_dropout_depends_on_the_torch_seed():
    model = spread_weights(small_model("csrm"))
    initial = {name: weight.clone() for name, weight in model.encoder.state_dict().items()}
    outputs = []
    for seed in (1, 1, 2):
        model.encoder.load_state_dict(initial)
        model.encoder.train()
        torch.manual_seed(seed)
        outputs.append(model.encoder(torch.tensor([[3, 1, 4, 1], [5, 9, 2, 6]])))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_the_search_space_excludes_shuffle():
    assert "shuffle" not in CSRM.search_space
