"""Item tables that are split over two processes give the losses and the model of one."""

import numpy as np
import pytest
from safetensors.numpy import load_file

import nextclick
from nextclick import prepare
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from reference.process_worker import SPLIT, train_split
from started_processes import run_worker

TOLERANCE = 2e-4  # of the loss: sums of float32 in another order


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    config = SimulationConfig(events=4_000, items=100, users=200, days=5)
    simulate(config, folder / "log.parquet")
    prepare(folder / "log.parquet", folder / "store")
    return folder


@pytest.fixture(scope="module")
def two(folder):
    return run_worker(folder, *SPLIT)


@pytest.mark.parametrize("name", SPLIT)
def test_two_processes_train_the_model_of_one(name, folder, two):
    one, (first, second) = train_split(folder, name), (found[name] for found in two)
    assert first == second
    for (loss, metric), (expected_loss, expected_metric) in zip(first, one, strict=True):
        assert loss == pytest.approx(expected_loss, rel=TOLERANCE)
        assert metric == pytest.approx(expected_metric, abs=0.02)
    expected, found = (load_file(folder / f"{name}-{n}/weights.safetensors") for n in (1, 2))
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert found[key].shape == array.shape
        close = np.isclose(found[key], array, rtol=0.02, atol=0.02 * np.abs(array).max() + 1e-6)
        assert close.mean() > 0.98, key
