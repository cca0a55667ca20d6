"""Two processes give the losses, the metrics and the evaluation of one."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch
from torch.distributed import TCPStore

import nextclick
from nextclick import prepare
from nextclick.batches.session_order import SessionOrder
from nextclick.core import process_round
from nextclick.core import processes as module
from nextclick.core.processes import ALONE, Processes, current, joined_processes, launched
from nextclick.errors import ConfigError, ProcessError
from nextclick.losses.compute import Loss
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from nextclick.training.objective import Objective
from nextclick.training.trainer import Trainer
from nextclick.training.training_config import TrainingConfig
from reference.process_worker import TRAININGS, evaluate, train
from reference.tiny_model import circle, fresh
from started_processes import run_worker

TOLERANCE = 2e-4  # of the loss: sums of float32 in another order


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store and two artifacts."""
    folder = tmp_path_factory.mktemp("processes")
    config = SimulationConfig(events=4_000, items=100, users=200, days=5)
    simulate(config, folder / "log.parquet")
    prepare(folder / "log.parquet", folder / "store")
    nextclick.train(folder / "store", "session-knn", folder / "counted")
    nextclick.train(folder / "store", "narm", folder / "neural", config={"epochs": 1, "threads": 1})
    return folder


@pytest.fixture(scope="module")
def one(folder):
    """The losses and metrics of one process."""
    return {name: train(folder, name) for name in TRAININGS}


@pytest.fixture(scope="module")
def two(folder, one):
    """What two processes make of all scenarios."""
    del one  # comes first: it compiles the kernels that both processes load
    names = ("exchanges", "gradients", *TRAININGS, "counted", "neural")
    return run_worker(folder, *names)


@pytest.mark.parametrize("name", TRAININGS)
def test_losses_of_two_processes_are_those_of_one(name, one, two):
    expected, (first, second) = one[name], (found[name] for found in two)
    assert first == second
    assert len(expected) == 2
    for (loss, metric), (expected_loss, expected_metric) in zip(first, expected, strict=True):
        assert loss == pytest.approx(expected_loss, rel=TOLERANCE)
        assert metric == pytest.approx(expected_metric, abs=0.02)


@pytest.mark.parametrize("name", ["counted", "neural"])
def test_the_evaluation_of_two_processes_is_that_of_one_bit_for_bit(name, folder, two):
    first, second = (found[name] for found in two)
    assert first == second
    assert first == evaluate(folder, name)


def test_what_processes_exchange(two):
    first, second = (found["exchanges"] for found in two)
    for found in (first, second):
        assert found["gathered"] == [0, 10]
        assert found["from_first"] == found["on_first"] == 0
        assert found["equal"] is None
    assert (first["agreed"], second["agreed"]) == (0, 1)
    assert first["on_first_fails"] == first["fails_in_0"] == ["ConfigError", "wrong in 0"]
    assert (
        second["on_first_fails"]
        == second["fails_in_0"]
        == ["ReportedError", "process 0 reports: wrong in 0"]
    )
    kind, message = first["fails_in_1"]
    assert kind == "ProcessError"
    assert message.startswith("process 1 on ")
    assert message.endswith(" failed: wrong in 1")
    assert second["fails_in_1"] == ["ReportedError", "process 0 reports: wrong in 1"]
    kind, message = first["unequal"]
    assert kind == "ConfigError"
    assert message.startswith("the seed is 0 in process 0 on ")
    assert " and 1 in process 1 on " in message
    assert "start all processes with the same version, store and options" in message


def test_sums_of_gradients(two):
    for found in (each["gradients"] for each in two):
        assert found["dense"] == [1.0, 2.0, 3.0]
        assert found["unused"] is None
        table = [[0.0, 0.0] for _ in range(6)]
        table[1], table[4] = [6.0, 6.0], [2.0, 2.0]
        assert found["table"] == table
        assert found["entries"] == 3  # rows 1 and 4 of process 0, and row 1 of process 1
        assert found["bias"] == [0.0, 0.0, 7.0, 0.0, 0.0, 0.0]
        assert found["loss"] == 1.5
        assert found["requests"] == [False, True, False]


def test_a_process_that_ends_ends_the_others_with_a_sentence(folder):
    began = time.monotonic()
    (first, *_) = run_worker(folder, "leave", size=2, last_may_leave=True)
    kind, message = first["leave"]
    assert kind == "ProcessError"
    assert message.startswith("process 0 of 2: another process ended or did not answer within 600")
    assert time.monotonic() - began < 600


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_cover_a_batch(size):
    log = circle(30)
    order = SessionOrder(log, batch_size=40, max_length=5, seed=0)
    for step in range(len(order.plan(0))):
        whole = order.plan(0)[step]
        rows, clicks, targets = 0, [], []
        for rank in range(size):
            own, places = whole.share(rank, size)
            batch = whole.take(own, places)
            assert own.start == rows
            rows = own.stop
            clicks += batch.items.ravel()[batch.where].tolist()
            targets += batch.targets.tolist()
        assert rows == len(whole.items)
        assert clicks == whole.items.ravel()[whole.where].tolist()
        assert targets == whole.targets.tolist()


