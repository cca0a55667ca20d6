"""Properties of every neural model."""

import numpy as np
import pytest
import torch

from nextclick.core.config import build_config
from nextclick.core.session_batch import SessionBatch
from nextclick.errors import ConfigError
from nextclick.models.model_registry import model_class
from reference.neural_cases import CASES, N, small_model, spread_weights
from reference.neural_cnn import wavenet_queries, youtube_queries
from reference.neural_graphs import csrm_queries, lessr_queries, sr_gnn_queries, tasrec_queries
from reference.neural_gru import gru4rec_queries, improved_gru4rec_queries
from reference.neural_lgsr import lgsr_queries
from reference.neural_narm import narm_queries
from reference.neural_sasrec import sasrec_queries
from reference.neural_stamp import stamp_queries

REFERENCES = {
    "gru4rec": gru4rec_queries,
    "improved-gru4rec": improved_gru4rec_queries,
    "narm": narm_queries,
    "stamp": stamp_queries,
    "sasrec": sasrec_queries,
    "youtube-dnn": youtube_queries,
    "wavenet": wavenet_queries,
    "sr-gnn": sr_gnn_queries,
    "lessr": lessr_queries,
    "csrm": csrm_queries,
    "tasrec": tasrec_queries,
    "lgsr": lgsr_queries,
}
SESSIONS = [[3, 1, 4, 1, 5, 9, 2], [6], [5, 3], [5, 8, 9, 7, 9]]


@pytest.fixture(params=CASES)
def model(request):
    return spread_weights(small_model(request.param))


def padded(sessions, width=None):
    width = width or max(map(len, sessions))
    return torch.tensor([s + [0] * (width - len(s)) for s in sessions])


def table_of(model):
    """(N + 1, D) and (N + 1,) as float64."""
    table, bias = model.encoder.table()
    bias = torch.zeros(len(table)) if bias is None else bias
    return table.detach().numpy().astype(np.float64), bias.detach().numpy().astype(np.float64)


def test_queries_follow_the_equations(model):
    with torch.no_grad():
        actual = model.encoder(padded(SESSIONS)).numpy()
    for row, session in zip(actual, SESSIONS, strict=True):
        expected = REFERENCES[model.name](session, model.state(), model.config)
        np.testing.assert_allclose(row[: len(session)], expected, atol=1e-5, rtol=1e-5)


def test_scores_are_products_with_the_table(model):
    table, bias = table_of(model)
    actual = model.score(SessionBatch.from_lists(SESSIONS))
    for row, session in zip(actual, SESSIONS, strict=True):
        query = REFERENCES[model.name](session, model.state(), model.config)[-1]
        np.testing.assert_allclose(row, table @ query + bias, atol=2e-5, rtol=1e-5)


def check_same(model, actual, expected):
    """Bit-identical, except for graph models: the number of states in a batch affects rounding."""
    if model.name in ("sr-gnn", "lessr", "tasrec"):
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    else:
        assert torch.equal(actual, expected)


def test_later_clicks_leave_earlier_queries_bit_identical(model):
    rng = np.random.default_rng(0)
    items = torch.from_numpy(rng.integers(1, N + 1, (33, 7)))
    with torch.no_grad():
        before = model.encoder(items)
        for t in range(1, 7):
            changed = items.clone()
            changed[:, t:] = changed[:, t:] % N + 1
            after = model.encoder(changed)
            check_same(model, after[:, :t], before[:, :t])
            assert not torch.equal(after[:, t], before[:, t])


def test_padded_rows_have_finite_gradients(model):
    queries = model.encoder(padded(SESSIONS))
    queries[0, :2].sum().backward()
    for name, weight in model.encoder.named_parameters():
        if weight.grad is not None:
            assert torch.isfinite(weight.grad).all(), name


def test_empty_sessions_score_zero_and_an_empty_batch_has_no_rows(model):
    actual = model.score(SessionBatch.from_lists([[], [1, 2], []]))
    assert (actual[[0, 2]] == 0).all()
    assert (actual[1] != 0).any()
    assert model.score(SessionBatch.from_lists([[], []])).tolist() == [[0.0] * (N + 1)] * 2
    assert model.score(SessionBatch.from_lists([])).shape == (0, N + 1)


