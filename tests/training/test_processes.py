"""Two processes give the losses and the metrics of one."""

import pytest

import nextclick
from nextclick import prepare
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from processes import run_worker
from reference.process_worker import TRAININGS, evaluate, train

TOLERANCE = 2e-4  # of a loss of about 5; sums of float32 in another order


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store, two artifacts, and what two processes make of them."""
    folder = tmp_path_factory.mktemp("processes")
    config = SimulationConfig(events=3_000, items=120, users=250, days=5)
    simulate(config, folder / "log.parquet")
    prepare(folder / "log.parquet", folder / "store")
    nextclick.train(folder / "store", "session-knn", folder / "session-knn")
    nextclick.train(folder / "store", "asars", folder / "asars-model", config={"epochs": 1})
    return folder


@pytest.fixture(scope="module")
def two(folder):
    names = ("exchanges", "gradients", *TRAININGS, "session-knn", "asars-model")
    return run_worker(folder, *names)


@pytest.mark.parametrize("name", TRAININGS)
def test_losses_of_two_processes_are_those_of_one(name, folder, two):
    one, (first, second) = train(folder, name), (found[name] for found in two)
    assert first == second
    assert len(one) == 2
    for (loss, metric), (expected_loss, expected_metric) in zip(first, one, strict=True):
        assert loss == pytest.approx(expected_loss, rel=TOLERANCE)
        assert metric == pytest.approx(expected_metric, abs=0.02)
