"""Explanations reproduce the scores of the models."""

import numpy as np
import pytest
import torch
from torch import nn

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.core.types import silent
from nextclick.models.classical.bpr_mf import BPRMF, BPRMFConfig
from nextclick.models.classical.fpmc import FPMC, FPMCConfig
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.model_explanation import is_recording, record_attention, recording
from nextclick.models.model_registry import model_class
from nextclick.models.neural.asars import ASARS, ASARSConfig
from nextclick.models.ops.gap_bins import GapBins
from reference.neural_cases import DAYS, N, small_model, spread_weights

CLICKS = [3, 1, 4, 1, 5, 9, 2, 6]  # one more than the models read
ITEMS = np.array([1, 7, 9], dtype=np.int32)
NO_ITEMS = ITEMS[:0]
LOG = Sessions.from_lists([*DAYS[0], *DAYS[2], CLICKS], n_items=N)


def batch_of(clicks, users=None):
    batch = SessionBatch.from_lists([clicks])
    return SessionBatch(batch.items, batch.lengths, users=users)


def explain_clicks(case, clicks=CLICKS):
    """A small model, and its explanation of a session."""
    model = spread_weights(small_model(case))
    return model, model.explain(batch_of(clicks), NO_ITEMS)


def first_input(module, call):
    """The input of the first call of a module."""
    inputs = []
    hook = module.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    try:
        call()
    finally:
        hook.remove()
    return inputs[0]


def narm(encoder, items, weights):
    hidden = encoder.gru(encoder.items(items))[0][0]  # (n, H)
    kind = encoder.config.variant
    local = weights @ hidden
    features = local if kind == "local" else torch.cat([hidden[-1], local])
    return encoder.bilinear(features) if encoder.config.decoder == "bilinear" else features


def stamp(encoder, items, weights):
    rows = encoder.items(items)[0]
    rows = rows * (encoder.max_norm / rows.norm(dim=-1, keepdim=True)).clamp(max=1.0)
    memory = weights @ rows + rows.mean(0)
    return torch.tanh(encoder.session_cell(memory)) * torch.tanh(encoder.last_cell(rows[-1]))


def csrm(encoder, items, weights):
    clicks = encoder.items(items)
    purpose = weights @ encoder.purpose(clicks)[0][0]
    whole = encoder.whole(clicks)[0][:, -1]
    others = encoder.memory.read(purpose[None], None)
    return encoder.bilinear(encoder.fuse(whole, purpose[None], others))[0]


def lgsr(encoder, items, weights):
    states = encoder.states(items.flip(1))[0].flip(0)  # (n, D)
    return encoder.output(torch.cat([states[-1], weights @ states]))


def last_prefix(encoder, items):
    """The inputs of the longest prefix alone."""
    return encoder.prepare_prefixes(items.numpy(), np.array([items.shape[1] - 1]), None)


def sr_gnn(encoder, items, weights):
    graph = last_prefix(encoder, items)
    states = encoder.network(encoder.items(items).flatten(0, 1), graph)
    session = weights @ states[graph.clicks.states]
    last = states[graph.last[0]]
    return (
        session
        if encoder.config.variant == "global"
        else encoder.output(torch.cat([session, last]))
    )


def tasrec(encoder, items, weights):
    graphs = last_prefix(encoder, items)
    graph, states = graphs.session, encoder.states(items, graphs)
    return encoder.output(torch.cat([weights @ states[graph.clicks.states], states[graph.last[0]]]))


def lessr(encoder, items, weights):
    readout = encoder.readout
    features = first_input(
        readout, lambda: encoder(items, last_prefix(encoder, items))
    )  # (V, width)
    session = readout.activation(readout.output(weights[None] @ readout.norm(features)))
    last = features[last_prefix(encoder, items).last]
    return encoder.output(encoder.norm(torch.cat([last, session], dim=1)))[0]


