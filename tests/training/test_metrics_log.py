"""metrics.jsonl, and experiment trackers, installed or not."""

import json
import sys

import pytest

from nextclick.errors import ConfigError, OutputError
from nextclick.training.run_log import MetricsLog
from nextclick.training.trackers import open_trackers


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_record_is_on_disk_at_once(tmp_path):
    log = MetricsLog(tmp_path / "run", after_step=0)
    log.log({"event": "step", "step": 1, "loss": 2.5})
    assert lines(tmp_path / "run") == [{"event": "step", "step": 1, "loss": 2.5}]
    log.close()


def test_a_resumed_run_removes_the_records_that_it_repeats(tmp_path):
    log = MetricsLog(tmp_path, after_step=0)
    for step in (1, 2, 3):
        log.log({"step": step})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed
    log = MetricsLog(tmp_path, after_step=2)
    log.log({"step": 3})
    log.close()
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        MetricsLog(tmp_path / "file", after_step=0)


class Recorder:
    """Replaces the module of a tracker and records every call."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            return self

        return call


def test_tensorboard(monkeypatch, tmp_path):
    tensorboard = Recorder()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", tensorboard)
    (tracker,) = open_trackers(["tensorboard"], tmp_path, {"model": "tiny"})
    tracker.log({"event": "epoch", "step": 7, "epoch": 2, "recall@20": 0.5, "note": "text"})
    tracker.close()
    assert tensorboard.calls[0] == ("SummaryWriter", (str(tmp_path / "tensorboard"),), {})
    assert [c for c in tensorboard.calls if c[0] == "add_scalar"] == [
        ("add_scalar", ("epoch", 2, 7), {}),
        ("add_scalar", ("recall@20", 0.5, 7), {}),
    ]
    assert tensorboard.calls[-1][0] == "close"


def test_mlflow(monkeypatch):
    mlflow = Recorder()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    (tracker,) = open_trackers(["mlflow"], None, {"model": "tiny"})
    tracker.log({"event": "epoch", "step": 7, "recall@20": 0.5})
    tracker.close()
    assert mlflow.calls == [
        ("start_run", (), {"run_name": "tiny on train", "nested": True}),
        ("log_params", ({"model": "tiny"},), {}),
        ("log_metrics", ({"recall_at_20": 0.5},), {"step": 7}),
        ("end_run", (), {}),
    ]


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("tensorboard", "torch.utils.tensorboard", "tensorboard"),
        ("wandb", "wandb", "wandb"),
    ],
)
def test_a_tracker_that_is_not_installed(monkeypatch, name, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=f"--track needs the package {package}, which is not"):
        open_trackers([name], None, {})


def test_a_tracker_that_does_not_exist():
    with pytest.raises(ConfigError, match="there is no tracker 'mlfow': did you mean mlflow"):
        open_trackers(["tensorboard", "mlfow"], None, {})
