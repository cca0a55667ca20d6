"""The order of the sessions is chosen on the validation, and the final training follows it."""

import numpy as np
import polars as pl
import pytest

from nextclick import prepare, train
from nextclick.artifact import Artifact
from nextclick.core import storage
from nextclick.data.options import FilterOptions, PrepareOptions, SplitOptions
from nextclick.experiments.order_of_time import best_until, tries_both_orders
from nextclick.training.loop import TrainingLoop
from nextclick.training.training_config import NeuralOptions, TrainingConfig

DAY = 86_400_000
N = 30
VALUES = {
    "epochs": 6, "validations": 6, "learning_rate": 0.05, "batch_size": 64, "threads": 1,
    "metric": "mrr@5", "choose_order": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tiny_model):
    monkeypatch.setattr(storage, "sync_tree", lambda folder: None)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("log"), days=10)


def make_store(folder, days):
    """A log in which item i is followed by item i + 1, over some days."""
    rng = np.random.default_rng(0)
    rows = []
    for session in range(400):
        first, start = rng.integers(N), 1_600_000_000_000 + int(session * days * DAY / 400)
        rows += [
            (session, f"item{(first + k) % N}", start + 1000 * k) for k in range(rng.integers(2, 7))
        ]
    log = pl.DataFrame(rows, schema=["session_id", "item_id", "timestamp"], orient="row")
    log.write_parquet(folder / "log.parquet")
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="fraction")
    )
    return prepare(folder / "log.parquet", folder / "store", options=options).store


def trained(store, output=None, values=VALUES, **options):
    return train(store, "tiny", output, config=values, seed=1, **options)


@pytest.fixture
def metrics(monkeypatch):
    """Replaces the metric of each validation by order: a function of the number of validations."""

    def replace_by(shuffled, chronological):
        original = TrainingLoop._validation_metrics

        def validation_metrics(self):
            found = original(self)
            if found:
                values = shuffled if self.config.shuffle else chronological
                found["mrr@5"] = values[len(self.position.history)]
            return found

        monkeypatch.setattr(TrainingLoop, "_validation_metrics", validation_metrics)

    return replace_by


def test_the_better_order_trains_the_final_model(store, metrics):
    metrics([0.1, 0.2, 0.3, 0.3, 0.3, 0.3], [0.1, 0.2, 0.3, 0.4, 0.5, 0.4])
    chosen = trained(store)
    order = dict(chosen.trained["order"])
    assert [entry["mrr@5"] for entry in order.pop("other_history")][:3] == [0.1, 0.2, 0.3]
    assert order == {
        "metric": "mrr@5", "shuffled": 0.3, "chronological": 0.5, "selected": "chronological",
        "stopped": False,
    }  # fmt: skip
    assert chosen.trained["epochs"] == 5  # as the chronological training selected
    assert chosen.trained["training"]["shuffle"] is False
    # equal to a training that is chronological from the start
    fixed = {**VALUES, "choose_order": False, "shuffle": False, "length_window": 8}
    expected = trained(store, values=fixed).model.state()
    for name, array in chosen.model.state().items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_chronological_training_that_is_behind_is_stopped(store, metrics):
    metrics([0.1, 0.2, 0.3, 0.3, 0.3, 0.3], [0.1, 0.15, 0.9, 0.9, 0.9, 0.9])
    chosen = trained(store)
    order = chosen.trained["order"]
    assert (order["selected"], order["chronological"], order["stopped"]) == ("shuffled", 0.15, True)
    expected = trained(store, values={**VALUES, "choose_order": False}).model.state()
    for name, array in chosen.model.state().items():
        np.testing.assert_array_equal(array, expected[name])


def test_at_equal_values_the_sessions_are_shuffled(store, metrics):
    metrics([0.3] * 6, [0.3] * 6)
    artifact = trained(store, train_on="inner")
    assert artifact.trained["order"]["selected"] == "shuffled"
    assert artifact.trained["order"]["stopped"] is False


def test_a_killed_chronological_training_is_resumed(store, tmp_path, monkeypatch):
    whole = trained(store, tmp_path / "whole")
    interrupted = []
    original = TrainingLoop._end_interval

    def interrupt_once(self):
        if not self.config.shuffle and len(self.position.history) == 1 and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        original(self)

    monkeypatch.setattr(TrainingLoop, "_end_interval", interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        trained(store, tmp_path / "killed")
    assert (tmp_path / "killed.training/in-order/checkpoint").exists()
    trained(store, tmp_path / "killed", neural=NeuralOptions(resume=True))
    resumed = Artifact.load(tmp_path / "killed")
    for name, array in whole.model.state().items():
        np.testing.assert_array_equal(resumed.model.state()[name], array)
    for name in ("shuffled", "chronological", "selected", "stopped"):
        assert resumed.trained["order"][name] == whole.trained["order"][name]
    assert not (tmp_path / "killed.training/in-order/checkpoint").exists()


def test_orders_are_compared_on_logs_of_days(store, tmp_path):
    config = TrainingConfig(choose_order=True)
    sessions = store.part("train_inner")
    assert tries_both_orders(config, sessions)
    assert not tries_both_orders(TrainingConfig(), sessions)
    assert not tries_both_orders(TrainingConfig(choose_order=True, shuffle=False), sessions)
    assert not tries_both_orders(TrainingConfig(choose_order=True, keep="last"), sessions)
    short = make_store(tmp_path, days=1.5).part("train_inner")
    assert not tries_both_orders(config, short)


def test_progress_of_three_trainings_never_goes_backwards(store):
    told = []
    trained(store, progress=lambda stage, done, total: told.append((stage, done, total)))
    ours = [entry for entry in told if entry[0].startswith("train ·")]
    done = [entry[1] for entry in ours]
    assert done == sorted(done)
    assert any("selecting the order" in stage for stage, *_ in ours)


def test_best_until():
    assert best_until([0.4, 0.1, 0.2], 0.1) == 0.4
    assert best_until([0.1, 0.4, 0.2, 0.9], 0.75) == 0.4