QUERIES_FROM_WEIGHTS = {
    "narm": narm,
    "narm local": narm,
    "narm full": narm,
    "narm without softmax": narm,
    "stamp": stamp,
    "stamp, tight norm": stamp,
    "csrm": csrm,
    "lgsr": lgsr,
    "lgsr plain": lgsr,
    "sr-gnn": sr_gnn,
    "sr-gnn counted": sr_gnn,
    "sr-gnn two steps": sr_gnn,
    "sr-gnn global": sr_gnn,
    "lessr": lessr,
    "lessr without norm": lessr,
    "tasrec": tasrec,
    "tasrec base": tasrec,
}
NO_SOFTMAX = {"narm without softmax", "stamp", "sr-gnn", "tasrec"}


@torch.no_grad()
@pytest.mark.parametrize("case", QUERIES_FROM_WEIGHTS)
def test_the_pooling_weights_reproduce_the_query(case):
    model, explanation = explain_clicks(case)
    weights = torch.from_numpy(explanation.attention[-1].weights)
    latest = torch.tensor([CLICKS[-model.max_length :]])
    query = QUERIES_FROM_WEIGHTS[case](model.encoder, latest, weights)
    expected = torch.from_numpy(model.queries(batch_of(CLICKS))[0])
    torch.testing.assert_close(query, expected, rtol=1e-4, atol=1e-5)
    if case.split(",")[0] not in NO_SOFTMAX and model.name not in NO_SOFTMAX:
        assert weights.sum() == pytest.approx(1.0, abs=1e-5)
    if model.name == "lessr":  # each item at its first click
        assert explanation.attention[0].clicks.tolist() == [1, 2, 4, 5, 6, 7]
    else:
        assert explanation.attention[0].clicks.tolist() == [1, 2, 3, 4, 5, 6, 7]


@torch.no_grad()
@pytest.mark.parametrize("case", ["sasrec", "sasrec two heads", "sasrec post"])
def test_sasrec_maps_are_the_attention_of_its_blocks(case):
    model, explanation = explain_clicks(case)
    heads = model.encoder.blocks[0].heads
    names = [f"block {b}, head {h}" for b in (1, 2) for h in range(1, heads + 1)]
    assert [layer.name for layer in explanation.attention] == names
    maps = iter(explanation.attention)
    for block in model.encoder.blocks:
        x = first_input(block.project, lambda: model.queries(batch_of(CLICKS)))[0]  # (T, D)
        values = block.project(x).chunk(3, dim=-1)[2].chunk(heads, dim=-1)
        weights = [torch.from_numpy(next(maps).weights) for _ in range(heads)]
        for one_head in weights:
            assert one_head.triu(1).abs().max() == 0
            torch.testing.assert_close(one_head.sum(1), torch.ones(7))
        mixed = torch.cat([w @ v for w, v in zip(weights, values, strict=True)], dim=-1)
        torch.testing.assert_close(block.attend(x[None])[0], block.merge(mixed))


@torch.no_grad()
@pytest.mark.parametrize("case", ["lgsr", "lgsr a"])
def test_lgsr_map_is_the_attention_of_its_states(case):
    model, explanation = explain_clicks(case)
    layer = explanation.attention[0]
    assert (layer.name, layer.weights.shape) == ("self-attention", (7, 7))
    weights = torch.from_numpy(layer.weights)
    assert weights.triu(1).abs().max() == 0
    torch.testing.assert_close(weights.sum(1), torch.ones(7))
    encoder = model.encoder
    latest = torch.tensor([CLICKS[-7:]])
    x = first_input(encoder.project, lambda: encoder.states(latest.flip(1)))[0].flip(0)  # (n, D)
    mixed = (
        first_input(encoder.attention_norm, lambda: encoder.states(latest.flip(1)))[0].flip(0) - x
    )
    torch.testing.assert_close(weights @ encoder.project(x).chunk(3, dim=-1)[2], mixed)


