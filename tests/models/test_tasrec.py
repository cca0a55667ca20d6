"""TASRec: layers by hand, causality across days, and the temporal graph."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from nextclick.core.session_batch import SessionBatch
from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError
from nextclick.models.neural.tasrec import TASRec
from nextclick.models.neural.tasrec_encoder import TASRecConfig, TASRecEncoder
from nextclick.models.ops.tasrec_graph import TemporalItems, temporal_messages
from nextclick.models.ops.temporal_history import GRAPH_ARRAYS
from reference.neural_cases import N, small_model, spread_weights
from reference.neural_graphs import tasrec_items
from reference.temporal_graph import exact_weights

BLOCKS = [3, 3, 4, 4, 6, 6, 7]
CLICKS = [[1, 2, 3], [4, 5], [2, 3, 1], [5, 6], [1, 4], [2, 6, 2], [3, 5, 7]]


def log_of(clicks=CLICKS, blocks=BLOCKS, n_items=N):
    log = Sessions.from_lists(clicks, n_items=n_items)
    return replace(log, blocks=np.array(blocks, np.int32))


def day(log, block):
    start, stop = np.searchsorted(log.blocks, [block, block + 1]).tolist()
    return log.slice(start, stop)


NOBODY = log_of([[1, 2]], [0]).slice(0, 0)


def tasrec(**values):
    return spread_weights(small_model("tasrec", **values))


@torch.no_grad()
def test_two_rounds_by_hand():
    # 1 — 2 with weight 1.5, 2 — 3 with weight 1; 4 alone
    model = TASRec(TASRecConfig(width=2, hops=2, day_edges="count", threshold=1.0), n_items=4)
    for clicks in ([[1, 2]], [[1, 2], [2, 3]]):
        model.advance(Sessions.from_lists(clicks, n_items=4))
    layer = TemporalItems(2, 2, shared=True)
    layer.layers[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    items = torch.nn.Embedding(5, 2)
    rows = torch.tensor([[0, 0], [1, 0], [0, 1], [2, 0], [3, 4]])
    items.weight.copy_(rows)
    messages = temporal_messages(model.encoder.neighbors, np.array([1, 4]), 2, n_items=4)
    actual = layer(items, messages)
    # first round, before LeakyReLU the second coordinate changes its sign
    one = np.array([1 / 2.5, -0.01 * 1.5 / 2.5])  # (1.5 (0, 1) + (1, 0)) / 2.5
    two = np.array([(1.5 + 2) / 3.5, -0.01 * 1 / 3.5])  # (1.5 (1, 0) + (2, 0) + (0, 1)) / 3.5
    met = (1.5 * two + one) / 2.5
    twice = np.array([met[0], -met[1]])  # met[1] < 0: it becomes positive
    mean = (np.array([1, 0]) + one + twice) / 3
    alone = (np.array([3, 4]) + np.array([3, -0.04]) + np.array([3, 0.04])) / 3
    expected = np.stack([mean / np.linalg.norm(mean), alone / np.linalg.norm(alone)])
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-5)


@torch.no_grad()
def test_attention_pooling_by_hand():
    encoder = TASRecEncoder(TASRecConfig(width=1, variant="temp"), n_items=3).eval()
    encoder.items.weight[:, 0] = torch.tensor([0.0, 0.5, -2.0, 3.0])
    for linear in (encoder.temporal.layers[0], encoder.attend_each, encoder.attend_last):
        linear.weight.fill_(1.0)
    encoder.attend_last.bias.fill_(0.5)
    encoder.attend.fill_(2.0)
    encoder.output.weight.copy_(torch.tensor([[1.0, 10.0]]))

    def beta(z, last):
        return 2 / (1 + math.exp(-(z + last + 0.5)))

    # without edges a normalized embedding of width 1 is its sign
    queries = encoder(torch.tensor([[1, 2, 1]]))[0, :, 0]
    expected = [
        beta(1, 1) + 10,
        beta(1, -1) - beta(-1, -1) - 10,
        2 * beta(1, 1) - beta(-1, 1) + 10,
    ]
    assert queries.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("hops", [1, 2, 5])
@pytest.mark.parametrize("layer_weights", ["shared", "own"])
def test_embeddings_of_a_few_items_equal_those_of_the_whole_catalog(hops, layer_weights):
    model = tasrec(hops=hops, layer_weights=layer_weights, threshold=0.2)
    expected = tasrec_items(model.state(), model.config)
    messages = temporal_messages(model.encoder.neighbors, np.array([9, 2, 7]), hops, N)
    with torch.no_grad():
        actual = model.encoder.temporal(model.encoder.items, messages)
    for item, row in zip((9, 2, 7), actual.numpy(), strict=True):
        np.testing.assert_allclose(row, expected[item], atol=1e-6)


def test_variants_omit_their_layer():
    def names(variant):
        return {name.split(".")[0] for name in small_model("tasrec", variant=variant).state()}

    full, temp, base = names("full"), names("temp"), names("base")
    assert full - temp == {"network"}
    assert full - base == {"temporal", *GRAPH_ARRAYS} - {"last_block"}
    assert TASRec.requires(TASRecConfig(variant="temp")) == {"blocks"}
    assert TASRec.requires(TASRecConfig(variant="base")) == set()


def temporal_of_block(log, block):
    model = TASRec(TASRecConfig(width=4, hops=3), N)
    model.setup(log)
    return temporal(model, block)


def temporal(model, block):
    """The temporal graph that a training session of a block reads, as arrays by name."""
    items = np.array([[1, 2, 3, 4, 5, 6, 7]])
    graphs = model.prepare_prefixes(items, np.arange(7), np.array([0]), block)
    return {f.name: getattr(graphs.temporal, f.name).numpy() for f in fields(graphs.temporal)}


def check_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert array.tolist() == actual[name].tolist(), name


@pytest.mark.parametrize("block", [3, 4, 5, 6, 7])
def test_the_graph_of_a_day_is_independent_of_that_day_and_later_ones(block):
    expected = temporal_of_block(log_of(), block)
    changed = [
        [(click % N) + 1 for click in session] if its_block >= block else session
        for session, its_block in zip(CLICKS, BLOCKS, strict=True)
    ]
    check_same(temporal_of_block(log_of(changed), block), expected)


def test_the_graph_of_a_day_depends_on_the_day_before():
    expected = temporal_of_block(log_of(), 7)
    actual = temporal_of_block(log_of([*CLICKS[:4], [1, 5], *CLICKS[5:]]), 7)
    assert expected["source"].tolist() != actual["source"].tolist()


def test_training_sessions_read_the_graph_before_their_block():
    graph = temporal_of_block(log_of(), 4)
    items, bounds = graph["items"].tolist(), graph["bounds"]
    linked = {
        items[i]: {items[j] for j in graph["source"][bounds[i] : bounds[i + 1]]}
        for i in range(len(bounds) - 1)
    }
    assert linked == {1: {2}, 2: {1, 3}, 3: {2}, 4: {5}, 5: {4}, 6: set(), 7: set()}


def test_advancing_day_by_day_equals_building_at_once():
    log = log_of()
    whole, model = (
        tasrec(threshold=0.3).with_history(log),
        tasrec(threshold=0.3).with_history(log, 4),
    )
    assert (model.last_block, whole.last_block) == (3, 7)
    for block in range(4, 8):
        model.advance(day(log, block))
    assert model.last_block == 7
    for name, array in whole.state().items():
        assert array.tolist() == model.state()[name].tolist(), name
    assert model.neighbor_pairs == whole.neighbor_pairs
    days = [[CLICKS[s] for s in range(7) if BLOCKS[s] == block] for block in range(3, 8)]
    alive = {
        3 + n: sum(weight >= 0.3 for weight in exact_weights(days[:n]).values()) for n in range(6)
    }
    assert whole.neighbor_pairs == alive
    batch = SessionBatch.from_lists([[1, 2, 3], [6]])
    assert model.score(batch).tolist() == whole.score(batch).tolist()


@pytest.mark.parametrize("block", [4, 5, 6, 7])
def test_continued_training_reads_the_graphs_of_training_from_scratch(block):
    log, whole = log_of(), tasrec(threshold=0.3)
    whole.setup(log)
    n_before = int(np.searchsorted(log.blocks, block))
    kept = tasrec(threshold=0.3).with_history(log, block)
    model = TASRec.from_state(kept.state(), kept.config)
    model.continue_training()
    model.setup(log.slice(n_before, len(log)))
    for later in range(block, 8):
        check_same(temporal(model, later), temporal(whole, later))
    check_same(model.state(), whole.state())
    assert model.neighbor_pairs == {b: n for b, n in whole.neighbor_pairs.items() if b >= block}


def test_replayed_sessions_read_their_own_graphs():
    log, whole = log_of(), tasrec(threshold=0.3)
    whole.setup(log)
    model = tasrec(threshold=0.3).with_history(log, 6)
    model.continue_training(log.slice(0, 4))
    model.setup(log.take(np.array([1, 2, 4, 5, 6])))  # of blocks 3, 4, and all after 5
    for block in (3, 4, 6, 7):
        check_same(temporal(model, block), temporal(whole, block))
    check_same(model.state(), whole.state())


def test_training_that_does_not_continue_starts_from_scratch():
    model = tasrec(threshold=0.3).with_history(log_of(), 5)
    model.continue_training()
    model.setup(day(log_of(), 7))
    model.teardown()
    model.setup(log_of())
    assert model.last_block == 6, "the last block of a training is open"
    model.advance(NOBODY)
    check_same(model.state(), tasrec(threshold=0.3).with_history(log_of()).state())


def test_with_history_returns_another_model_with_the_same_weights():
    model = tasrec()
    batch = SessionBatch.from_lists([[1, 2, 3], [6]])
    before = model.score(batch).tolist()
    other = model.with_history(log_of())
    assert other.score(batch).tolist() != before
    assert model.score(batch).tolist() == before
    other.advance(day(log_of(), 99))
    assert model.score(batch).tolist() == before
    assert model.last_block == 2
    assert other.encoder.items.weight is model.encoder.items.weight


def test_an_open_block_changes_nothing_until_it_is_over():
    log = log_of()
    model, whole = (tasrec(threshold=0.3).with_history(log, stop) for stop in (6, 7))
    batch = SessionBatch.from_lists([[1, 2, 3], [6]])
    before, pairs = model.score(batch).tolist(), dict(model.neighbor_pairs)
    for start, stop in ((4, 5), (5, 6)):
        model.keep_open(log.slice(start, stop))
        assert model.score(batch).tolist() == before
        assert (model.last_block, model.neighbor_pairs) == (5, pairs)
    restored = TASRec.from_state(model.state(), model.config)
    for each_model in (model, restored):
        each_model.advance(NOBODY)
        check_same(each_model.state(), whole.state())
        assert each_model.score(batch).tolist() == whole.score(batch).tolist()
    with pytest.raises(ConfigError, match=r"of block 7, the block after last_block, got blocks 6"):
        model.keep_open(day(log, 6))


def test_a_block_is_predicted_from_those_before_it():
    log, batch = log_of(), SessionBatch.from_lists([[1, 2, 3], [3, 5]])
    model = tasrec(threshold=0.3).with_history(log)
    before, after = (tasrec(threshold=0.3).with_history(log, b).score(batch) for b in (7, 8))
    assert (before != after).any()
    restored = TASRec.from_state(model.state(), model.config)
    for each_model in (model, restored):
        for block, expected in ((6, before), (7, before), (8, after), (20, after)):
            scores = each_model.at_block(block).score(batch)
            np.testing.assert_array_equal(scores, expected)
        np.testing.assert_array_equal(each_model.score(batch), after)
    base = spread_weights(small_model("tasrec base"))
    assert base.at_block(0) is base


def test_pairs_of_any_distance():
    log = log_of([[1, 2, 3, 2], [3, 0, 4]], [0, 0])
    found = {}
    for distance in (1, 2, 0):
        values = {"day_distance": distance, "day_edges": "count"}
        edges = tasrec(**values).with_history(log).state()
        keys = edges["graph_edges"].tolist()
        counts = (edges["graph_weights"] >> 40).tolist()
        found[distance] = {(k >> 32, k & 0xFFFF): n for k, n in zip(keys, counts, strict=True)}
    assert found[1] == {(1, 2): 1, (2, 3): 2}
    assert found[2] == {(1, 2): 1, (2, 3): 2, (1, 3): 1, (3, 4): 1}
    assert found[0] == {(1, 2): 2, (2, 3): 2, (1, 3): 1, (3, 4): 1}


def test_a_high_threshold_leaves_no_edge():
    model = tasrec(threshold=1e6, day_edges="count").with_history(log_of())
    assert set(model.neighbor_pairs.values()) == {0}
    assert model.explain(SessionBatch.from_lists([[1, 2]]), np.array([1])).links[0].items.size == 0


def test_no_edges_before_the_first_day():
    model = tasrec().with_history(log_of(), 2)
    assert (model.last_block, model.neighbor_pairs) == (1, {2: 0})


def test_blocks_must_be_advanced_in_order():
    model = tasrec().with_history(log_of(), 5)
    with pytest.raises(
        ConfigError, match=r"of block 5, the block after last_block, got blocks 6\.\.6"
    ):
        model.advance(day(log_of(), 6))
    with pytest.raises(
        ConfigError, match=r"of block 5, the block after last_block, got blocks 6\.\.7"
    ):
        model.advance(log_of().slice(4, 7))
    model.advance(day(log_of(), 5))  # nobody clicked
    model.advance(replace(day(log_of(), 6), blocks=None))
    assert model.last_block == 6


def test_base_has_no_graph_and_counts_blocks():
    model = spread_weights(small_model("tasrec base"))
    assert (model.capabilities.update, model.last_block) == ("fine-tune", 2)
    batch = SessionBatch.from_lists([[1, 2, 3], [6]])
    before = model.score(batch).tolist()
    model.advance(Sessions.from_lists([[1, 2], [6, 1]], n_items=N))
    assert model.score(batch).tolist() == before
    assert model.with_history(log_of()).last_block == 7
    assert model.with_history(log_of(), 5).last_block == 4


def test_a_restored_model_advances_as_the_original():
    model = tasrec(threshold=0.3)
    restored = TASRec.from_state(model.state(), model.config)
    assert (restored.last_block, restored.neighbor_pairs) == (2, {3: model.neighbor_pairs[3]})
    for each_model in (model, restored):
        each_model.advance(Sessions.from_lists([[1, 2], [6, 1]], n_items=N))
    for name, array in model.state().items():
        assert array.tolist() == restored.state()[name].tolist(), name
    batch = SessionBatch.from_lists([[1, 2, 3], [6]])
    assert model.score(batch).tolist() == restored.score(batch).tolist()