@pytest.mark.parametrize(
    "config",
    [
        TrainingConfig(loss="hinge", negatives=2),
        TrainingConfig(loss="bpr", negatives=2, in_batch=True),
        TrainingConfig(loss="top1", in_batch=True),
        TrainingConfig(loss="sampled", negatives=2),
    ],
)
def test_the_counted_prefixes_are_those_with_a_negative(config):
    log = circle(20, n_items=9)
    objective = Objective(config, log.support(), torch.device("cpu"))
    targets = torch.tensor([3, 3, 5])
    for negatives in ([3, 3], [0, 0], [5, 4]):
        sampled = torch.tensor(negatives) if config.negatives else None
        if config.loss == "sampled":
            expected = [True] * 3
        else:
            pool = [3, 3, 5] * config.in_batch + negatives * (config.negatives > 0)
            expected = [any(item not in (0, target) for item in pool) for target in (3, 3, 5)]
        found = objective.counts(targets.numpy(), None if sampled is None else sampled.numpy())
        assert found.tolist() == expected


@pytest.mark.parametrize("name", ["sampled", "bpr-max"])
@pytest.mark.parametrize("each", [False, True])
def test_the_loss_of_a_share_with_the_targets_of_the_whole_batch(name, each):
    draw = torch.Generator().manual_seed(0)
    query, table = (torch.randn(shape, generator=draw) for shape in ((4, 3), (8, 3)))
    targets = torch.tensor([1, 2, 1, 5])
    negatives = torch.randint(0, 8, (4, 2) if each else (2,), generator=draw)
    log = torch.randn(8, generator=draw)
    loss = Loss(name, in_batch=True)
    logs = {"log_q": log, "log_p": log} if name == "sampled" else {}
    whole = loss(query, table, targets, negatives=negatives, **logs)
    shares = [
        loss(
            query[part], table, targets[part], batch_targets=targets,
            negatives=negatives[part] if each else negatives, **logs,
        )
        for part in (slice(0, 1), slice(1, 4))
    ]  # fmt: skip
    assert float(shares[0] / 4 + shares[1] * 3 / 4) == pytest.approx(float(whole), rel=1e-5)


def several(monkeypatch, size=2):
    """This process takes itself for one of several, until they exchange something."""
    monkeypatch.setattr(module, "_joined", [Processes(0, size, 0, size)])
    monkeypatch.setattr(Processes, "agree", lambda self, work: work())


def test_fewer_lanes_than_processes(monkeypatch):
    several(monkeypatch, 3)
    config = TrainingConfig(order="lanes", batch_size=2, loss="sampled", negatives=3)
    with pytest.raises(ConfigError, match="at least 3, one lane for each process, got 2; start"):
        Trainer(fresh(40), config, device="cpu").run(circle(20))


def test_a_model_whose_rows_depend_on_each_other(monkeypatch):
    several(monkeypatch)
    model = fresh(40)
    model.encoder.mixes_rows = True
    with pytest.raises(ConfigError, match="tiny cannot be trained by several processes: in train"):
        Trainer(model, TrainingConfig(batch_size=8), device="cpu").run(circle(20))


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert launched() is ALONE
    with joined_processes() as processes:
        assert processes == current() == ALONE
        assert processes.gather(4) == [4]
        assert processes.from_first(4) == processes.on_first(lambda: 4) == 4


def torchrun(monkeypatch, **values):
    numbers = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", **values}
    for name, value in numbers.items():
        monkeypatch.setenv(name, value)


def test_one_process_of_torchrun(monkeypatch):
    torchrun(monkeypatch, WORLD_SIZE="1", TORCHELASTIC_RESTART_COUNT="2")
    with joined_processes() as processes:
        assert (processes.size, processes.restarts) == (1, 2)


def test_an_environment_that_torchrun_would_not_set(monkeypatch):
    torchrun(monkeypatch, RANK="first")
    with pytest.raises(
        ConfigError, match="environment variable RANK must be a number, got 'first'"
    ):
        launched()


def test_a_timeout_that_is_no_number(monkeypatch):
    torchrun(monkeypatch, **{module.TIMEOUT: "soon"})
    with (
        pytest.raises(ConfigError, match="must be a number of seconds above 0, got 'soon'"),
        joined_processes(),
    ):
        pass


def test_processes_that_do_not_find_each_other(monkeypatch):
    torchrun(monkeypatch, MASTER_PORT="0", **{module.TIMEOUT: "0.5"})
    with pytest.raises(ProcessError, match=r"did not answer within 0\.5 s"), joined_processes():
        pass


def test_more_processes_than_cuda_devices(monkeypatch):
    torchrun(monkeypatch, LOCAL_WORLD_SIZE="2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(ConfigError, match="has 1 CUDA devices for 2 processes; lower --nproc"),
        joined_processes("auto"),
    ):
        pass
    assert "TORCH_NCCL_BLOCKING_WAIT" not in os.environ


def test_a_counting_model_is_trained_by_one_process(folder, monkeypatch):
    several(monkeypatch)
    monkeypatch.setattr(
        "nextclick.experiments.model_training.joined_processes",
        lambda device: joined_processes(),
    )
    with pytest.raises(ConfigError, match="session-knn is trained by one process, got 2; run the"):
        nextclick.train(folder / "store", "session-knn")


def test_a_start_ignores_what_earlier_starts_left_in_the_store(monkeypatch):
    server = TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
    server.set("nextclick/nonce/1", "ended")  # of a process 1 that has ended
    server.set("nextclick/answer/ended", "an earlier token")
    stores = {rank: TCPStore("127.0.0.1", server.port, None, False) for rank in (0, 1)}
    monkeypatch.setattr(
        torch.distributed, "rendezvous", lambda url, rank, size, **_: iter([(stores[rank], rank)])
    )
    timeout = timedelta(seconds=60)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(process_round.store_of_this_start, 0, 2, timeout)
        while not server.check(["nextclick/nonce/0"]):
            time.sleep(0.01)
        assert not first.done()
        second = pool.submit(process_round.store_of_this_start, 1, 2, timeout)
        first.result().set("address", "new")
        assert second.result().get("address") == b"new"