def test_narm_with_zero_weights_attends_uniformly():
    model = small_model("narm")
    nn.init.zeros_(model.encoder.attend)
    (layer,) = model.explain(batch_of([3, 1, 4]), NO_ITEMS).attention
    assert (layer.name, layer.clicks.tolist()) == ("attention-pooling", [0, 1, 2])
    assert layer.weights.tolist() == pytest.approx([1 / 3] * 3)
    assert (layer.map, layer.session_weights.tolist()) == (None, layer.weights.tolist())


def test_stamp_by_hand():
    # without W1, W2, W3 and b the weight of each click is Σ w0 σ(0), half of 1.5
    model = small_model("stamp")
    encoder = model.encoder
    for weight in (*encoder.attend_each.parameters(), *encoder.attend_last.parameters()):
        nn.init.zeros_(weight)
    nn.init.zeros_(encoder.attend_mean.weight)
    nn.init.constant_(encoder.attend, 0.25)  # six of them
    (layer,) = model.explain(batch_of([3, 1]), NO_ITEMS).attention
    assert layer.weights.tolist() == pytest.approx([0.75, 0.75])


@torch.no_grad()
def test_asars_weighs_by_dwell_time():
    dataset = DatasetInfo(np.array([False, True, True]), GapBins(10.0, 6))
    for variant in ("time_att", "user_att"):
        config = ASARSConfig(variant, item_width=4, gap_width=3, user_width=3, hidden_width=5)
        model = spread_weights(ASARS(config, N, dataset))
        batch = SessionBatch(
            np.array([[3, 1, 4]], np.int32),
            np.array([3], np.int32),
            gaps=np.array([[0, 5, 80]], np.float32),
            users=np.array([1], np.int32),
            time_since_last_click=np.zeros(1, np.float32),
        )
        (layer,) = model.explain(batch, NO_ITEMS).attention
        hidden = model.encoder.rnn(model.encoder.items(torch.tensor([[3, 1, 4]])))[0][0]
        query = model.encoder.output(torch.from_numpy(layer.weights) @ hidden)
        torch.testing.assert_close(query, torch.from_numpy(model.queries(batch)[0]))
        assert layer.weights.sum() == pytest.approx(1.0)


def test_csrm_neighbors_are_sessions_of_its_memory():
    model, explanation = explain_clicks("csrm")
    encoder = model.encoder
    shares = [neighbor.vote for neighbor in explanation.neighbors]
    assert sum(shares) == pytest.approx(1.0, abs=1e-5)  # three sessions are read
    assert shares == sorted(shares, reverse=True)
    cosines = [neighbor.similarity for neighbor in explanation.neighbors]
    assert np.exp(cosines) / np.exp(cosines).sum() == pytest.approx(shares, abs=1e-5)
    assert {n.session for n in explanation.neighbors} <= set(encoder.memory.session.tolist())
    encoder.memory.clear()
    assert model.explain(batch_of(CLICKS), NO_ITEMS).neighbors is None


def test_tasrec_neighbors_are_those_of_its_graph():
    model, explanation = explain_clicks("tasrec", [9, 3, 9])
    # 9 is adjacent to 5 on the last day, and to 2 three days earlier with a quarter of the weight
    near = model.encoder.neighbors
    assert [link.item for link in explanation.links] == [9, 3]
    for link in explanation.links:
        weights = dict(zip(link.items.tolist(), link.weights.tolist(), strict=True))
        assert weights == near.item_neighbors(link.item)
        assert sorted(weights.values(), reverse=True) == list(weights.values())
    assert explanation.links[0].items.tolist()[0] == 5


def trained(name, **parameters):
    config = model_class(name).Config(**parameters)
    return model_class(name).fit(LOG, config, seed=0, progress=silent)