def loss_of(model):
    queries = model.encoder(padded(SESSIONS))
    table, bias = model.encoder.table()
    scores = queries @ table.T if bias is None else queries @ table.T + bias
    return scores[..., 1:].logsumexp(-1)[padded(SESSIONS) > 0].sum()


def test_every_parameter_has_a_gradient_and_padding_has_none(model):
    model.encoder.train()
    torch.manual_seed(5)
    loss_of(model).backward()
    for name, weight in model.encoder.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
        if name in ("items.weight", "outputs.weight"):
            assert (weight.grad[0] == 0).all(), name


@pytest.mark.parametrize("case", CASES)
def test_the_padding_row_stays_zero(case):
    model = small_model(case)
    model.encoder.train()
    optimizer = torch.optim.Adam(model.encoder.parameters(), lr=0.1, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    for name in ("items.weight", "outputs.weight"):
        if name in model.state():
            assert (model.state()[name][0] == 0).all()
            assert (model.state()[name][1:] != 0).any(axis=1).all()


@pytest.mark.parametrize(
    "case", ["sr-gnn two steps", "lessr", "lgsr", "tasrec, own layers", "tasrec temp"]
)
def test_queries_of_some_prefixes_equal_those_of_all(case):
    model = spread_weights(small_model(case)).encoder.eval()
    items = torch.randint(1, N + 1, (5, 6), generator=torch.Generator().manual_seed(0))
    cells = np.array([0, 3, 10, 11, 17, 23, 28])
    prefixes = model.prepare_prefixes(items.numpy(), cells, None)
    with torch.no_grad():
        all_queries = model(items).flatten(0, 1)
        queries = model(items, prefixes)
    torch.testing.assert_close(
        queries.flatten(0, 1)[cells], all_queries[cells], atol=1e-6, rtol=1e-5
    )


def test_a_training_step_lowers_the_loss(model):
    optimizer = torch.optim.SGD(model.encoder.parameters(), lr=1e-4)
    before = loss_of(model)
    before.backward()
    optimizer.step()
    assert loss_of(model) < before


def test_dropout_is_off_when_scoring(model):
    batch = SessionBatch.from_lists(SESSIONS)
    expected = model.score(batch).tolist()
    model.encoder.train()
    assert model.score(batch).tolist() == expected


# test_csrm covers CSRM, whose memory changes in training
@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.startswith(("stamp", "sr-gnn", "csrm"))]
)
def test_dropout_depends_on_the_torch_seed(case):
    model = spread_weights(small_model(case))
    model.encoder.train()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(model.encoder(padded(SESSIONS)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("case", CASES)
def test_initial_weights_depend_on_the_torch_seed_only(case):
    first, again, other = (small_model(case, seed=seed).state() for seed in (3, 3, 4))
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("gru4rec", {"embedding": "two-hot"}, "embedding must be one of tied, separate, one-hot"),
        ("gru4rec", {"embedding_width": 0}, "embedding_width must be integer ≥ 1, got 0"),
        ("gru4rec", {"hidden_width": 0}, "hidden_width must be integer ≥ 1, got 0"),
        ("gru4rec", {"layers": 0}, "layers must be integer ≥ 1, got 0"),
        ("gru4rec", {"embedding_dropout": 1}, "embedding_dropout must be number ≥ 0 and < 1"),
        ("gru4rec", {"hidden_dropout": -0.1}, "hidden_dropout must be number ≥ 0 and < 1"),
        ("gru4rec", {"max_length": 0}, "max_length must be integer ≥ 1, got 0"),
        ("improved-gru4rec", {"click_dropout": 1}, "click_dropout must be number ≥ 0 and < 1"),
        ("improved-gru4rec", {"click_dropout_mode": "x"}, "must be one of whole, elementwise"),
        ("improved-gru4rec", {"output_dropout": 1}, "output_dropout must be number ≥ 0 and < 1"),
        ("improved-gru4rec", {"embedding_width": "a"}, "embedding_width must be integer ≥ 1"),
        ("improved-gru4rec", {"hidden_width": 0.5}, "hidden_width must be integer ≥ 1"),
        ("improved-gru4rec", {"max_length": 0}, "max_length must be integer ≥ 1"),
        ("narm", {"variant": "both"}, "variant must be one of hybrid, global, local"),
        ("narm", {"decoder": "tied"}, "decoder must be one of bilinear, full"),
        ("narm", {"attention_norm": "l2"}, "attention_norm must be one of softmax, none"),
        ("narm", {"embedding_width": 0}, "embedding_width must be integer ≥ 1"),
        ("narm", {"hidden_width": 0}, "hidden_width must be integer ≥ 1"),
        ("narm", {"embedding_dropout": 1.0}, "embedding_dropout must be number ≥ 0 and < 1"),
        ("narm", {"output_dropout": 2}, "output_dropout must be number ≥ 0 and < 1"),
        ("narm", {"max_length": 0}, "max_length must be integer ≥ 1"),
        ("stamp", {"width": 0}, "width must be integer ≥ 1"),
        ("stamp", {"max_norm": 0}, "max_norm must be number > 0"),
        ("stamp", {"max_length": 0}, "max_length must be integer ≥ 1"),
        ("sasrec", {"width": 0}, "width must be integer ≥ 1"),
        ("sasrec", {"blocks": 0}, "blocks must be integer ≥ 1"),
        ("sasrec", {"heads": 0}, "heads must be integer ≥ 1"),
        ("sasrec", {"expansion": 0}, "expansion must be integer ≥ 1"),
        ("sasrec", {"norm": "none"}, "norm must be one of pre, post"),
        ("sasrec", {"dropout": 1}, "dropout must be number ≥ 0 and < 1"),
        ("sasrec", {"max_length": 0}, "max_length must be integer ≥ 1"),
        ("sasrec", {"heads": 3}, "heads must divide width, got heads=3 and width=100"),
        ("sr-gnn", {"variant": "both"}, "variant must be one of hybrid, global, local"),
        ("sr-gnn", {"edges": "weighted"}, "edges must be one of binary, counted"),
        ("sr-gnn", {"steps": 0}, "steps must be integer ≥ 1"),
        ("sr-gnn", {"width": 0}, "width must be integer ≥ 1"),
        ("sr-gnn", {"max_length": 0}, "max_length must be integer ≥ 1"),
        ("lessr", {"width": 0}, "width must be integer ≥ 1"),
        ("lessr", {"layers": 17}, "layers must be integer ≥ 1 and ≤ 16"),
        ("lessr", {"dropout": 1}, "dropout must be number ≥ 0 and < 1"),
        ("lessr", {"batch_norm": "x"}, "batch_norm must be true or false"),
        ("lessr", {"max_length": 0}, "max_length must be integer ≥ 1"),
        ("tasrec", {"variant": "half"}, "variant must be one of full, temp, base"),
        ("tasrec", {"hops": 0}, "hops must be integer ≥ 1"),
        ("tasrec", {"layer_weights": "none"}, "layer_weights must be one of shared, own"),
        ("tasrec", {"day_edges": "counted"}, "day_edges must be one of binary, count"),
        ("tasrec", {"decay": 1.0}, "decay must be number"),
        ("tasrec", {"threshold": 0}, "threshold must be number"),
        ("tasrec", {"session_edges": "count"}, "session_edges must be one of binary, counted"),
        ("tasrec", {"steps": 0}, "steps must be integer ≥ 1"),
        ("tasrec", {"width": 0}, "width must be integer ≥ 1"),
        ("tasrec", {"dropout": 1}, "dropout must be number ≥ 0 and < 1"),
        ("tasrec", {"max_length": 0}, "max_length must be integer ≥ 1"),
        ("csrm", {"embedding_width": 0}, "embedding_width must be integer ≥ 1"),
        ("csrm", {"hidden_width": 0}, "hidden_width must be integer ≥ 1"),
        ("csrm", {"memory_size": 0}, "memory_size must be integer ≥ 1"),
        ("csrm", {"neighbors": 0}, "neighbors must be integer ≥ 1"),
        ("csrm", {"embedding_dropout": 1}, "embedding_dropout must be number ≥ 0 and < 1"),
        ("csrm", {"output_dropout": 1}, "output_dropout must be number ≥ 0 and < 1"),
        ("csrm", {"max_length": 0}, "max_length must be integer ≥ 1"),
    ],
)
def test_values_out_of_range_are_rejected(name, values, message):
    with pytest.raises(ConfigError, match=message):
        build_config(model_class(name).Config, values, name)
