"""A large validation is sampled while a model trains, and the output says so."""

import numpy as np
import pytest

from nextclick import train
from nextclick.cli import train_command
from nextclick.core import storage
from nextclick.core.sessions import Sessions
from nextclick.experiments import neural_training, validation_sample
from nextclick.experiments.training_setup import TrainingSetup
from nextclick.training.training_config import NeuralOptions
from reference.tiny_model import Tiny
from small_shop import make_store


@pytest.fixture
def sessions():
    return Sessions.from_lists([[i % 9 + 1, (i + 1) % 9 + 1] for i in range(100)], 9)


def test_a_small_validation_is_ranked_whole(sessions):
    assert validation_sample.validation_sample(sessions) is sessions


def test_a_sample_is_in_the_order_of_time_and_always_the_same(sessions, monkeypatch):
    monkeypatch.setattr(validation_sample, "MAX_SESSIONS", 20)
    numbered = Sessions.from_lists([[i + 1] for i in range(100)], 100)
    sample = validation_sample.validation_sample(numbered)
    assert len(sample) == 20
    assert (np.diff(sample.items) > 0).all()
    np.testing.assert_array_equal(validation_sample.validation_sample(numbered).items, sample.items)


def test_the_training_ranks_the_sample_and_says_so(tmp_path, monkeypatch, tiny_model, capsys):
    monkeypatch.setattr(storage, "sync_tree", lambda folder: None)
    store = make_store(tmp_path / "store")
    values = {"epochs": 1, "batch_size": 64, "threads": 1, "metric": "mrr@5"}
    whole = TrainingSetup(Tiny, store, values, NeuralOptions(), 0)._validation()
    for module in (validation_sample, neural_training):
        monkeypatch.setattr(module, "MAX_SESSIONS", 3)
    sampled = TrainingSetup(Tiny, store, values, NeuralOptions(), 0)._validation()
    artifact = train(store, "tiny", config=values)
    n_sessions = store.manifest["counts"]["valid"]["sessions"]
    assert artifact.trained["validation_sessions"] == {"ranked": 3, "all": n_sessions}
    assert whole(artifact.model) != sampled(artifact.model)
    train_command._show_epochs(artifact)
    printed = " ".join("".join(capsys.readouterr()).split())
    assert f"on a sample of 3 of the {n_sessions:,} validation sessions" in printed