def test_contributions_of_users():
    rng = np.random.default_rng(0)
    tables = [rng.normal(size=(n, 2)).astype(np.float32) for n in (N + 1, 3)]
    users = np.array([2], dtype=np.int32)
    bias = rng.normal(size=N + 1).astype(np.float32)
    wide = rng.normal(size=(N + 1, 4)).astype(np.float32)
    for model in (
        BPRMF(BPRMFConfig(of="user", bias=True), tables[0], bias, tables[1]),
        FPMC(FPMCConfig(users=True), tables[0], tables[1], wide),
    ):
        parts = model.explain(batch_of([3, 4], users), ITEMS).parts
        total = parts.clicks.sum(axis=1) + sum(parts.rest.values())
        assert total == pytest.approx(model.score(batch_of([3, 4], users))[0, ITEMS], rel=1e-5)
        assert "visitor" in parts.rest


def test_contributions_by_hand():
    batch = batch_of([9, 5, 9])
    items = np.array([9, 5, 2], dtype=np.int32)
    contributions = trained("markov", repeats="keep").explain(batch, items).parts
    # 9 was followed by 2, 8, 5, 5 and 2
    assert contributions.clicks == pytest.approx(np.array([[0, 0, 0], [0, 0, 0.4], [0, 0, 0.4]]))
    contributions = trained("s-pop").explain(batch, items).parts
    assert contributions.clicks.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    contributions = trained("pop").explain(batch, items).parts
    assert contributions.clicks.tolist() == [[0, 0, 0]] * 3
    assert contributions.rest["clicks in training"].tolist() == [6, 5, 2]


def test_votes_of_session_knn_by_hand():
    cls = model_class("session-knn")
    config = cls.Config(
        similarity="vec",
        weighting="div",
        weighting_score="div",
        idf_weighting=0.0,
        repeats="keep",
    )
    log = Sessions.from_lists([[1, 4], [2, 5], [1, 2, 3]])
    model = cls.fit(log, config, seed=0, progress=silent)
    explanation = model.explain(batch_of([1, 2]), np.array([3, 4, 1], dtype=np.int32))
    # weights: item 1 a half, item 2 one; similarities 1½, 1, ½, the last at two steps
    assert _votes(explanation) == [([1, 2, 3], 1.5, 1.5, 1), ([1, 4], 0.5, 0.25, 1)]
    assert explanation.parts.clicks.tolist() == [[0.5, 1.0], [0.25, 0.0], [0.75, 1.0]]
    alone = model.explain(batch_of([4]), np.array([3], dtype=np.int32))
    assert alone.parts.clicks.tolist() == [[0.0]]
    assert alone.neighbors == []  # [1, 4] does not vote for 3
    everything = model.explain(batch_of([1, 2]), np.empty(0, dtype=np.int32))
    assert _votes(everything) == [
        ([1, 2, 3], 1.5, 1.5, 1),
        ([2, 5], 1.0, 1.0, 1),
        ([1, 4], 0.5, 0.25, 1),
    ]


def test_neighbors_with_the_same_items_are_one_neighbor():
    cls = model_class("session-knn")
    config = cls.Config(similarity="vec", weighting="same", weighting_score="same", repeats="keep")
    log = Sessions.from_lists([[1, 2, 3], [1, 4], [3, 1], [4, 1, 1], [1, 3]])
    explanation = cls.fit(log, config, seed=0, progress=silent).explain(
        batch_of([1]), np.array([3, 4], dtype=np.int32)
    )
    assert _votes(explanation) == [
        ([1, 3], 1.0, 2.0, 2),  # equal votes: the latest session first
        ([4, 1], 1.0, 2.0, 2),
        ([1, 2, 3], 1.0, 1.0, 1),
    ]


def _votes(explanation):
    return [(n.items.tolist(), n.similarity, n.vote, n.count) for n in explanation.neighbors]


def test_attention_is_recorded_only_within_recording():
    record_attention("attention-pooling", torch.ones(1, 2))
    assert not is_recording()
    with recording() as recorded:
        record_attention("attention-pooling", torch.ones(1, 2))
        record_attention("attention-pooling", torch.ones(1, 1), torch.tensor([4]))
    record_attention("attention-pooling", torch.ones(1, 2))
    assert [(layer.name, layer.clicks.tolist()) for layer in recorded.attention] == [
        ("attention-pooling", [0, 1]),
        ("attention-pooling", [4]),
    ]
