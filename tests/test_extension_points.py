"""A metric, a split, a log format and a loss are one function and one entry of a registry."""

import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from nextclick import CompareOptions, PrepareOptions, compare, evaluate, prepare, train
from nextclick.cli.leaderboard_table import show_leaderboard
from nextclick.cli.main import app
from nextclick.core.metrics import METRICS, Metric, metric_forms, metric_label, parse_metric
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.data.readers.columns import Columns
from nextclick.data.readers.formats import LOG_FORMATS, LogFormat
from nextclick.data.split import SPLITS, Split, SplitKind
from nextclick.errors import ConfigError
from nextclick.losses import LOSSES, LossSpec
from nextclick.training.training_config import TrainingConfig, build_configs
from small_shop import frame_of, make_store

METRIC_SCRIPT = """
import sys
from nextclick.core.metrics import METRICS, Metric

METRICS["top"] = Metric("top", "Top", lambda ranks, k: (ranks <= 1).astype(float))

from nextclick.cli.main import main

main()
"""


@pytest.fixture
def top(monkeypatch):
    metric = Metric("top", "Top", lambda ranks, k: (ranks <= 1).astype(np.float64))
    monkeypatch.setitem(METRICS, "top", metric)


def test_a_metric_is_one_entry(tmp_path, top):
    assert metric_forms() == "recall@K, mrr@K, ndcg@K or top@K"
    assert metric_label("top@5") == "Top@5"
    assert parse_metric("top@5") == ("top", 5)
    with pytest.raises(ConfigError, match="metric must be recall@K, mrr@K, ndcg@K or top@K"):
        parse_metric("tip@5")

    store = make_store(tmp_path / "store")
    measured = evaluate(train(store, "markov"), store, ks=[1, 2]).metrics
    assert measured["top@2"].value == measured["top@1"].value == measured["recall@1"].value


@pytest.mark.parametrize("command", ["tune", "sweep", "refresh"])
def test_a_metric_is_in_the_help(command):
    done = subprocess.run(
        [sys.executable, "-c", METRIC_SCRIPT, command, "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "recall@K, mrr@K, ndcg@K or top@K" in " ".join(done.stdout.split())


def test_a_metric_is_in_a_comparison_and_its_report(tmp_path, top, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    store = make_store(tmp_path / "store")
    options = CompareOptions(ks=[2], metric="top@2")
    numbers = compare(store, ["pop", "markov"], tmp_path / "report", options).numbers
    assert numbers["leaderboard"][0]["label"] == "markov"
    assert "top@2" in numbers["leaderboard"][0]["metrics"]
    show_leaderboard(numbers)
    assert "Top@2" in capsys.readouterr().out
    (page,) = (tmp_path / "report").glob("*.html")
    assert "Top@2" in page.read_text(encoding="utf-8")


def every_third(sessions):
    chosen = np.arange(len(sessions.order)) % 3 == 2
    yield Split("", sessions.order[~chosen], sessions.order[chosen], None)


@pytest.fixture
def thirds(monkeypatch):
    kind = SplitKind("thirds", "every third session", every_third)
    monkeypatch.setitem(SPLITS, "thirds", kind)


@pytest.mark.usefixtures("thirds")
def test_a_split_is_one_entry(tmp_path):
    log = frame_of([[10, 20]] * 9)
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="thirds")
    )
    store = prepare(log, tmp_path / "python", options=options).store
    assert (len(store.part("train")), len(store.part("test"))) == (6, 3)

    log.write_csv(tmp_path / "log.csv")
    words = ["prepare", str(tmp_path / "log.csv"), "-o", str(tmp_path / "cli"), "--split", "thirds"]
    done = CliRunner().invoke(app, [*words, "--min-item-support", "1"])
    assert done.exit_code == 0, done.stderr
    assert "test" in done.stdout


@pytest.mark.usefixtures("thirds")
def test_an_unknown_split_names_all():
    with pytest.raises(ConfigError, match=r"split: kind must be one of auto, last-days, .*thirds"):
        PrepareOptions(split=SplitOptions(kind="third")).checked()


def test_a_log_format_is_one_entry(tmp_path, monkeypatch):
    toy_format = LogFormat(
        "toy", "a toy log", separator=";", names=("s", "i", "t"),
        columns=Columns(session="s", item="i", time="t"), unit="s",
    )  # fmt: skip
    monkeypatch.setitem(LOG_FORMATS, "toy", toy_format)
    frame_of([[10, 20]] * 20).write_csv(tmp_path / "log.csv", separator=";", include_header=False)
    words = ["prepare", str(tmp_path / "log.csv"), "-o", str(tmp_path / "s"), "--format", "toy"]
    done = CliRunner().invoke(app, [*words, "--split", "fraction"])
    assert done.exit_code == 0, done.stderr
    with pytest.raises(ConfigError, match="there is no log format 'toi': did you mean toy"):
        prepare(
            tmp_path / "log.csv", tmp_path / "t",
            options=PrepareOptions(read=PrepareOptions().read.__class__(format="toi")),
        )  # fmt: skip


def margin_loss(positive, negative, counted):
    """A toy loss: the mean of r_j - r."""
    return ((negative - positive[:, None]) * counted).sum() / counted.sum()


def test_a_loss_is_one_entry(monkeypatch):
    torch = pytest.importorskip("torch")
    from nextclick.losses.compute import Loss
    from reference.tiny_model import TinyConfig

    monkeypatch.setitem(LOSSES, "margin", LossSpec("mean of r_j - r", f"{__name__}:margin_loss"))
    settings = {"loss": "margin", "negatives": 2}
    _, training = build_configs("tiny", TinyConfig, {}, None, settings)
    assert training == TrainingConfig(loss="margin", negatives=2)
    with pytest.raises(ConfigError, match=r"tiny: loss must be one of ce, .*, hinge, margin, got"):
        build_configs("tiny", TinyConfig, {}, None, {"loss": "margins"})

    table = torch.tensor([[0.0], [1.0], [2.0], [4.0]])
    loss = Loss("margin")(
        torch.tensor([[1.0]]), table, torch.tensor([1]), negatives=torch.tensor([2, 3])
    )
    assert loss.item() == 2.0  # ((2 - 1) + (4 - 1)) / 2
