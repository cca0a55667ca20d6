"""LGSR: its variants and its auxiliary task on the item graph."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from nextclick.core import storage as folders
from nextclick.core.sessions import Sessions
from nextclick.models.neural.lgsr import LGSR, LGSRConfig
from nextclick.models.neural.sr_gnn import SRGNN, SRGNNConfig
from nextclick.training import run_log as report
from nextclick.training.checkpoint import Checkpoints
from nextclick.training.device import seeded
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import TrainingConfig, build_configs
from reference.neural_cases import small_model, spread_weights
from reference.walks import skip_gram_loss

N = 12
GRAPH = {"walks": 3, "walk_length": 6, "window": 2, "graph_batch": 160, "graph_negatives": 4}
SMALL = {"width": 6, "max_length": 7, **GRAPH}
LOG = Sessions.from_lists(
    [np.random.default_rng(s).integers(1, N + 1, 5).tolist() for s in range(40)], N
)
TRAINING = TrainingConfig(
    batch_size=32, learning_rate=0.01, epochs=3, keep="last", threads=1, checkpoint_minutes=0
)


def fresh(seed=0, **values):
    with seeded(seed):
        return LGSR(LGSRConfig(**(SMALL | values)), N)


def weights(model):
    return {name: array.copy() for name, array in model.state().items()}


def same(a, b):
    return all((a[name] == b[name]).all() for name in a)


@torch.no_grad()
def test_attention_masks_later_clicks_and_padding():
    encoder = spread_weights(small_model("lgsr")).encoder
    latest = torch.tensor([[3, 5, 2, 0], [1, 0, 0, 0]])  # the last click first
    x = torch.randn(2, 4, 6)
    rows = encoder.self_attention(x, x, latest)
    assert (rows[0, 1, :1] == 0).all()
    assert (rows[0, :3, 3] == 0).all()
    assert rows[0, 2, 2] == 1.0
    assert rows[1, 0].tolist() == [1, 0, 0, 0]
    alpha = encoder.attention(encoder.states(latest), latest)
    assert alpha[0, 3] == 0
    assert alpha.sum(1).tolist() == pytest.approx([1, 1])


@torch.no_grad()
def test_positions_count_from_the_last_click():
    encoder = spread_weights(small_model("lgsr")).encoder
    encoder.positions[1:] = 0.0
    before = encoder(torch.tensor([[4, 4, 4]]))
    encoder.positions[2] = 1.0
    after = encoder(torch.tensor([[4, 4, 4]]))
    assert torch.equal(before[0, :2], after[0, :2])
    assert not torch.equal(before[0, 2], after[0, 2])


def test_variant_h_is_sr_gnn():
    model = fresh(variant="h")
    other = SRGNN(SRGNNConfig(width=6, max_length=7), N)
    other.encoder.load_state_dict(model.encoder.state_dict())
    clicks = torch.tensor([[3, 1, 3, 2]])
    with torch.no_grad():
        assert torch.equal(model.encoder(clicks), other.encoder(clicks))


def test_presets_match_the_paper():
    forms = {}
    for preset in LGSR.presets.keys() - {"default"}:
        config, training = build_configs("lgsr", LGSRConfig, LGSR.presets, preset, {})
        forms[config.variant] = config
        assert (training.batch_size, training.learning_rate) == (512, 0.001)
        assert training.weight_decay == 1e-6
    assert forms.keys() == {"full", "c", "a", "h"}
    config = forms["full"]
    assert (config.width, config.dropout, config.max_length) == (100, 0.3, 19)
    assert config.graph_passes == 2
    assert (config.walks, config.walk_length, config.window) == (13, 50, 8)
    assert (config.graph_negatives, config.graph_batch, config.graph_loss) == (512, 8192, "nce")


def tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.mark.parametrize("graph_loss", ["nce", "negative_sampling"])
def test_the_loss_of_a_step_equals_a_loop_over_its_pairs(graph_loss):
    model = fresh(graph_loss=graph_loss)
    task = model.task(LOG, 3)
    with torch.no_grad():
        task.contexts.weight.normal_()
        if graph_loss == "nce":
            task.bias.normal_()
    work = next(iter(task.steps(0)))
    v, theta = (w.detach().double().numpy() for w in (task.items.weight, task.contexts.weight))
    log_q = dict.fromkeys(range(N + 1), 0.0)
    bias = np.zeros(N + 1)
    if graph_loss == "nce":
        bias = task.bias.detach().double().numpy()
        for name in ("contexts", "negatives"):
            log_q |= dict(zip(work[name].tolist(), work[f"log_q_of_{name}"].tolist(), strict=True))
    pairs = list(
        zip(work["centers"][work["owner"]].tolist(), work["contexts"].tolist(), strict=True)
    )
    expected = skip_gram_loss(
        pairs, work["negatives"].tolist(), lambda i, j: v[i] @ theta[j] + bias[j] - log_q[j]
    )
    assert task.loss(tensors(work)).item() == pytest.approx(expected, rel=1e-5)


def test_negatives_by_transitions_or_by_edges():
    log = Sessions.from_lists([[1, 2]] * 9 + [[3, 4], [3, 5], [3, 6]], N)
    likeliest = {}
    for ranks in ("clicks", "edges"):
        model = small_model("lgsr", negative_ranks=ranks)
        probability = model.task(log, seed=0)._sampler.probability
        likeliest[ranks] = int(np.argmax(probability))
    assert likeliest == {"clicks": 1, "edges": 3}


def test_each_epoch_has_graph_passes_passes():
    pairs = [Counter(), Counter()]
    for passes in (1, 2):
        task = fresh(graph_passes=passes).task(LOG, 0)
        for work in task.steps(1):
            pair = zip(
                work["centers"][work["owner"]].tolist(), work["contexts"].tolist(), strict=True
            )
            pairs[passes - 1] += Counter(pair)
    assert pairs[1] == pairs[0] + pairs[0]


def test_graph_pairs_limits_a_pass():
    task = fresh(graph_pairs=100, graph_passes=3, graph_batch=40).task(LOG, 0)
    n_pairs = sum(len(work["contexts"]) for work in task.steps(0))
    assert 300 <= n_pairs < 300 + 3 * 40


def test_graph_epochs_ends_the_task():
    tasks = fresh(graph_epochs=2).task(LOG, 0), fresh().task(LOG, 0)
    steps = [[len(list(task.steps(epoch))) for epoch in range(4)] for task in tasks]
    assert steps[0] == [*steps[1][:2], 0, 0]
    assert min(steps[1]) > 0


@pytest.mark.parametrize("values", [{"variant": "c"}, {"graph_passes": 0}])
def test_no_task_without_a_graph(values):
    assert fresh(**values).task(LOG, 0) is None


@pytest.mark.parametrize("values", [{}, {"variant": "h"}, {"variant": "a"}, {"sparse": True}])
def test_training_with_the_task_lowers_the_loss(values):
    sparse = values.pop("sparse", False)
    config = replace(TRAINING, epochs=4)
    if sparse:
        config = replace(config, loss="sampled", negatives=8, sparse=True)
    model = fresh(dropout=0.0, **values)
    training = Trainer(model, config, seed=1, device="cpu").run(LOG)
    losses = [epoch["loss"] for epoch in training.history]
    assert losses[-1] < losses[0]
    assert training.history[0]["samples"] == LOG.n_prefixes
    assert (model.state()["items.weight"][0] == 0).all()
    assert not any("contexts" in name for name in model.state())


def test_the_task_trains_the_items_only():
    model = fresh()
    before = weights(model)
    # the learning rate of prefixes is 0, so only the task changes weights
    config = replace(TRAINING, epochs=1, schedule="step", warm_up=1e12)
    Trainer(model, config, seed=1, device="cpu").run(LOG)
    after = weights(model)
    assert not (before["items.weight"][1:] == after["items.weight"][1:]).any(axis=1).any()
    for name in before:
        if name != "items.weight":
            np.testing.assert_allclose(after[name], before[name], atol=1e-9)


def test_graph_rate_scales_the_learning_rate():
    config = replace(TRAINING, epochs=1, optimizer="sgd", warm_up=1e12)

    def moved(**values):
        model = fresh(walks=1, graph_passes=1, graph_batch=10**6, **values)  # one step
        before = weights(model)["items.weight"]
        Trainer(model, config, seed=1, device="cpu").run(LOG)
        return weights(model)["items.weight"] - before

    full, half = moved(), moved(graph_rate=0.5)
    np.testing.assert_allclose(half, full / 2, rtol=1e-3, atol=1e-7)


class KilledError(Exception):
    """Simulates a kill."""


def test_resume_after_a_kill_in_the_task_or_in_the_prefixes(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(folders, "sync_tree", lambda folder: None)

    def run(folder, *, resume=False, kill_at=None):
        stages = []

        def progress(stage, done, total):
            stages.append(stage)
            if len(stages) == kill_at:
                raise KilledError

        model = fresh(seed=9 if resume else 0, graph_passes=1)
        checkpoints = Checkpoints(folder, resume, {"store": "abc"})
        Trainer(model, replace(TRAINING, epochs=2), seed=5, device="cpu").run(
            LOG, checkpoints=checkpoints, progress=progress
        )
        return weights(model), stages

    expected, stages = run(tmp_path / "uninterrupted")
    in_graph = ["item graph" in stage for stage in stages]
    first_prefix = in_graph.index(False)
    assert any(in_graph[first_prefix:])
    again = in_graph.index(True, first_prefix)
    for kill_at in (3, first_prefix, first_prefix + 2, again + 2):
        folder = tmp_path / str(kill_at)
        with pytest.raises(KilledError):
            run(folder, kill_at=kill_at)
        assert same(run(folder, resume=True)[0], expected)


def test_items_of_the_same_walks_become_similar():
    """Items that occur in the same sessions get similar vectors."""
    rng = np.random.default_rng(0)
    halves = [(rng.integers(1, 7, 6) + 6 * (s % 2)).tolist() for s in range(80)]
    model = fresh(graph_passes=8, dropout=0.0, walks=10)
    config = replace(TRAINING, epochs=4, warm_up=1e12)
    Trainer(model, config, seed=1, device="cpu").run(Sessions.from_lists(halves, N))
    items = model.state()["items.weight"][1:]
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    similarity = unit @ unit.T
    within = (similarity[:6, :6].sum() - 6 + similarity[6:, 6:].sum() - 6) / 60
    assert within > similarity[:6, 6:].mean() + 0.3
