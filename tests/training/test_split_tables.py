"""Item tables that are split over two processes give the losses and the model of one."""

import numpy as np
import pytest
from safetensors.numpy import load_file

import nextclick
from nextclick import prepare
from nextclick.errors import ArtifactError, ConfigError
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from nextclick.training.config_checks import check_sharded
from nextclick.training.training_config import NeuralOptions, TrainingConfig
from reference.process_worker import SPLIT, evaluate_split, train_split
from started_processes import run_worker

TOLERANCE = 2e-5  # of the loss: sums of float32 in another order
EVALUATIONS = ("evaluate-split-asars-2", "evaluate-split-cosine-gru-2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    config = SimulationConfig(events=4_000, items=100, users=200, days=5)
    simulate(config, folder / "log.parquet")
    prepare(folder / "log.parquet", folder / "store")
    return folder


@pytest.fixture(scope="module")
def one(folder):
    """What one process trains."""
    return {name: train_split(folder, name) for name in SPLIT}


@pytest.fixture(scope="module")
def two(folder, one):
    del one  # comes first: it compiles the kernels that both processes load
    return run_worker(folder, *SPLIT, *EVALUATIONS, "remote-tensors", "resumed")


@pytest.mark.parametrize("name", SPLIT)
def test_two_processes_train_the_model_of_one(name, folder, one, two):
    first, second = (found[name] for found in two)
    assert first == second
    for (loss, metric), (expected_loss, expected_metric) in zip(first, one[name], strict=True):
        assert loss == pytest.approx(expected_loss, rel=TOLERANCE)
        assert metric == pytest.approx(expected_metric, abs=0.02)
    expected, found = (load_file(folder / f"{name}-{n}/weights.safetensors") for n in (1, 2))
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert found[key].shape == array.shape
        # Adam divides by gradients near 0, so a few weights differ by more than the rounding
        close = np.isclose(found[key], array, rtol=0.02, atol=0.02 * np.abs(array).max() + 1e-6)
        assert close.mean() > 0.9, key


@pytest.mark.parametrize("name", EVALUATIONS)
def test_split_tables_rank_as_whole_ones(name, folder, two):
    first, second = (found[name] for found in two)
    assert first == second
    expected = evaluate_split(folder, name)
    for metric, value in expected["evaluation"]["metrics"].items():
        found = first["evaluation"]["metrics"][metric]
        assert found["value"] == pytest.approx(value["value"], abs=0.004)
    assert first["evaluation"]["counts"] == expected["evaluation"]["counts"]
    for key, value in expected["evaluation"]["coverage"].items():
        assert first["evaluation"]["coverage"][key] == pytest.approx(value, abs=0.03)


def test_a_resumed_training_gives_the_same_weights(folder, two):
    first, second = (found["resumed"] for found in two)
    for found in (first, second):
        assert found["equal"]
        assert {"rows-0.safetensors", "rows-1.safetensors"} <= set(found["files"])
    assert first["error"][0] == "InterruptedRunError"
    kind, message = first["without_option"]
    assert kind == "ArtifactError"
    assert "shard_items is True in the checkpoint and False in this run; use the same" in message


def test_a_checkpoint_of_two_processes_in_one(folder, two):
    del two
    model, config = SPLIT["split-sasrec"]
    with pytest.raises(ArtifactError, match="processes is 2 in the checkpoint and 1 in this run"):
        nextclick.train(
            folder / "store", model, folder / "copy", config=config | {"dropout": 0.2}, seed=5,
            neural=NeuralOptions(resume=True),
        )  # fmt: skip


@pytest.mark.slow
def test_a_checkpoint_of_two_processes_in_three(folder, two):
    del two
    first, *others = run_worker(folder, "resumed-by-three", size=3)
    kind, message = first["resumed-by-three"]
    assert kind == "ArtifactError"
    assert "processes is 2 in the checkpoint and 3 in this run; use the same" in message
    assert {found["resumed-by-three"][0] for found in others} == {"ReportedError"}


def test_process_0_reads_and_writes_the_tensors_of_others(two):
    first, second = (found["remote-tensors"] for found in two)
    numbers = [*range(5), *range(10, 16)]
    assert first["read"] == [[11, 1], numbers, 0]
    assert first["flags"] == [True, False, True]
    assert second["flags"] == [False, True, False]
    assert first["error"] == ["ConfigError", "wrong while reading"]
    assert second["error"] == ["ReportedError", "process 0 reports: wrong while reading"]


def test_one_process_cannot_split_tables(folder):
    with pytest.raises(ConfigError, match="--shard-items needs several processes, got 1; start"):
        nextclick.train(folder / "store", "narm", neural=NeuralOptions(shard_items=True))
    with pytest.raises(ConfigError, match="start the command with torchrun, or omit --shard-items"):
        nextclick.evaluate(folder / "model", folder / "store", shard_items=True)


@pytest.mark.parametrize(
    ("features", "config", "message"),
    [
        (
            ["category"],
            TrainingConfig(),
            "features must be empty for narm with --shard-items, got c",
        ),
        ([], TrainingConfig(), "needs a loss with negatives and sparse=true, got loss=ce and spar"),
        ([], TrainingConfig(loss="sampled", negatives=9), "got loss=sampled and sparse=false; add"),
        (
            [],
            TrainingConfig(loss="bpr", negatives=9, sparse=True, order="lanes"),
            "order must be sessions with --shard-items, got lanes; set order=sessions",
        ),
    ],
)
def test_trainings_that_need_whole_tables(features, config, message):
    with pytest.raises(ConfigError, match=message):
        check_sharded("narm", features, config)
